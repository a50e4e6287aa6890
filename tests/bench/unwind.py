#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a frame costs: snapshots of servers under load, unwound by our rows and by libunwind.

Then what unwinding costs of a CPU: 8 threads that compute 30 calls deep, at 1,000 Hz; oxprof
looks at oxprof. Figures only: nothing passes or fails here.
"""
import argparse
import contextlib
import os
import re
import subprocess
import tempfile
import time

import go
import nginx
import python
import redis
import rust
import service

PROGRAMS = {"redis": redis.Redis, "python": python.Python, "nginx": nginx.Nginx, "rust": rust.Rust,
            "go": go.Go}
DEEP_S = 4


def bench(build, pid, folder):
    """The lines of unwind_bench on one dump of a process, as a dictionary of their first words."""
    path = os.path.join(folder, "snapshots")
    subprocess.run([f"{build}/oxprof", "dump", "-p", str(pid), "--save", path], check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60)
    return subprocess.run([f"{build}/tests/bench/unwind_bench", path, "2000"], check=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          timeout=120).stdout


def show(name, text):
    figures = dict(re.findall(r"^(rows|libunwind)\t.*?\t([\d.]+) ns", text, re.M))
    frames = re.search(r"^rows\t(\d+)", text, re.M).group(1)
    ratio = re.search(r"^ratio\t([\d.]+)", text, re.M).group(1)
    compiled = max(re.findall(r"^compile\t(.*?)\t(\d+) of (\d+) places\t([\d.]+) ms", text, re.M),
                   key=lambda row: int(row[1]))
    print(f"{name:<8} {frames:>6} {figures['rows']:>8} {figures['libunwind']:>10} {ratio:>6}   "
          f"{compiled[3]} ms for {compiled[1]} of {compiled[2]} places of "
          f"{os.path.basename(compiled[0])}", flush=True)


def servers(build):
    print("program  frames  rows ns  libunwind  ratio   compiling cold")
    for name, program in PROGRAMS.items():
        try:
            with program(load_s=60) as target, tempfile.TemporaryDirectory() as folder:
                target.load()
                pids = [target.process.pid, *service.children(target.process.pid)]
                show(name, bench(build, pids[-1] if name == "nginx" else pids[0], folder))
        except service.Skip as skip:
            print(f"{name}: skipped: {skip}", flush=True)


@contextlib.contextmanager
def running(argv):
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def cpu_ticks(pid):
    fields = service.stat_fields(f"/proc/{pid}/stat")
    return int(fields[11]) + int(fields[12])


def cpu_of_unwinding(build):
    """oxprof at 1,000 Hz, and another one that looks at it while it samples."""
    oxprof = f"{build}/oxprof"
    with running([f"{build}/tests/bench/deep_threads"]) as pid, \
            tempfile.TemporaryDirectory() as folder:
        show("deep", bench(build, pid, folder))
        with running([oxprof, "-q", "-r", "1000", "-d", "30", "-p", str(pid)]) as guardian:
            time.sleep(1)
            sampler = max([guardian, *service.children(guardian)], key=cpu_ticks)
            text = subprocess.run([oxprof, "-q", "-r", "500", "-d", str(DEEP_S), "--mode", "cpu", "-p",
                                   str(sampler)], stdin=subprocess.DEVNULL, text=True, timeout=60,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    busy = re.search(r"\(([\d.]+) CPUs busy\)", text)
    walk = re.search(r"^\s*\d+\s+[\d.]+\s+\d+\s+([\d.]+)\s+native\s+unwinder_walk ", text, re.M)
    if not busy or not walk:
        print(f"oxprof at 1,000 Hz: no figure: {text[:400]}")
        return
    share = float(walk.group(1)) / 100
    print(f"oxprof at 1,000 Hz on 8 busy threads, 30 deep: {float(busy.group(1)):.3f} of a CPU, "
          f"{100 * share:.1f} % of that in unwinding: {float(busy.group(1)) * share:.4f} of a CPU")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build", help="the build folder")
    args = parser.parse_args()
    servers(os.path.abspath(args.build))
    cpu_of_unwinding(os.path.abspath(args.build))


if __name__ == "__main__":
    main()

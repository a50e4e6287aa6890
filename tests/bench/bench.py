#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What profiling costs: interleaved pairs of runs, with a profiler and without.

Four workloads, each counting what it gets done in a shared page: a CPU-bound C++ program, a
CPU-bound Python program, redis under a pipelining client on loopback, and 2,000 threads of which
1,990 sleep. Beside oxprof stand those of perf, eu-stack and gdb that are installed, and "nobody":
pairs without any profiler, which show how far two equal runs differ here.

A window is measured while the profiler runs; then it gets SIGINT, and the time until it has ended
is the time to its report. Figures only: nothing passes or fails here.
"""
import argparse
import contextlib
import ctypes
import dataclasses
import mmap
import multiprocessing
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

COUNTER_BYTES = 4096
SETTLE_S = 0.3  # from a profiler's start until a window opens
PR_SET_PDEATHSIG = 1


# --- workloads: each is a context that gives (pid, counter)

class Counter:
    """What a workload has done so far, in a page that it shares with us."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "counter")
        with open(self.path, "wb") as file:
            file.truncate(COUNTER_BYTES)
        with open(self.path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), COUNTER_BYTES)

    def read(self):
        return struct.unpack_from("=Q", self.page)[0]

    def add(self, n):
        struct.pack_into("=Q", self.page, 0, self.read() + n)


def end_with_us():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def own_process(argv):
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               preexec_fn=end_with_us)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(condition, what, deadline_s=10):
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {deadline_s} s")
        time.sleep(0.01)


@contextlib.contextmanager
def counting_program(folder, program, *args):
    counter = Counter(folder)
    with own_process([*program, counter.path, "3600", *args]) as process:
        wait_until(lambda: counter.read() > 0, program[-1])
        yield process.pid, counter


def spin(build, folder):
    return counting_program(folder, [f"{build}/tests/bench/spin"])


def python(_build, folder):
    script = pathlib.Path(__file__).with_name("spin.py")
    return counting_program(folder, ["/usr/bin/python3", str(script)])


def threads(build, folder):
    return counting_program(folder, [f"{build}/tests/bench/threads"], "2000", "10")


REDIS_VALUE = b"v" * 64
REDIS_BATCH = 50 * (b"*3\r\n$3\r\nSET\r\n$5\r\nbench\r\n$64\r\n" + REDIS_VALUE + b"\r\n"
                    + b"*2\r\n$3\r\nGET\r\n$5\r\nbench\r\n")
REDIS_REPLY_BYTES = 50 * (len(b"+OK\r\n") + len(b"$64\r\n") + len(REDIS_VALUE) + 2)
REDIS_OPERATIONS = 100


def redis_load(port, counter):
    end_with_us()
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        while True:
            connection.sendall(REDIS_BATCH)
            left = REDIS_REPLY_BYTES
            while left > 0:
                got = len(connection.recv(left))
                if got == 0:
                    return
                left -= got
            counter.add(REDIS_OPERATIONS)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def redis(_build, folder):
    port, counter = free_port(), Counter(folder)
    with own_process(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                      "--appendonly", "no", "--dir", folder]) as server:
        wait_until(lambda: answers(port), "redis-server")
        load = multiprocessing.Process(target=redis_load, args=(port, counter), daemon=True)
        load.start()
        try:
            wait_until(lambda: counter.read() > 0, "redis under load")
            yield server.pid, counter
        finally:
            load.kill()
            load.join()


WORKLOADS = {"spin": spin, "python": python, "redis": redis, "threads": threads}


# --- profilers

@dataclasses.dataclass
class Cost:
    """Of one profiler in one window. None where it can't be said."""
    samples: int = None
    asked: float = None
    cpu: float = None      # of one CPU, while sampling
    rss_mib: float = None  # peak
    report_s: float = None


def family(pid):
    """A process and its descendants."""
    pids = [pid]
    with contextlib.suppress(OSError):
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                pids += family(int(child))
    return pids


def cpu_s(pid):
    """CPU time of a process, its threads and descendants."""
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            for task in pathlib.Path(f"/proc/{member}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def peak_mib(pid):
    """Sum of the peaks of a process and its descendants."""
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            found = re.search(r"VmHWM:\s*(\d+) kB",
                              pathlib.Path(f"/proc/{member}/status").read_text())
            total += int(found.group(1)) if found else 0
    return total / 1024


def interrupt(process, deadline_s=60):
    """SIGINT; gives (seconds until it has ended, peak MiB)."""
    begin, peak = time.monotonic(), peak_mib(process.pid)
    process.send_signal(signal.SIGINT)
    while process.poll() is None:
        if time.monotonic() > begin + deadline_s:
            process.kill()
            process.wait()
            raise RuntimeError(f"{process.args[0]} did not end on SIGINT")
        peak = max(peak, peak_mib(process.pid))
        time.sleep(0.001)
    return time.monotonic() - begin, peak


class Attached:
    """A profiler that stays beside its target for the window."""

    def __init__(self, name, argv):
        self.name, self.argv = name, argv

    def measure(self, pid, folder, window):
        """Runs window() beside the profiler; gives its result and the Cost."""
        with open(f"{folder}/out", "w+") as out, open(f"{folder}/err", "w+") as err:
            process = subprocess.Popen(self.argv(pid, folder), stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=err)
            try:
                cost, result = self.run_window(process, window)
            finally:
                process.kill()
                process.wait()
            out.seek(0)
            err.seek(0)
            self.read_samples(out.read(), err.read(), cost)
        return result, cost

    def run_window(self, process, window):
        time.sleep(SETTLE_S)
        cpu, begin = cpu_s(process.pid), time.monotonic()
        result = window()
        spent, elapsed = cpu_s(process.pid) - cpu, time.monotonic() - begin
        if process.poll() is not None:
            raise RuntimeError(f"{self.name} ended by itself, status {process.returncode}")
        report_s, peak = interrupt(process)
        return Cost(cpu=spent / elapsed, rss_mib=peak, report_s=report_s), result

    def read_samples(self, out, err, cost):
        raise NotImplementedError


class Oxprof(Attached):
    def __init__(self, binary, rate):
        super().__init__(f"oxprof {rate} Hz",
                         lambda pid, _: [binary, "-q", "-r", str(rate), "-d", "120",
                                         "-p", str(pid)])

    def read_samples(self, out, err, cost):
        head = re.search(r"(\d+) threads?, .*?([\d.]+) Hz, ([\d.]+) s", out)
        samples = re.search(r"^# (\d+) samples:", out, re.MULTILINE)
        if not head or not samples:
            raise RuntimeError(f"no report from {self.name}: {err.strip() or out[:200]}")
        cost.samples = int(samples.group(1))
        cost.asked = int(head.group(1)) * float(head.group(2)) * float(head.group(3))


class Perf(Attached):
    def __init__(self, rate):
        super().__init__(f"perf {rate} Hz",
                         lambda pid, folder: ["perf", "record", "-F", str(rate), "--call-graph",
                                              "dwarf", "-o", f"{folder}/perf.data",
                                              "-p", str(pid)])

    def read_samples(self, out, err, cost):
        found = re.search(r"\((\d+) samples\)", err)
        cost.samples = int(found.group(1)) if found else None


def ended_within(pid, seconds):
    pidfd = os.pidfd_open(pid)
    try:
        return bool(select.select([pidfd], [], [], seconds)[0])
    finally:
        os.close(pidfd)


class OncePerSecond:
    """A debugger that is started anew for each look."""

    def __init__(self, name, argv):
        self.name, self.argv, self.looks = name, argv, 0
        self.usage = [0.0, 0.0]  # CPU seconds, peak MiB

    def measure(self, pid, folder, window):
        self.looks, self.usage = 0, [0.0, 0.0]
        begin = time.monotonic()
        result = window(lambda: self.look(pid, folder))
        elapsed = time.monotonic() - begin
        return result, Cost(samples=self.looks, asked=result[1], cpu=self.usage[0] / elapsed,
                            rss_mib=self.usage[1])

    def look(self, pid, folder):
        with open(f"{folder}/out", "w+b") as out:
            process = subprocess.Popen(self.argv(pid), stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=subprocess.DEVNULL)
            if not ended_within(process.pid, 60):
                process.kill()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = status
            self.looks += os.fstat(out.fileno()).st_size > 0
        self.usage[0] += usage.ru_utime + usage.ru_stime
        self.usage[1] = max(self.usage[1], usage.ru_maxrss / 1024)


class Nobody:
    name = "nobody"

    def measure(self, _pid, _folder, window):
        return window(), Cost()


def profilers(binary):
    yield Nobody()
    yield Oxprof(binary, 100)
    yield Oxprof(binary, 1000)
    if shutil.which("perf"):
        yield Perf(100)
        yield Perf(1000)
    if shutil.which("eu-stack"):
        yield OncePerSecond("eu-stack 1 Hz", lambda pid: ["eu-stack", "-p", str(pid)])
    if shutil.which("gdb"):
        yield OncePerSecond("gdb 1 Hz", lambda pid: ["gdb", "-nx", "-batch", "-p", str(pid), "-ex",
                                                     "thread apply all bt"])


# --- pairs

def run_window(counter, seconds, look=None):
    """(work done per second, seconds), with look() once a second if there is one."""
    begin, done = time.monotonic(), counter.read()
    next_look = begin
    while True:
        now = time.monotonic()
        if now >= begin + seconds:
            break
        if look and now >= next_look:
            look()
            next_look += 1
        wait_to = min(begin + seconds, next_look) if look else begin + seconds
        time.sleep(max(0, wait_to - time.monotonic()))
    elapsed = time.monotonic() - begin
    return (counter.read() - done) / elapsed, elapsed


def run_pair(profiler, pid, counter, folder, seconds, profiler_first):
    """(share of the throughput lost, Cost) of one pair of windows."""
    def window(look=None):
        return run_window(counter, seconds, look)

    rates, cost = {}, None
    for with_profiler in (profiler_first, not profiler_first):
        if with_profiler:
            (rates[True], _), cost = profiler.measure(pid, folder, window)
        else:
            rates[False], _ = window()
    return 1 - rates[True] / rates[False], cost


def run_cell(args, workload, profiler):
    """All pairs of one profiler on one workload."""
    with tempfile.TemporaryDirectory(prefix="oxprof-bench-") as folder:
        with WORKLOADS[workload](args.build, folder) as (pid, counter):
            return [run_pair(profiler, pid, counter, folder, args.seconds, n % 2 == 1)
                    for n in range(args.pairs)]


# --- the table

COLUMNS = ["workload", "profiler", "lost", "quartiles", "samples", "of asked", "cpu", "peak MiB",
           "report s"]


def median_of(costs, field, form, scale=1):
    values = [getattr(cost, field) for cost in costs if getattr(cost, field) is not None]
    return form.format(statistics.median(values) * scale) if values else "-"


def quartiles(values):
    if len(values) < 2:
        return "-"
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{low * 100:.2f}..{high * 100:.2f}%"


def row_of(workload, profiler, pairs):
    lost = [pair[0] for pair in pairs]
    costs = [pair[1] for pair in pairs]
    asked = [cost.samples / cost.asked for cost in costs if cost.samples and cost.asked]
    return [workload, profiler.name, f"{statistics.median(lost) * 100:.2f}%", quartiles(lost),
            median_of(costs, "samples", "{:.0f}"),
            f"{statistics.median(asked) * 100:.1f}%" if asked else "-",
            median_of(costs, "cpu", "{:.2f}%", 100), median_of(costs, "rss_mib", "{:.1f}"),
            median_of(costs, "report_s", "{:.3f}")]


def print_row(cells):
    widths = [9, 15, 8, 16, 9, 9, 9, 9, 9]
    print("".join(f"{cell:<{width}} " if n < 2 else f"{cell:>{width}} "
                  for n, (cell, width) in enumerate(zip(cells, widths))).rstrip(), flush=True)


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", help="the build folder")
    parser.add_argument("--oxprof", help="the program, if not BUILD/oxprof")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2, help="of one window")
    parser.add_argument("--workload", choices=sorted(WORKLOADS), action="append")
    parser.add_argument("--profiler", action="append", metavar="WORD",
                        help="only those whose name has it: oxprof, 'oxprof 100', perf, ...")
    args = parser.parse_args()
    args.pairs = max(1, min(args.pairs, 100))
    args.seconds = max(0.1, min(args.seconds, 60))
    return args


def main():
    args = parse_args()
    chosen = [profiler for profiler in profilers(args.oxprof or f"{args.build}/oxprof")
              if not args.profiler or any(word in profiler.name for word in args.profiler)]
    print(f"# {args.pairs} pairs of {args.seconds:g} s; medians; lost: throughput of the workload")
    print_row(COLUMNS)
    failures = 0
    for workload in args.workload or WORKLOADS:
        if workload == "redis" and not shutil.which("redis-server"):
            print("# redis: skipped, there is no redis-server")
            continue
        for profiler in chosen:
            try:
                print_row(row_of(workload, profiler, run_cell(args, workload, profiler)))
            except (RuntimeError, OSError) as why:
                failures += 1
                print(f"# {workload}, {profiler.name}: {why}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

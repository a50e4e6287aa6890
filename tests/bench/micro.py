# SPDX-License-Identifier: MIT
"""The small benchmarks: what each step costs, beside other ways to do it, and how it grows.

Each part is {"name", "about", "heads", "lines", "plot"}: a table, and what of it is drawn.
"""
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import go
import python
import redis
import service
import targets

THREADS = (10, 100, 1000, 2000)
DEPTHS = (10, 30, 100, 200)
MODULES = (10, 100, 400)
STACKS = (1000, 10000, 100000)
SAMPLES = 200000
ADDRESSES = 1000
LIFE_S = "120"


def part(name, about, heads, lines, plot=None):
    return {"name": name, "about": about, "heads": heads, "lines": lines, "plot": plot}


def output(argv, seconds=120, **more):
    """What a command prints; fails with what it says."""
    done = subprocess.run([str(word) for word in argv], stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=seconds, check=False, **more)
    if done.returncode != 0:
        raise service.Failure(f"{argv[0]}: status {done.returncode}: {done.stderr.strip()[:200]}")
    return done.stdout


def fields(text):
    """{first field: the others} of lines with tabs."""
    return {line.split("\t")[0]: line.split("\t")[1:] for line in text.splitlines() if "\t" in line}


@contextlib.contextmanager
def process(argv):
    """A program that prints nothing and ends with us."""
    with subprocess.Popen(targets.dying_with_us(argv), stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as it:
        try:
            yield it.pid
        finally:
            it.kill()


@contextlib.contextmanager
def sleepers(args, folder, every, busy):
    progress = targets.Progress(folder)
    with process([f"{args.build}/tests/bench/threads", progress.path, LIFE_S, every, busy,
                  0]) as pid:
        end = time.monotonic() + 20
        while targets.threads_of([pid]) < every and time.monotonic() < end:
            time.sleep(0.01)
        yield pid


# ---- capture

def stops(args, folder):
    """The stop of a running thread beside the bare system calls."""
    progress = targets.Progress(folder)
    with process([f"{args.build}/tests/bench/shares", progress.path, LIFE_S, 0]) as pid:
        time.sleep(0.2)
        found = fields(output([f"{args.build}/tests/bench/stops", progress.path, pid,
                               50 if args.quick else 1000]))
    lines = [[label, *found[key][:2]] for label, key in (
        ("oxprof's stop, as oxprof sees it", "ours"),
        ("bare system calls, likewise", "bare"),
        ("oxprof's stop: gap that the target sees", "gap ours"),
        ("bare system calls: gap that the target sees", "gap bare"),
        ("neither: gap that the target sees", "gap without"))]
    return part("A stop", "of a thread that computes, 16 KiB of its stack copied; one by oxprof, "
                "one by the bare system calls (seize, interrupt, wait, registers, copy, detach), "
                "and so on. From before it is seized to its release; the target sees its longest "
                "gap within 0.5 ms.",
                ["", "median us", "90 % us"], lines)


def looks(args, folder):
    """Sleeping threads: ns a thread."""
    names = {"look": "has it run?", "snapshot": "snapshot, 16 KiB", "bare": "its bare system calls"}
    lines, series = [], {name: [] for name in names.values()}
    for every in THREADS:
        with sleepers(args, folder, every, 0) as pid:
            found = fields(output([f"{args.build}/tests/bench/sleepers", pid, 20]))
        lines.append([str(every), *(found[key][0] if key in found else "-" for key in names)])
        for key, name in names.items():
            series[name] += [[every, float(found[key][0])]] if key in found else []
    return part("Sleeping threads", "ns of CPU time a thread, the best of 20 looks at all of them",
                ["threads", *names.values()], lines,
                {"x": "threads", "y": "ns a thread", "series": series})


def whole_runs(args, folder):
    """What oxprof uses of a CPU beside ever more threads."""
    lines, series = [], {"100 Hz": []}
    for every in (*THREADS[1:], 10000):
        with sleepers(args, folder, every, 10) as pid:
            if targets.threads_of([pid]) < every:
                continue
            output([args.oxprof, "record", "-q", "-r", "100", "-d", "3", "-o", f"{folder}/p.pb.gz",
                    "-p", pid])
        text = output([args.oxprof, "report", "-f", "json", f"{folder}/p.pb.gz"])
        cost, ns = (int(re.search(rf'"{key}":(\d+)', text).group(1))
                    for key in ("profiler_cpu_ns", "duration_ns"))
        peak = int(re.search(r'"profiler_peak_bytes":(\d+)', text).group(1))
        lines.append([str(every), f"{100 * cost / ns:.1f}", f"{peak / 2 ** 20:.0f}"])
        series["100 Hz"].append([every, 100 * cost / ns])
    return part("Threads", "oxprof at 100 Hz beside threads of which ten compute and the others "
                "sleep: per cent of a CPU, all in", ["threads", "% of a CPU", "peak MiB"], lines,
                {"x": "threads", "y": "% of a CPU", "series": series})


# ---- unwinding

def unwound(args, pid, folder):
    """{rows, libunwind, libdw: ns a frame}, and the frames of one dump."""
    path = os.path.join(folder, "snapshots")
    output([args.oxprof, "dump", "-p", pid, "--save", path])
    text = output([f"{args.build}/tests/bench/unwind_bench", path, 20 if args.quick else 500])
    found = dict(re.findall(r"^(rows|libunwind|libdw)\t.*?\t([\d.]+) ns", text, re.M))
    frames = re.search(r"^rows\t(\d+)", text, re.M).group(1)
    return {key: float(value) for key, value in found.items()}, frames


WAYS = ("rows", "libunwind", "libdw")


def unwinding_line(args, name, pid, folder):
    found, frames = unwound(args, pid, folder)
    return [name, frames, *(f"{found[way]:.0f}" for way in WAYS),
            f"{found['libunwind'] / found['rows']:.0f}x"]


def unwinding(args, folder):
    """Snapshots of servers at rest or at work, by three unwinders."""
    lines = []
    for name, make in (("redis", redis.Redis), ("python", python.Python), ("go", go.Go)):
        with contextlib.suppress(service.Skip), make(60) as server:
            server.load()
            lines.append(unwinding_line(args, name, server.process.pid, folder))
    return part("A frame", "ns of CPU time to unwind one, warm: oxprof's rows, libunwind with its "
                "cache, libdw, all on the same snapshots of servers under load",
                ["program", "frames", *WAYS, "libunwind/rows"], lines)


def by_depth(args, folder):
    lines, series = [], {way: [] for way in WAYS}
    for depth in DEPTHS:
        with process([f"{args.build}/tests/bench/deep_threads", depth]) as pid:
            time.sleep(0.1)
            found, frames = unwound(args, pid, folder)
        lines.append([str(depth), frames, *(f"{found[way]:.0f}" for way in WAYS)])
        for way in WAYS:
            series[way].append([depth, found[way]])
    return part("A frame of deep stacks",
                "ns of CPU time, of 8 threads that compute so many calls deep",
                ["depth", "frames", *WAYS], lines,
                {"x": "depth", "y": "ns a frame", "series": series})


# ---- modules and names

TINY = "int tiny_{n}(int x) {{ return x * {n}; }}\n"
LOADER = """import ctypes, sys
for path in sys.argv[1:]: ctypes.CDLL(path)
print(flush=True)
while True: sum(range(1000))
"""


def libraries(folder, count):
    """So many files of their own, by copying one."""
    source = pathlib.Path(folder, "tiny.c")
    source.write_text(TINY.format(n=1), encoding="ascii")
    output([service.need("gcc"), "-shared", "-fPIC", "-O2", "-o", f"{folder}/tiny.so", source])
    paths = [f"{folder}/tiny_{n}.so" for n in range(count)]
    for path in paths:
        if not os.path.exists(path):
            shutil.copy(f"{folder}/tiny.so", path)
    return paths


@contextlib.contextmanager
def with_modules(folder, count):
    argv = ["/usr/bin/python3", "-c", LOADER, *libraries(folder, count)]
    with subprocess.Popen(targets.dying_with_us(argv), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE) as it:
        try:
            it.stdout.readline()
            yield it.pid
        finally:
            it.kill()


def naming(args, pid, folder):
    """({name, lines: (cold ms, warm ms)}, eu-addr2line's ms for the same addresses)."""
    path = os.path.join(folder, "addresses")
    found = fields(output([f"{args.build}/tests/bench/naming", pid, ADDRESSES, path]))
    own = {key: (float(value[0]), float(value[1])) for key, value in found.items()}
    return own, eu_addr2line_ms(pid, path) if shutil.which("eu-addr2line") else None


def eu_addr2line_ms(pid, path):
    before = os.times()
    with open(path, encoding="ascii") as addresses:
        subprocess.run(["eu-addr2line", "-f", "-i", "-C", "-p", str(pid)], stdin=addresses,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60,
                       check=False)
    after = os.times()
    return 1e3 * (after.children_user + after.children_system - before.children_user
                  - before.children_system)


def by_modules(args, folder):
    lines, series = [], {"a name, cold": [], "a name again": [], "lines, cold": [],
                         "lines again": [], "eu-addr2line": []}
    for count in MODULES:
        with with_modules(folder, count) as pid:
            found, peer = naming(args, pid, folder)
        values = [*found["name"], *found["lines"], peer]
        lines.append([str(count), *("-" if ms is None else f"{ms * 1e3 / ADDRESSES:.1f}"
                                    for ms in values)])
        for name, ms in zip(series, values):
            series[name] += [[count, ms * 1e3 / ADDRESSES]] if ms is not None else []
    return part("An address", f"us of CPU time to name one, of {ADDRESSES} random ones in all code "
                "of a CPython that has loaded so many libraries; cold: what is read of files is in "
                "it; lines: with file, line and inlined functions; eu-addr2line: the same "
                "addresses, as a command",
                ["libraries", *series], lines,
                {"x": "libraries", "y": "us an address", "series": series})


# ---- formats

def formats(args, _folder):
    """CPU time to write a profile of ever more distinct stacks."""
    series, sizes = {}, {}
    for count in STACKS[:1] if args.quick else STACKS:
        text = output([f"{args.build}/tests/bench/formats", count, SAMPLES])
        for name, ms, kib in re.findall(r"^(\w+) +(\d+) ms CPU +\d+ ms +(\d+) KiB", text, re.M):
            series.setdefault(name, []).append([count, max(int(ms), 0.5)])
            sizes.setdefault(name, []).append(kib)
    lines = [[name, *(f"{ms:.0f}" for _, ms in points), *sizes[name]]
             for name, points in series.items()]
    heads = [f"{count:,}" for count, _ in next(iter(series.values()))]
    return part("Formats", f"to write {SAMPLES:,} samples of so many distinct stacks, 40 deep: ms "
                "of CPU time, and KiB",
                ["format", *(f"{head}: {unit}" for unit in ("ms", "KiB") for head in heads)], lines,
                {"x": "distinct stacks", "y": "ms", "series": series})


PARTS = (stops, looks, whole_runs, unwinding, by_depth, by_modules, formats)


def run(args, show):
    """All parts; one that fails says so and leaves the others be."""
    done = []
    for make in PARTS:
        with tempfile.TemporaryDirectory(prefix="oxprof-bench-") as folder:
            try:
                done.append(make(args, folder))
            except (service.Skip, service.Failure, OSError, LookupError, ValueError,
                    AttributeError, subprocess.SubprocessError) as why:
                done.append(part(make.__name__, f"not measured: {why}", ["-"], []))
        show(done[-1])
        sys.stdout.flush()
    return done

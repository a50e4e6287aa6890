# SPDX-License-Identifier: MIT
"""What the storms share: sizes, the result line, and the profilers that they can be run under.

A storm is a run of docs/safety.md. The target is the witness: it counts its own progress, errors
and signals. Each run prints one line of JSON {id, profiler, n, floor, bad, p50, p99, max, unit,
kernel} and fails if anything was bad, or if n is below its floor: a storm that did not blow proves
nothing. Times in that line are figures, and never decide.

STORM=full in the environment makes them as long as docs/safety.md says (./dev soak does); without,
they are short. STORM_PEER=gdb, strace or eu-stack puts that program in oxprof's place in the runs
that allow it; then nothing fails, the line is the result.
"""
import json
import os
import platform
import shutil
import subprocess
import threading

import harness
from harness import Oxprof, Process, Report

FULL = os.environ.get("STORM") == "full"
PEER = os.environ.get("STORM_PEER", "oxprof")


def size(short, full):
    return full if FULL else short


def quantile(sorted_values, share):
    return sorted_values[min(int(len(sorted_values) * share), len(sorted_values) - 1)]


def result_line(name, n, floor, bad, values=(), unit="us", **more):
    """Prints the line; gives it as a dict."""
    values = sorted(values)
    line = {"id": name, "profiler": PEER, "n": n, "floor": floor, "bad": bad}
    if values:
        line |= {"p50": round(quantile(values, 0.5), 1), "p99": round(quantile(values, 0.99), 1),
                 "max": round(values[-1], 1), "unit": unit}
    line |= {**more, "kernel": platform.release()}
    print(json.dumps(line), flush=True)
    return line


class Case(harness.Case):
    """A storm's assertions."""

    def conclude(self, name, n, floor, bad, values=(), unit="us", **more):
        line = result_line(name, n, floor, bad, values, unit, **more)
        if PEER != "oxprof":
            return
        self.assertGreaterEqual(n, floor, f"too little happened to prove anything: {line}")
        self.assertEqual(bad, 0, f"bad outcomes: {line}")

    def oxprof_only(self):
        if PEER != "oxprof":
            self.skipTest(f"not a run for {PEER}")


# How a peer looks at all threads of a process once, or, strace, for as long as it lives.
PEER_ARGV = {
    "gdb": ["gdb", "-nx", "-q", "-batch", "-ex", "set pagination off",
            "-ex", "thread apply all bt", "-p"],
    "eu-stack": ["eu-stack", "-p"],
    "strace": ["strace", "-f", "-q", "-o", "/dev/null", "-p"],
}


class Profiling:
    """with Profiling(pid, rate=100) as p: the process is profiled meanwhile, by oxprof or by the
    peer. A peer that looks once is started again and again. `p.report` afterwards: oxprof's."""

    def __init__(self, pid, rate=100, args=()):
        self.pid, self.rate, self.args = pid, rate, args
        self.report = None
        self.cycles = 0
        self.ending = threading.Event()

    def __enter__(self):
        if PEER == "oxprof":
            self.process = Oxprof("-p", self.pid, "-r", self.rate, "-d", "1h", *self.args)
            self.process.wait_started()
        elif not shutil.which(PEER_ARGV[PEER][0]):
            raise harness.unittest.SkipTest(f"no {PEER} here")
        elif PEER == "strace":
            self.process = Process([*PEER_ARGV[PEER], str(self.pid)])
        else:
            self.thread = threading.Thread(target=self.look_again_and_again, daemon=True)
            self.thread.start()
        return self

    def look_again_and_again(self):
        while not self.ending.is_set():
            subprocess.run([*PEER_ARGV[PEER], str(self.pid)], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
            self.cycles += 1

    def __exit__(self, kind, *_):
        if PEER not in ("oxprof", "strace"):
            self.ending.set()
            self.thread.join()
            return
        self.process.send(harness.signal.SIGINT)
        try:
            code = self.process.wait()
            if PEER == "oxprof" and kind is None:
                if code != 0:
                    raise AssertionError(f"oxprof ended with {code}: {self.process.texts()}")
                self.report = Report(self.process.out.rest())
        finally:
            self.process.__exit__()

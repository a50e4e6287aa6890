# SPDX-License-Identifier: MIT
"""B7: thousands of threads a second that begin and end under sampling. Proves that every
pthread_create and pthread_join gives what it should, that every thread ends, and
that none stays behind as a zombie while the profiler still looks; and that a profiler that has met
tens of thousands of threads holds no more descriptors than before, and bounded memory. How much
slower the target makes its threads (aim: 3 %, of 5,000 a second; beside it as fast as it can) is
printed: windows with and without sampling take turns."""
import mmap
import os
import struct
import time

import harness
import storms
from harness import Target, pause, task_status, tasks, wait_until
from storms import PEER, Profiling

CREATORS = 3
THREADS = storms.size(20000, 200000)  # made in sampled windows
WINDOW_S = storms.size(0.2, 0.5)
PER_S = 5000  # of the paced runs
PACED_THREADS = storms.size(5000, 100000)
DEADLINE_S = storms.size(30, 120)
MEMORY_MAX_MIB = 256
FIELDS = ("hold", "holding", "made", "joined", "detached", "detached_ended", "failed", "last_errno",
          "wrong_value")


class Page:
    """What thread_churn shares with us."""

    def __init__(self, path):
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 8 * len(FIELDS))

    def read(self):
        return dict(zip(FIELDS, struct.unpack(f"<{len(FIELDS)}Q", self.map[:]), strict=True))

    def hold(self, value):
        self.map[:8] = struct.pack("<Q", value)


class Switch:
    """Turns profiling on and off: oxprof pauses, a peer is started anew."""

    def __init__(self, pid, rate):
        self.pid, self.rate = pid, rate
        self.profiling = Profiling(pid, rate)
        self.toggles = 0

    def __enter__(self):
        if PEER == "oxprof":
            self.profiling.__enter__()
            self.turn(False)
        return self

    def __exit__(self, *what):
        if PEER == "oxprof":
            self.profiling.__exit__(*what)

    def turn(self, on):
        if PEER == "oxprof":
            self.turn_oxprof(on)
        elif on:
            self.profiling = Profiling(self.pid, self.rate)
            self.profiling.__enter__()
        elif hasattr(self.profiling, "process") or hasattr(self.profiling, "thread"):
            self.profiling.__exit__(None)

    def turn_oxprof(self, on):
        process = self.profiling.process
        process.send(harness.signal.SIGUSR2)
        word = "resumed" if on else "paused"
        count = self.toggles // 2 + 1
        self.wait_word(process, word + ("\n" if on else " ("), count)
        self.toggles += 1

    def wait_word(self, process, word, count):
        def said():
            return process.err.text().count(word) == count or process.popen.poll() is not None

        wait_until(said, f"{word!r} for the {count}th time from {process.texts()}")
        if process.popen.returncode is not None:
            raise AssertionError(f"oxprof ended: {process.texts()}")


def window(page):
    """(threads made, seconds) of one window."""
    made, begun = page.read()["made"], time.monotonic()
    pause(WINDOW_S)
    return page.read()["made"] - made, time.monotonic() - begun


def measure(page, switch, threads):
    """Windows in turn until enough was made: {on?: [(threads, seconds)]}."""
    windows = {False: [], True: []}
    deadline = time.monotonic() + DEADLINE_S
    while sum(made for made, _ in windows[True]) < threads and time.monotonic() < deadline:
        windows[False].append(window(page))
        switch.turn(True)
        windows[True].append(window(page))
        switch.turn(False)
    return windows


def rate(windows):
    return sum(made for made, _ in windows) / sum(seconds for _, seconds in windows)


def zombies(pid):
    return [tid for tid in tasks(pid) if task_status(pid, tid).get("State", "X")[0] == "Z"]


class Churn(storms.Case):
    def settle(self, target, page, switch):
        """Threads that stay although none is made any more, with the profiler still there."""
        switch.turn(True)
        page.hold(1)
        wait_until(lambda: page.read()["holding"] == CREATORS, "creators that hold")
        try:
            wait_until(lambda: len(tasks(target.pid)) == 1 + CREATORS, "all threads gone", 5)
        except AssertionError:
            print(f"  zombies: {zombies(target.pid)}", flush=True)
        return len(tasks(target.pid)) - 1 - CREATORS

    def own(self, switch):
        """(descriptors, high-water memory in MiB) of oxprof."""
        if PEER != "oxprof":
            return 0, 0
        pid = switch.profiling.process.pid
        peak = task_status(pid, pid)["VmHWM"].split()[0]
        return len(os.listdir(f"/proc/{pid}/fd")), int(peak) / 1024

    def churn(self, hz, paced=False):
        path = os.path.join(self.folder(), "page")
        with Target("thread_churn", path, CREATORS, PER_S if paced else 0) as target:
            page = Page(path)
            with Switch(target.pid, hz) as switch:
                windows = measure(page, switch, PACED_THREADS if paced else THREADS)
                left = self.settle(target, page, switch)
                descriptors, memory = self.own(switch)
            counters = target.finish()
        if PEER == "oxprof":
            self.check_report(switch.profiling.report, hz)
            self.assertLess(descriptors, 100, "descriptors when only few threads are left")
            self.assertLess(memory, MEMORY_MAX_MIB, "MiB of oxprof")
        ratio = rate(windows[True]) / rate(windows[False])
        print(f"  {counters}", flush=True)
        n = sum(made for made, _ in windows[True])
        bad = (counters["failed"] + counters["wrong_value"] + left
               + counters["made"] - counters["joined"] - counters["detached_ended"])
        name, floor = (f"B7-{hz}-paced", PACED_THREADS) if paced else (f"B7-{hz}", THREADS)
        self.conclude(name, n, floor, bad, left=left, memory_mib=round(memory),
                      descriptors=descriptors, base_per_s=round(rate(windows[False])),
                      per_s=round(rate(windows[True])),
                      percent_of_base=round(100 * ratio, 1))

    def check_report(self, report, hz):
        print(f"  {report.summary()}\n  {report.text.splitlines()[2]}", flush=True)
        self.check_sums(report)
        if hz == 1000:
            self.assertGreater(report.threads, 100, "threads seen")
            self.assertGreater(report.total_of(r"^churned_work \(thread_churn\)$"), 0, report.text)

    def test_1000_hz(self):
        self.churn(1000)

    def test_100_hz(self):
        self.churn(100)

    def test_1000_hz_paced(self):
        self.churn(1000, paced=True)

    def test_100_hz_paced(self):
        self.churn(100, paced=True)


if __name__ == "__main__":
    harness.main()

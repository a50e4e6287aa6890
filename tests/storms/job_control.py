# SPDX-License-Identifier: MIT
"""B9: job control under sampling. A parent stops and continues its child, which is profiled, and
notes what SIGCHLD and waitid tell it. Proves that it is told exactly what it is told without a
profiler, in the same order: after SIGSTOP, after a SIGSTOP that comes while a thread stands still
under the profiler, after the terminal's SIGTTIN, and after SIGTSTP with a handler; that no thread
of the child moves between STOPPED and SIGCONT; that all move afterwards; and that each handler ran
once for each signal."""
import mmap
import os
import struct

import harness
import storms
from harness import Target, faults, wait_until
from storms import PEER, Profiling

ROUNDS = storms.size(100, 1000)
RATE = 1000
KINDS = ("s19 c18", "s19 c18", "s21 c18", "s19 c18")  # of job_control.c's enum kind
DEADLINE_S = storms.size(25, 100)


class Page:
    """The first words of what job_control shares with us."""

    def __init__(self, path):
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 24)

    def child(self):
        return struct.unpack("<Q", self.map[8:16])[0]

    def go(self):
        self.map[:8] = struct.pack("<Q", 1)


class Unprofiled:
    """In the place of storms.Profiling, for the run that says how it should be."""

    report = None

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def events_of(target):
    """['s19', 'c18', ...]"""
    return target.out.wait_for(r"^events:(.*)$").group(1).split()


def expected_events():
    return " ".join(KINDS[i % len(KINDS)] for i in range(ROUNDS)).split()


def differences(got, wanted):
    """How many places of the two lists differ, the first of them in words."""
    places = [i for i in range(max(len(got), len(wanted)))
              if got[i:i + 1] != wanted[i:i + 1]]
    if places:
        i = max(places[0] - 4, 0)
        print(f"  first difference at event {places[0]}: got ... {got[i:i + 10]}, "
              f"wanted ... {wanted[i:i + 10]}", flush=True)
    return len(places)


class JobControl(storms.Case):
    def storm(self, make_profiling):
        """(events, counters, profiling) of one run."""
        path = os.path.join(self.folder(), "page")
        with Target("job_control", path, ROUNDS) as target:
            page = Page(path)
            with make_profiling(page.child()) as profiling:
                page.go()
                if not target.out.wait_for(r"^done$", DEADLINE_S):
                    raise AssertionError(f"hangs: {faults(page.child())}: {target.texts()}")
            wait_until(lambda: not faults(page.child()), "a child that runs, untraced", 5)
            counters = target.finish()
            return events_of(target), counters, profiling

    def bad_in(self, events, counters):
        handled = ROUNDS // len(KINDS)
        print(f"  {counters}", flush=True)
        return (differences(events, expected_events()) + counters["unlike"] + counters["moved"]
                + counters["stuck"] + abs(counters["handled"] - handled)
                + abs(counters["continued"] - ROUNDS) + counters["eintr"]
                + counters["sleep_errors"])

    def test_without_profiler(self):
        events, counters, _ = self.storm(Unprofiled)
        self.assertEqual(self.bad_in(events, counters), 0, "the run that says how it should be")

    def test_sampled(self):
        events, counters, profiling = self.storm(lambda pid: Profiling(pid, RATE))
        bad = self.bad_in(events, counters)
        if PEER == "oxprof":
            print(f"  {profiling.report.summary()}", flush=True)
            self.check_sums(profiling.report)
            self.assertGreater(profiling.report.stops, ROUNDS, "stops by oxprof")
            self.assertGreater(counters["aimed"], 0, "SIGSTOP while a thread stood still")
        self.conclude("B9", counters["rounds"], ROUNDS, bad, events=len(events),
                      aimed=counters["aimed"], moved=counters["moved"], stuck=counters["stuck"])


if __name__ == "__main__":
    harness.main()

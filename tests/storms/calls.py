# SPDX-License-Identifier: MIT
"""B5: every call that can block, with computing in between so that the sampler's races are hit:
no EINTR, no timeout before its time and no other result that the same program does not have without
a profiler. A write or send that is stopped between two portions returns what it has written, which
nothing can put right: such short counts are counted, and few for the stops."""
import collections
import re
import unittest

import storms
from storms import Profiling
from harness import Process, Target, main, pause, target_path

SECONDS = 3
GROUP = 4
ROUNDS = 5  # that each call has made at least

Call = collections.namedtuple("Call", "rounds eintr short early late_us errors last_error")
WRONG = ("eintr", "short", "early", "errors")
CUT = re.compile("write|send")  # calls that can be cut short
CUT_SHARE = 0.03  # of the stops, where 4 threads of 61 write

Run = collections.namedtuple("Run", "calls report")


def all_names():
    with Process([target_path("calls_matrix")]) as process:
        process.wait()
        return process.out.rest().split()


def parse(text):
    """The calls by name; those that this kernel lacks are left out."""
    lines = re.findall(r"^(\w+)=(-?\d+(?:,-?\d+)+)$", text, re.M)
    return {name: Call(*map(int, numbers.split(","))) for name, numbers in lines}


def run(names, busy_us, rate):
    """The calls after some seconds, at a rate; 0: without a profiler."""
    report = None
    with Target("calls_matrix", busy_us, *names) as target:
        if rate:
            with Profiling(target.pid, rate) as profiling:
                pause(SECONDS)
            report = profiling.report
        else:
            pause(SECONDS)
        target.finish()
        return Run(parse(target.out.text()), report)


def beyond(calls, control):
    """What went wrong more often than without a profiler: {call: {field: count}}."""
    found = {}
    for name, call in calls.items():
        more = {field: getattr(call, field) - getattr(control[name], field) for field in WRONG}
        more = {field: count for field, count in more.items() if count > 0}
        if more:
            found[name] = more
    return found


class Calls(storms.Case):
    def compare(self, storm, names, busy_us, rates, cut_share=1.0):
        control = run(names, busy_us, 0)
        for rate in rates:
            with self.subTest(storm=storm, rate=rate):
                self.check(f"{storm} {rate} Hz", control.calls, run(names, busy_us, rate),
                           cut_share)

    def check(self, storm, control, sampled, cut_share):
        self.assertEqual(sampled.calls.keys(), control.keys())
        wrong = beyond(sampled.calls, control)
        for name, fields in wrong.items():
            print(f"  {name}: {fields}: {sampled.calls[name]}, alone {control[name]}", flush=True)
        cut = sum(fields.pop("short", 0) for name, fields in wrong.items() if CUT.search(name))
        more = {"calls": len(control), "short": cut,
                "late_alone": max(call.late_us for call in control.values())}
        report = sampled.report
        if report:
            print(f"  {report.summary()}", flush=True)
            more |= {"stops": report.stops, "repaired": report.repaired,
                     "disturbed": report.disturbed}
        calls = sampled.calls.values()
        rarest = min(call.rounds for call in calls)
        self.conclude(storm, sum(call.rounds for call in calls) if rarest >= ROUNDS else 0,
                      len(calls) * ROUNDS, sum(sum(fields.values()) for fields in wrong.values()),
                      [call.late_us for call in calls], **more)
        if report:
            self.assertLessEqual(cut, 3 + cut_share * report.stops, f"cut short: {more}")

    def test_all_together(self):
        self.compare("B5", [], 20, (100, 1000), CUT_SHARE)

    @unittest.skipUnless(storms.FULL, "the long form's")
    def test_half_busy(self):
        names = all_names()
        for i in range(0, len(names), GROUP):
            group = names[i:i + GROUP]
            print(f"  {' '.join(group)}", flush=True)
            self.compare(f"B5 half busy, {i // GROUP + 1}", group, 2000, (100, 1000))


if __name__ == "__main__":
    main()

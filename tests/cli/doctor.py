#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`oxprof doctor`: what works, or why not."""
import os
import re

import harness
from harness import Target

WHAT = ["attach", "stop", "sleepers", "perf_event", "memory", "names", "Python"]


class Doctor(harness.Case):
    def examine(self, target, *options):
        """{what: (answer, the rest)}, in the order that the page says."""
        result = harness.oxprof("doctor", *options, "-p", target.pid)
        self.assertEqual(result.code, 0, result)
        rows = re.findall(r"^(\w+) +(yes|no|partly|none|untried) +(\S.*)$", result.out, re.M)
        self.assertEqual([row[0] for row in rows], WHAT, result.out)
        return {row[0]: row[1:] for row in rows}

    def test_busy(self):
        with Target("spin") as target:
            rows = self.examine(target)
            target.finish()
        self.assertEqual((rows["stop"][0], rows["memory"][0], rows["sleepers"][0]),
                         ("yes", "yes", "untried"))

    def test_asleep(self):
        with Target("sleepers") as target:
            rows = self.examine(target)
            target.finish()
        self.assertEqual((rows["sleepers"][0], rows["memory"][0]), ("yes", "yes"))

    def test_no_stops(self):
        with Target("spin") as target:
            rows = self.examine(target, "--capture", "nostop")
            target.finish()
        self.assertEqual(rows["stop"][0], "no")

    def test_python(self):
        with harness.Process(["/usr/bin/python3", "-c", "print('ready', flush=True)\nwhile 1: 1"]) \
                as target:
            target.out.wait_for("ready")
            self.assertIn(self.examine(target)["Python"][0], ("yes", "no"))

    def test_traced(self):
        with Target("spin") as target, Target("tracer", target.pid) as tracer:
            rows = self.examine(target)
            self.assertEqual(rows["stop"][0], "no")
            self.assertIn(f"tracer (pid {tracer.pid})", rows["stop"][1])

    def test_refusals(self):
        self.assertEqual(harness.oxprof("doctor").code, 2)
        self.assertEqual(harness.oxprof("doctor", "-p", 2 ** 22 - 1).code, 3)
        self.assertEqual(harness.oxprof("doctor", "--", "true").code, 2)
        self.assertIn(harness.oxprof("doctor", "-p", os.getppid()).code, (0, 4))


if __name__ == "__main__":
    harness.main()

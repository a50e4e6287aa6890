# SPDX-License-Identifier: MIT
"""Stacks that are deep, or lie on two stacks."""
import harness
from harness import Target


class Stacks(harness.Case):
    def sample_deep(self, how):
        with Target("deep", how) as target:
            report = self.sample("-p", target.pid, "-r", 500, "-d", "2s")
            target.finish()
        self.assertGreater(report.cpu, 300, report.text)
        self.assert_share(report.self_of(r"^bottom_work \(deep\)$"), report.cpu, 1.0, "bottom_work")
        return report

    def test_deep_recursion(self):
        report = self.sample_deep("frames")
        self.assert_share(report.total_of(r"^descend \(deep\)$"), report.cpu, 1.0, "descend")
        # a stack either reaches main or is said to be truncated
        reached = report.total_of(r"^main \(deep\)$")
        self.assertGreaterEqual(reached + report.truncated, report.cpu, report.text)

    def test_signal_stack(self):
        report = self.sample_deep("signal")
        for function in ("handler_work", "on_signal", "__restore_rt"):
            self.assert_share(report.total_of(rf"^{function} "), report.cpu, 1.0, function)
        # the interrupted code's stack is another: the first sample, which may stand for several
        # ticks, shows where it is
        self.assertLess(report.truncated, report.cpu / 10, report.text)
        reached = report.total_of(r"^main \(deep\)$")
        self.assertGreaterEqual(reached + report.truncated, report.cpu, report.text)

    def test_signal_stack_asleep(self):
        """A handler that sleeps on a stack of its own is whole from its first sample on, unstopped."""
        with Target("deep", "asleep") as target:
            report = self.sample("-p", target.pid, "-r", 500, "-d", "0.5s")
            target.finish()
        self.assertEqual(report.truncated, 0, report.text)
        waits = report.total_of(r"^on_signal \(deep\)$", block="waiting")
        self.assertGreater(waits, 150, report.text)
        self.assertEqual(report.total_of(r"^main \(deep\)$", block="waiting"), waits, report.text)


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""Threads and processes that come and go."""
import harness
from harness import Target


class Threads(harness.Case):
    def test_leader_gone(self):
        with Target("leader_exit") as target:
            report = self.sample("-p", target.pid, "-r", 200, "-d", "2s")
            self.assertEqual(target.finish()["alive"], 1)
        self.assert_share(report.self_of(r"^orphan_work \(leader_exit\)$"), report.cpu, 1.0,
                          "orphan_work")
        self.assertGreater(report.cpu, 100, "samples of the computing thread")
        self.assert_share(report.total_of(r"^pause \(libc", "waiting"), report.waiting, 1.0,
                          "pause")

    def test_churn(self):
        with Target("churn") as target:
            report = self.sample("-p", target.pid, "-r", 1000, "-d", "2s")
            counters = target.finish()
        print(f"  {counters}", flush=True)
        self.assertEqual(counters["failed"], 0, counters)
        self.assertGreater(counters["made"], 1000, counters)
        self.assertGreater(report.threads, 100, "threads seen")
        # how much of it falls on their start and end depends on the machine's load
        self.assertGreater(report.total_of(r"^brief_work \(churn\)$"), 50, report.text)

    def test_children(self):
        with Target("forker") as target:
            report = self.sample("-p", target.pid, "--children", "-r", 500, "-d", "2s")
            counters = target.finish()
        print(f"  {counters}", flush=True)
        self.assertEqual((counters["wrong"], counters["eintr"]), (0, 0), counters)
        self.assertGreater(report.total_of(r"^child_work \(forker\)$"), 0.8 * report.cpu,
                           report.text)
        self.assertGreater(report.cpu, 300, "samples of the children")

    def test_no_children_unasked(self):
        with Target("forker") as target:
            report = self.sample("-p", target.pid, "-r", 200, "-d", "1s")
            target.finish()
        self.assertEqual(report.total_of(r"^child_work \(forker\)$"), 0, report.text)
        self.assertGreater(report.waiting, 100, "samples of the waiting parent")

    def test_two_processes(self):
        with Target("spin") as one, Target("leader_exit") as other:
            report = self.sample("-p", f"{one.pid},{other.pid}", "-r", 200, "-d", "2s")
            one.finish()
            other.finish()
        self.assertGreater(report.self_of(r"^spin_here \(spin\)$"), 100, report.text)
        self.assertGreater(report.self_of(r"^orphan_work \(leader_exit\)$"), 100, report.text)


if __name__ == "__main__":
    harness.main()

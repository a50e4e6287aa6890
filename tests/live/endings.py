# SPDX-License-Identifier: MIT
"""Targets that exec, end or are killed under our eyes still give their report."""
import signal
import time

import harness
from harness import Oxprof, Target, faults, pause, target_path, task_status, wait_until


class Endings(harness.Case):
    def check_exec(self, who):
        with Target("exec_chain", who, 700, target_path("spin")) as target, \
                Oxprof("-p", target.pid, "-r", 200, "-d", "3s") as profiler:
            profiler.wait_started()
            target.send(signal.SIGUSR1)
            report = self.report(profiler.result())
            target.finish()
        self.assertGreater(report.total_of(r"^before_exec \(exec_chain\)$"), 20, report.text)
        self.assertGreater(report.self_of(r"^spin_here \(spin\)$"), 100, report.text)
        self.assertLess(report.self_of(r"^0x|^unknown|^\[unwind failed\]"), report.cpu / 50,
                        f"nameless\n{report.text}")

    def test_exec(self):
        self.check_exec("leader")

    def test_exec_by_another_thread(self):
        self.check_exec("thread")

    def check_early_end(self, profiler, started):
        report = self.report(profiler.result())
        self.assertLess(time.monotonic() - started, 25, "waited for -d after the target's end")
        self.assertGreater(report.self_of(r"^spin_here \(spin\)$"), 0.9 * report.cpu, report.text)

    def test_end(self):
        started = time.monotonic()
        with Target("spin", 1500) as target, Oxprof("-p", target.pid, "-d", "30s") as profiler:
            self.check_early_end(profiler, started)
            self.assertEqual(target.wait(), 0)

    def test_killed(self):
        started = time.monotonic()
        with Target("spin") as target, Oxprof("-p", target.pid, "-d", "30s") as profiler:
            profiler.wait_started()
            pause(0.7)
            target.send(signal.SIGKILL)
            self.check_early_end(profiler, started)
            self.assertEqual(target.wait(), -signal.SIGKILL)

    def test_killed_at_random_rates(self):
        for rate in (1000, 3000):
            with self.subTest(rate=rate), Target("churn") as target, \
                    Oxprof("-p", target.pid, "-r", rate, "-d", "30s") as profiler:
                profiler.wait_started()
                pause(0.3)
                target.send(signal.SIGKILL)
                self.report(profiler.result())

    def test_stopped_stays_stopped(self):
        with Target("spin") as target:
            target.send(signal.SIGSTOP)
            wait_until(lambda: task_status(target.pid, target.pid)["State"][0] == "T", "stopped")
            with Oxprof("-p", target.pid, "-r", 200, "-d", "1s") as profiler:
                result = profiler.result()
            self.assertIn(result.code, (0, 5), result.err)
            status = task_status(target.pid, target.pid)
            self.assertEqual(status["State"][0], "T", "a stopped target was continued")
            self.assertEqual(status["TracerPid"], "0")
            target.send(signal.SIGCONT)
            wait_until(lambda: not faults(target.pid), "continued")
            target.finish()


if __name__ == "__main__":
    harness.main()

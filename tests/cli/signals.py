# SPDX-License-Identifier: MIT
"""Signals to oxprof while it is attached."""
import os
import signal

import harness
from harness import Oxprof, Report, Target, pause, wait_until

RATE_HZ = 200


class Signals(harness.Case):
    def setUp(self):
        self.target = Target("spin")
        self.addCleanup(self.target.__exit__)

    def tearDown(self):
        self.target.finish()

    def start(self, *args):
        profiler = Oxprof("-p", self.target.pid, "-r", RATE_HZ, "-d", "60s", *args)
        self.addCleanup(profiler.__exit__)
        profiler.wait_started()
        return profiler

    def stop(self, profiler, sig=signal.SIGINT):
        profiler.send(sig)
        return profiler.result(10)

    def test_ends(self):
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(sig=sig):
                profiler = self.start()
                pause(0.5)
                report = self.report(self.stop(profiler, sig))
                self.assertGreater(report.samples, RATE_HZ / 5, report.text)
                self.assertLess(report.seconds, 10)

    def test_report_so_far(self):
        profiler = self.start()
        pause(0.5)
        profiler.send(signal.SIGUSR1)
        self.assertTrue(profiler.err.wait_for(r"^# waiting$", 10), profiler.texts())
        first = Report(profiler.err.text()[profiler.err.text().index("# oxprof "):])
        self.assertIsNone(profiler.popen.poll(), "ended by SIGUSR1")
        pause(0.5)
        report = self.report(self.stop(profiler))
        self.assertGreater(first.samples, 0)
        self.assertGreaterEqual(report.samples, first.samples + RATE_HZ / 5, "did not go on")

    def test_report_so_far_into_the_file(self):
        path = os.path.join(self.folder(), "report")
        profiler = self.start("-o", path)
        pause(0.5)
        profiler.send(signal.SIGUSR1)
        wait_until(lambda: os.path.exists(path) and os.path.getsize(path), "a report so far", 10)
        with open(path, encoding="utf-8") as file:
            first = Report(file.read())
        pause(0.5)
        result = self.stop(profiler)
        self.assertEqual((result.code, result.out), (0, ""), result.err)
        with open(path, encoding="utf-8") as file:
            self.assertGreater(Report(file.read()).samples, first.samples, "did not go on")

    def test_pause_and_resume(self):
        profiler = self.start()
        pause(0.5)
        profiler.send(signal.SIGUSR2)
        pause(1.5)
        profiler.send(signal.SIGUSR2)
        pause(0.5)
        report = self.report(self.stop(profiler))
        self.assertLess(report.seconds, 2.0, "pauses count as sampled time")
        self.assertLess(report.samples, 2.0 * RATE_HZ, "sampled while paused")
        self.assertGreater(report.samples, 0.4 * RATE_HZ, "did not resume")

    def test_stays_paused(self):
        profiler = self.start("--start-paused")
        pause(0.3)
        result = self.stop(profiler)
        self.assertEqual(result.code, 5, result.err)
        self.assertRegex(result.err, r"(?m)^oxprof: .*no samples")

    def test_start_paused_and_resume(self):
        profiler = self.start("--start-paused")
        pause(0.5)
        profiler.send(signal.SIGUSR2)
        pause(0.5)
        report = self.report(self.stop(profiler))
        self.assertGreater(report.samples, RATE_HZ / 5, report.text)
        self.assertLess(report.seconds, 0.9, "sampled from the start")

    def test_suspended_and_continued(self):
        profiler = self.start()
        pause(0.3)
        profiler.send(signal.SIGSTOP)
        pause(0.5)
        self.assert_untouched(self.target.pid)
        profiler.send(signal.SIGCONT)
        pause(0.3)
        self.report(self.stop(profiler))


if __name__ == "__main__":
    harness.main()

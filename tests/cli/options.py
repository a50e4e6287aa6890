# SPDX-License-Identifier: MIT
"""Options of sampling and of the report."""
import time

import harness
from harness import Report, Target, oxprof, parse_tsv


class Options(harness.Case):
    def setUp(self):
        self.target = Target("sleepers", 4, 1)
        self.addCleanup(self.target.__exit__)

    def tearDown(self):
        self.assertEqual(self.target.finish()["woken"], 0, "waits that returned")

    def run_with(self, *args):
        result = oxprof("-q", "-p", self.target.pid, *args)
        self.assertEqual(result.code, 0, result.err)
        return result.out

    def report_with(self, *args):
        report = Report(self.run_with(*args))
        self.check_sums(report)
        return report

    def test_defaults(self):
        report = self.report_with("-d", "1s")
        self.assertEqual((report.rate, report.mode, report.threads), (100, "wall clock", 4))
        self.assertRegex(report.title, rf"^pid {self.target.pid} \(sleepers\)$")
        self.assertLessEqual(abs(report.seconds - 1), 0.3)
        self.assertLessEqual(report.samples + report.lost, 4 * (100 * report.seconds + 2))
        self.assertGreater(report.waiting, 100, report.text)
        self.assertGreater(report.cpu, 30, report.text)

    def test_duration(self):
        for text, seconds in (("500ms", 0.5), ("0.5", 0.5), ("1s", 1.0)):
            with self.subTest(duration=text):
                started = time.monotonic()
                report = self.report_with("-d", text)
                self.assertLessEqual(abs(report.seconds - seconds), 0.25, text)
                self.assertGreaterEqual(time.monotonic() - started, seconds, text)

    def test_samples(self):
        report = self.report_with("--samples", 200, "-d", "30s")
        self.assertGreaterEqual(report.samples, 200)
        # four threads: the tick that completes them, and one that found a stop still under way
        self.assertLessEqual(report.samples, 200 + 2 * 4)

    def test_interval(self):
        report = self.report_with("-i", "4ms", "-d", "500ms")
        self.assertEqual(report.rate, 250)

    def test_tids(self):
        names = harness.task_names(self.target.pid)
        computer = next(tid for tid, name in names.items() if name == "computer")
        out = self.run_with("-t", computer, "-d", "500ms")
        report = Report(out)
        self.assertEqual((report.threads, report.waiting), (1, 0), out)
        self.assertGreater(report.self_of(r"^compute \(sleepers\)$"), 10, out)

    def test_mode_cpu(self):
        report = self.report_with("--mode", "cpu", "-d", "1s")
        self.assertEqual(report.waiting, 0, report.text)
        self.assertNotIn("# waiting", report.text)
        self.assertGreater(report.self_of(r"^compute \(sleepers\)$"), 30, report.text)

    def test_threads(self):
        report = self.report_with("--threads", "-d", "500ms")
        names = harness.task_names(self.target.pid)
        self.assertEqual({tid: hits[0] for tid, hits in report.thread_hits.items()}, names)
        for tid, (name, cpu, waiting) in report.thread_hits.items():
            computing = name == "computer"
            self.assertEqual(cpu > 0, computing, f"{tid} {name}: {cpu} on CPU")
            self.assertEqual(waiting > 0, not computing, f"{tid} {name}: {waiting} waiting")

    def test_threads_tsv(self):
        rows = parse_tsv(self.run_with("--threads", "-d", "500ms", "-f", "tsv"))
        tids = {int(row["tid"]) for row in rows}
        self.assertEqual(tids, set(harness.tasks(self.target.pid)))
        rows = parse_tsv(self.run_with("-d", "500ms", "-f", "tsv"))
        self.assertEqual({row["tid"] for row in rows}, {""})

    def check_sorted(self, order, key):
        report = self.report_with("--sort", order, "-d", "500ms")
        for block in ("on CPU", "waiting"):
            rows = [row for row in report.rows if row.block == block]
            self.assertEqual(rows, sorted(rows, key=key), f"--sort {order}: {block}")

    def test_sort(self):
        self.check_sorted("self", lambda row: (-row.self, -row.total))
        self.check_sorted("total", lambda row: -row.total)
        self.check_sorted("name", lambda row: row.function.encode())

    def test_top(self):
        report = Report(self.run_with("-N", 1, "-d", "500ms"))
        self.assertEqual([row.block for row in report.rows], ["on CPU", "waiting"], report.text)
        self.assertRegex(report.rows[0].function, r"^compute \(sleepers\)$")

    def test_focus_and_ignore(self):
        text = self.run_with("--focus", "^compute$", "-d", "500ms")
        report = Report(text)
        self.assertIn("not shown (--focus, --ignore)", text)
        self.assertFalse([row for row in report.rows if row.block == "waiting"], text)
        computing = [row.total for row in report.rows if row.function.startswith("compute ")]
        self.assertEqual(computing, [report.samples], text)
        report = Report(self.run_with("--ignore", "^compute$", "-d", "500ms"))
        self.assertNotIn("compute (sleepers)", {row.function for row in report.rows})

    def test_addresses(self):
        report = Report(self.run_with("--addresses", "-d", "500ms"))
        places = [row.function for row in report.rows if row.function.startswith("compute ")]
        self.assertTrue(places, report.text)
        for place in places:
            self.assertRegex(place, r"^compute \(sleepers\+0x[0-9a-f]+\)$")

    def test_min_percent(self):
        report = Report(self.run_with("--min-percent", 90, "-d", "500ms"))
        for row in report.rows:
            samples = report.cpu if row.block == "on CPU" else report.waiting
            self.assertGreaterEqual(100 * row.total, 90 * samples, row)
        self.assertGreater(report.self_of(r"^compute \(sleepers\)$"), 0, report.text)


if __name__ == "__main__":
    harness.main()

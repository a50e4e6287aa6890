# SPDX-License-Identifier: MIT
"""Where the report goes, and what happens when it can't."""
import os
import signal
import subprocess

import harness
from harness import OXPROF, Oxprof, Process, Report, Target, oxprof, parse_folded, parse_tsv, \
    target_path


class Output(harness.Case):
    def setUp(self):
        self.target = Target("spin")
        self.addCleanup(self.target.__exit__)

    def tearDown(self):
        self.target.finish()

    def sample_to(self, *args, **options):
        return oxprof("-p", self.target.pid, "-r", 200, "-d", "500ms", *args, **options)

    def read(self, path):
        with open(path, encoding="utf-8") as file:
            return file.read()

    def test_file(self):
        path = os.path.join(self.folder(), "report")
        with open(path, "w", encoding="ascii") as file:
            file.write("old\n" * 100000)
        result = self.sample_to("-o", path)
        self.assertEqual((result.code, result.out), (0, ""), result.err)
        report = Report(self.read(path))
        self.check_sums(report)
        self.assertGreater(report.samples, 30, report.text)
        self.assertEqual(os.listdir(os.path.dirname(path)), ["report"], "files left behind")

    def test_suffix_decides(self):
        folder = self.folder()
        for suffix, parse in (("tsv", parse_tsv), ("folded", parse_folded), ("txt", Report),
                              ("html", lambda text: text.startswith("<!DOCTYPE html>"))):
            path = os.path.join(folder, f"report.{suffix}")
            self.assertEqual(self.sample_to("-o", path).code, 0)
            self.assertTrue(parse(self.read(path)), suffix)

    def test_format_beats_suffix(self):
        path = os.path.join(self.folder(), "report.tsv")
        self.assertEqual(self.sample_to("-o", path, "-f", "text").code, 0)
        Report(self.read(path))

    def test_dash_is_stdout(self):
        Report(self.sample_to("-o", "-").out)

    def test_not_a_terminal(self):
        out = self.sample_to().out
        self.assertNotIn("\033", out)
        self.assertNotIn("\u2026", out)

    def test_decimal_point_in_every_locale(self):
        result = self.sample_to(env={**os.environ, "LC_ALL": "de_DE.UTF-8"})
        Report(result.out)

    def test_full_disk(self):
        result = self.sample_to("-o", "/dev/full")
        self.assertEqual(result.code, 1, result.err)
        self.assertRegex(result.err, r"(?m)^oxprof: .*/dev/full.*(No space left|full)")

    def test_full_stdout(self):
        with Process(["/bin/sh", "-c", 'exec "$0" -p "$1" -d 300ms -q >/dev/full', OXPROF,
                      str(self.target.pid)]) as process:
            self.assertEqual(process.wait(), 1, process.texts())
            self.assertRegex(process.err.rest(), r"(?m)^oxprof: ")

    def test_full_disk_of_a_launch(self):
        result = oxprof("-q", "-o", "/dev/full", "--", target_path("spin"), 300)
        self.assertEqual(result.code, 125, result.err)
        self.assertRegex(result.err, r"(?m)^oxprof: ")

    def test_no_such_folder(self):
        result = oxprof("-p", self.target.pid, "-d", "20s", "-o", "/no/such/folder/report",
                        seconds=10)
        self.assertEqual(result.code, 1, "found out only after the sampling")
        self.assertRegex(result.err, r"(?m)^oxprof: .*/no/such/folder/report")

    def test_closed_pipe(self):
        reader, writer = os.pipe()
        os.close(reader)
        run = subprocess.run([OXPROF, "-q", "-p", str(self.target.pid), "-d", "300ms"],
                             stdout=writer, stderr=subprocess.PIPE, timeout=15, check=False)
        os.close(writer)
        self.assertEqual(run.returncode, -signal.SIGPIPE, run.stderr)
        self.assertEqual(run.stderr, b"", "noise about a closed pipe")

    def test_head(self):
        with Process(["/bin/sh", "-c", '"$0" -q -p "$1" -d 500ms | head -1', OXPROF,
                      str(self.target.pid)]) as process:
            self.assertEqual(process.wait(15), 0)
            self.assertRegex(process.out.rest(), r"\A# oxprof [^\n]*\n\Z")
            self.assertEqual(process.err.rest(), "")

    def test_quiet(self):
        self.assertEqual(self.sample_to("-q").err, "")

    def test_progress_is_two_lines(self):
        with Oxprof("-p", self.target.pid, "-d", "1500ms") as profiler:
            result = profiler.result()
        self.assertEqual(len(result.err.splitlines()), 2, f"start and end: {result.err!r}")


if __name__ == "__main__":
    harness.main()

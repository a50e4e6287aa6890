# SPDX-License-Identifier: MIT
"""Saved profiles: record, report, diff; what they refuse, and what they leave behind."""
import gzip
import json
import os
import re
import shutil
import signal
import subprocess

import harness
from harness import OXPROF, Oxprof, Process, Report, Target, oxprof, parse_folded, parse_tsv, \
    target_path


def read(path, mode="r"):
    with open(path, mode, encoding=None if "b" in mode else "utf-8") as file:
        return file.read()


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


class Recorded(harness.Case):
    """One recording for all tests of a class: two threads, functions with C++ names."""

    @classmethod
    def setUpClass(cls):
        cls.shared = harness.tempfile.mkdtemp(prefix="oxprof-test-")
        cls.path = os.path.join(cls.shared, "a.pb.gz")
        with Target("shares_cpp") as target:
            result = oxprof("record", "-q", "-r", 200, "-d", "800ms", "-o", cls.path, "-p",
                            target.pid)
        if result.code != 0:
            raise AssertionError(result)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.shared)

    def report_of(self, *args, **options):
        result = oxprof("report", *args, **options)
        self.assertEqual((result.code, result.err), (0, ""))
        return result.out


class Saved(Recorded):
    def test_report_is_whole(self):
        """Head and rows as of a direct report, and the sums hold."""
        report = Report(self.report_of(self.path))
        self.check_sums(report)
        self.assertGreater(report.cpu, 20, report.text)
        self.assertGreater(report.waiting, 20, report.text)
        self.assertRegex(report.title, r"^pid \d+ \(shares_cpp\)$")
        self.assertEqual((report.threads, report.mode, report.rate), (2, "wall clock", 200))
        self.assertGreater(report.stops, 0)

    def test_same_numbers_in_every_format(self):
        folder = self.folder()
        saved = os.path.join(folder, "x.pb.gz")
        with Target("spin") as target:
            self.assertEqual(oxprof("record", "-q", "-o", saved, "-p", target.pid, "-d",
                                    "500ms").code, 0)
            target.finish()
        text = Report(self.report_of(saved))
        rows = parse_tsv(self.report_of(saved, "-f", "tsv"))
        stacks = parse_folded(self.report_of(saved, "-f", "folded"))
        document = json.loads(self.report_of(saved, "-f", "json"))
        totals = {text.samples, sum(row["self"] for row in rows), sum(n for _, n in stacks),
                  sum(document["samples"].values()),
                  sum(row["self"] for row in document["functions"])}
        self.assertEqual(len(totals), 1, totals)

    def test_files_add_up(self):
        one, two = (parse_tsv(self.report_of(*[self.path] * n, "-f", "tsv")) for n in (1, 2))
        for row in one:
            row["self"] *= 2
            row["total"] *= 2
        self.assertEqual(one, two)

    def test_pipe_in_and_out(self):
        """- is standard input, and -o - standard output."""
        data = read(self.path, "rb")
        run = subprocess.run([OXPROF, "report", "-", "-f", "pprof", "-o", "-"], input=data,
                             stdout=subprocess.PIPE, timeout=20, check=True)
        self.assertEqual(gzip.decompress(run.stdout), gzip.decompress(data))

    def test_options_after_files(self):
        rows = parse_tsv(self.report_of(self.path, "-f", "tsv", "-N", 1))
        self.assertEqual(len(rows), 2, "one for each state")

    def test_focus(self):
        report = Report(self.report_of(self.path, "--focus", "crunch"))
        self.assertGreater(report.samples, 5)
        self.assertEqual(report.waiting, 0)

    def test_demangle_again(self):
        names = {how: self.report_of(self.path, "--demangle", how, "-f", "folded")
                 for how in ("full", "simple", "none")}
        self.assertIn("shop::Engine::crunch(std::vector", names["full"])
        self.assertRegex(names["simple"], r"shop::Engine::crunch[; ]")
        self.assertIn("_ZN4shop6Engine6crunch", names["none"])

    def test_default_name(self):
        folder = self.folder()
        result = oxprof("record", "-q", "--", "/bin/true", cwd=folder)
        self.assertEqual(result.code, 0, result.err)
        self.assertEqual(os.listdir(folder), ["oxprof.pb.gz"])

    def test_suffix_and_format_of_record(self):
        folder = self.folder()
        with Target("spin") as target:
            for args, parse in ((("-o", "a.folded"), parse_folded), (("-o", "b.x"), None),
                                (("-o", "c", "-f", "json"), json.loads)):
                result = oxprof("record", "-q", "-d", "300ms", "-p", target.pid, *args, cwd=folder)
                self.assertEqual(result.code, 0, result.err)
                path = os.path.join(folder, args[1])
                self.assertTrue(parse(read(path)) if parse else gzip.decompress(read(path, "rb")))

    def test_ci(self):
        row = re.compile(r"^ *\d+ +(\d+\.\d\d) +([\d.]+)-([\d.]+) +\d+ +[\d.]+ +[\d.]+-[\d.]+ ")
        rows = [row.match(line) for line in self.report_of(self.path, "--ci").splitlines()
                if line[0] != "#"]
        self.assertTrue(rows and all(rows))
        for share, low, high in (map(float, match.groups()) for match in rows):
            self.assertTrue(low <= share <= high, (low, share, high))


class Refusals(Recorded):
    """What can't be read or written: one sentence, the exit code, and no half-written file."""

    def assert_unread(self, data, pattern):
        path = os.path.join(self.folder(), "bad")
        if data is not None:
            write(path, data)
        self.assert_refused(oxprof("report", path), 1, re.escape(path), pattern)

    def test_unreadable(self):
        whole = read(self.path, "rb")
        self.assert_unread(None, "No such file")
        self.assert_unread(b"", "empty")
        self.assert_unread(whole[:-9], "cut short")
        self.assert_unread(whole[:len(whole) // 2], "cut short")
        self.assert_unread(b"\x7fELF" + bytes(100), "no saved profile")
        self.assert_unread(b"main;work 12\n", "no saved profile")
        self.assert_unread(gzip.compress(b"main;work 12\n"), "no saved profile")
        self.assert_unread(gzip.compress(bytes(300 << 20)), "unpacks to more than 256 MiB")
        self.assert_refused(oxprof("report", self.folder()), 1, "directory")

    def test_other_interval(self):
        other = os.path.join(self.folder(), "b.pb.gz")
        oxprof("record", "-q", "-r", 100, "-o", other, "--", target_path("spin"), 300)
        self.assert_refused(oxprof("report", self.path, other), 1, "every 10000 us.*every 5000 us")

    def test_no_time_in_a_saved_profile(self):
        self.assert_refused(oxprof("report", self.path, "-f", "firefox"), 2, "order in time",
                            "while sampling")
        self.assert_refused(oxprof("report", self.path, "-o", "x.firefox.json"), 2)

    def test_usage(self):
        for args in (("report",), ("diff",), ("diff", self.path), ("diff", *[self.path] * 3),
                     ("diff", "-f", "json", *[self.path] * 2), ("report", "-p", "1", self.path),
                     ("report", "-f", "nonsense", self.path), ("record",)):
            self.assert_refused(oxprof(*args), 2)

    def test_options_that_would_do_nothing(self):
        """They are refused, not passed over."""
        both = [self.path] * 2
        for args, why in ((("diff", "--ci", *both), "--ci.*none of this command's"),
                          (("diff", "--threads", *both), "--threads"),
                          (("diff", "--color=never", *both), "--color=never"),
                          (("diff", "-f", "folded", "-N", "3", *both), "--top.*rows"),
                          (("diff", "-o", "x.html", "--sort", "name", *both), "--sort.*flamegraph"),
                          (("report", "--debuginfod", self.path), "--debuginfod"),
                          (("report", "-f", "perf", "--min-percent", "1", self.path), "rows"),
                          (("report", "--threads", "-pq", self.path), "-p.*none of this command's"),
                          (("record", "--ci", "-p", "1"), "--ci.*pprof"),
                          (("-f", "callgrind", "--sort", "self", "-p", "1"), "--sort.*rows"),
                          (("top", "-o", "x.perf", "-N", "3", "-p", "1"), "--top.*rows"),
                          (("top", "-f", "json", "-p", "1"), "need -o FILE")):
            self.assert_refused(oxprof(*args), 2, why)

    def test_nothing_in_it(self):
        path = os.path.join(self.folder(), "empty.pb.gz")
        self.assertEqual(oxprof("record", "-q", "--start-paused", "-o", path, "--",
                                "/bin/true").code, 0)
        self.assert_refused(oxprof("report", path), 5, "no samples")

    def test_unwritable(self):
        folder = self.folder()
        for place, pattern in ((folder, "directory"), (f"{folder}/no/x", "No such file"),
                               (f"{self.path}/x", "Not a directory")):
            self.assert_refused(oxprof("report", self.path, "-o", place), 1, re.escape(place),
                                pattern)
            self.assert_refused(oxprof("record", "-o", place, "--", "/bin/true"), 125)
        self.assertEqual(os.listdir(folder), [])

    def test_full_disk_leaves_the_old_file(self):
        """The file-size limit stands for the full disk; what was there stays as it was."""
        for name in ("x.json", "x.pb.gz", "x.callgrind", "x.perf", "x.speedscope.json"):
            folder = self.folder()
            path = os.path.join(folder, name)
            write(path, b"old")
            with Process(["/bin/sh", "-c", 'trap "" XFSZ; ulimit -f 1; exec "$@"', "sh", OXPROF,
                          "report", *[self.path] * 2, "--lines", "--addresses", "--threads", "-f",
                          "perf" if "pb" in name else report_format(name), "-o", path]) as run:
                self.assertEqual(run.wait(), 1, run.texts())
                self.assertRegex(run.err.rest(), r"\Aoxprof: .*File too large")
            self.assertEqual(os.listdir(folder), [name], "left behind")
            self.assertEqual(read(path), "old")

    def test_fifo_and_device(self):
        folder = self.folder()
        fifo = os.path.join(folder, "fifo")
        os.mkfifo(fifo)
        with Process(["/bin/cat", fifo]) as reader:
            self.assertEqual(oxprof("report", self.path, "-o", fifo).code, 0)
            reader.wait()
            self.check_sums(Report(reader.out.rest()))
        self.assertEqual(oxprof("report", self.path, "-o", "/dev/null").code, 0)
        self.assert_refused(oxprof("report", self.path, "-o", "/dev/full"), 1, "No space")

    def test_symbolic_link(self):
        """Our own leads to its file; another user's in a folder for all is not followed."""
        folder = self.folder()
        link, real = os.path.join(folder, "link"), os.path.join(folder, "real")
        write(real, b"old")
        os.symlink("real", link)
        self.assertEqual(oxprof("report", self.path, "-o", link).code, 0)
        self.assertTrue(os.path.islink(link))
        Report(read(real))
        if os.geteuid() != 0:
            self.skipTest("needs root")
        os.chmod(folder, 0o1777)
        os.chown(link, harness.NOBODY, harness.NOBODY, follow_symlinks=False)
        write(real, b"old")
        self.assert_refused(oxprof("report", self.path, "-o", link), 1, "symbolic link")
        self.assertEqual(read(real), "old")

    def test_whole_at_any_moment(self):
        """SIGUSR1 writes over the file again and again."""
        path = os.path.join(self.folder(), "x.pb.gz")
        with Target("spin") as target, Oxprof("record", "-q", "-o", path, "-p",
                                              target.pid) as run:
            for _ in range(3):
                harness.pause(0.1)
                before = os.stat(path).st_ino if os.path.exists(path) else 0
                run.send(signal.SIGUSR1)
                harness.wait_until(lambda: os.path.exists(path) and
                                   os.stat(path).st_ino != before, "the report so far")
                gzip.decompress(read(path, "rb"))
            run.send(signal.SIGINT)
            self.assertEqual(run.result().code, 0)
            Report(self.report_of(path))


def report_format(name):
    return {"json": "json", "callgrind": "callgrind", "perf": "perf",
            "speedscope.json": "speedscope"}[name.split(".", 1)[1]]


class Time(harness.Case):
    """The order in time, while sampling."""

    def test_firefox_and_speedscope(self):
        folder = self.folder()
        with Target("spin") as target:
            for name in ("x.firefox.json", "x.speedscope.json"):
                path = os.path.join(folder, name)
                self.assertEqual(oxprof("-q", "-d", "500ms", "-p", target.pid, "-o",
                                        path).code, 0)
        firefox = json.loads(read(os.path.join(folder, "x.firefox.json")))
        speedscope = json.loads(read(os.path.join(folder, "x.speedscope.json")))
        for thread in firefox["threads"]:
            samples = thread["samples"]
            self.assertEqual(samples["time"], sorted(samples["time"]))
            self.assertTrue(0 < sum(samples["weight"]) <= 51, samples["weight"])
        self.assertEqual(firefox["meta"]["preprocessedProfileVersion"], 66)
        for profile in speedscope["profiles"]:
            self.assertEqual(sum(profile["weights"]), profile["endValue"])
            self.assertEqual(profile["unit"], "nanoseconds")


class Diff(Recorded):
    def test_of_itself_there_is_no_news(self):
        result = oxprof("diff", self.path, self.path)
        self.assertEqual((result.code, result.err), (0, ""))
        self.assertEqual([line for line in result.out.splitlines() if line[0] != "#"], [])

    def test_of_two_programs(self):
        other = os.path.join(self.folder(), "b.pb.gz")
        with Target("spin") as target:
            oxprof("record", "-q", "-d", "500ms", "-o", other, "-p", target.pid)
        rows = [line.split(None, 5) for line in oxprof("diff", self.path, other).out.splitlines()
                if line[0] != "#"]
        self.assertTrue(any("crunch" in row[5] and float(row[2]) < 0 for row in rows), rows)
        self.assertTrue(any(float(row[2]) > 0 for row in rows), rows)
        for row in rows:
            self.assertGreater(abs(float(row[2])), 0)

    def test_flame_graph(self):
        """By the suffix; both profiles' heads are in it, and their samples as two threads."""
        path = os.path.join(self.folder(), "change.html")
        self.assertEqual(oxprof("diff", "-o", path, self.path, self.path).code, 0)
        data = json.loads(re.search('id="oxprof-data">(.*?)</script>', read(path), re.S)[1])
        self.assertEqual([side["title"] for side in data["sides"]], [data["sides"][0]["title"]] * 2)
        hits = [sum(hits for key, hits in zip(data["counts"][1::3], data["counts"][2::3])
                    if key >> 1 == thread) for thread in (0, 1)]
        self.assertEqual(hits, [Report(oxprof("report", self.path).out).samples] * 2)

    def test_functions_below_a_percentage_are_told_apart(self):
        other = os.path.join(self.folder(), "b.pb.gz")
        with Target("spin") as target:
            oxprof("record", "-q", "-d", "500ms", "-o", other, "-p", target.pid)
        out = oxprof("diff", "--min-percent", "100.0", self.path, other).out
        self.assertRegex(out, r"(?m)^# \d+ functions? not shown: differ by less than --min-percent$")

    def test_folded_has_both_counts(self):
        lines = oxprof("diff", "-f", "folded", self.path, self.path).out.splitlines()
        self.assertTrue(lines)
        for line in lines:
            self.assertRegex(line, r" (\d+) \1$")


if __name__ == "__main__":
    harness.main()

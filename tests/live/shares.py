# SPDX-License-Identifier: MIT
"""Reported shares against those that the targets measured of themselves."""
import contextlib
import os

import harness
from harness import Target, oxprof, parse_folded, parse_tsv

SAMPLES = 3000
C_MODULE = r" \(shares_c\)$"


class Shares(harness.Case):
    def check_complete(self, report):
        bad = report.truncated + report.losses.get("unwind", 0)
        self.assertLess(bad * 100, report.samples, f"{bad} bad stacks of {report.samples}")
        self.assertEqual(report.disturbed, 0, "system calls disturbed")

    def test_c(self):
        with Target("shares_c") as target:
            report = self.sample("-p", target.pid, "-r", 1000, "--samples", SAMPLES, "-d", "30s")
            true = target.finish()
        self.assertGreaterEqual(report.samples, SAMPLES)
        self.check_complete(report)
        for name in ("share_50", "share_20"):
            self.assert_share(report.self_of(f"^{name}{C_MODULE}"), report.cpu, true[name], name)
        # recursion counts once: its TOTAL is its SELF
        self.assert_share(report.self_of(f"^recurse{C_MODULE}"), report.cpu,
                          true["share_recursion"], "SELF of recurse")
        self.assert_share(report.total_of(f"^recurse{C_MODULE}"), report.cpu,
                          true["share_recursion"], "TOTAL of recurse")
        self.assert_share(report.self_of(r"^library_work \(libshares\.so\)$"), report.cpu,
                          true["share_library"], "library_work")
        self.assert_share(report.self_of(f"^compare_values{C_MODULE}"), report.cpu,
                          true["share_sort"], "SELF of compare_values")
        for caller in ("share_recursion", "share_library", "share_sort"):
            self.assert_share(report.total_of(f"^{caller}{C_MODULE}"), report.cpu, true[caller],
                              f"TOTAL of {caller}")
        self.assert_share(report.total_of(r"^qsort(_r)? \(libc"), report.cpu, true["share_sort"],
                          "TOTAL of qsort")
        self.assert_share(report.total_of(f"^main{C_MODULE}"), report.cpu, 1.0, "TOTAL of main")

    def test_frequent_calls(self):
        """A stop shows where a thread was, not the system call that it makes next."""
        with Target("shares_calls") as target:
            report = self.sample("-p", target.pid, "-r", 1000, "--samples", SAMPLES, "-d", "30s")
            true = target.finish()
        print(f"  true share of the calls: {true['ask']}", flush=True)
        # interrupted from another CPU, a third of the samples and more fall on the call
        ask = report.total_of(r"^ask \(shares_calls\)$") / report.cpu
        self.assertLess(ask, true["ask"] + 0.10, report.text)

    def test_frequent_calls_on_busy_cpus(self):
        """A visitor that others compete with must not push the thread out at the end of a call."""
        with contextlib.ExitStack() as stack:
            for _ in range(2 * os.cpu_count()):
                stack.enter_context(Target("spin"))
            target = stack.enter_context(Target("shares_calls"))
            report = self.sample("-p", target.pid, "-r", 1000, "--samples", SAMPLES, "-d", "30s")
            true = target.finish()
        ask = report.total_of(r"^ask \(shares_calls\)$") / report.cpu
        self.assertLess(ask, true["ask"] + 0.10, report.text)

    def test_cpp(self):
        with Target("shares_cpp") as target:
            report = self.sample("-p", target.pid, "-r", 1000, "--samples", 2 * SAMPLES,
                                 "-d", "30s", "--demangle", "full")
            true = target.finish()
        self.check_complete(report)
        self.assertGreaterEqual(report.cpu, 0.9 * SAMPLES, "half of the samples are on CPU")
        for name, pattern in (("crunch", r"\bshop::Engine::crunch\(std::vector<unsigned long"),
                              ("fold", r"\bshop::fold<unsigned long>\(unsigned long\)"),
                              ("visit", r"\bshop::Tree::visit\(unsigned long, int\)")):
            self.assert_share(report.self_of(pattern), report.cpu, true[name], f"SELF of {name}")
            self.assert_share(report.total_of(pattern), report.cpu, true[name], f"TOTAL of {name}")
        self.assert_share(report.total_of(r"^main \(shares_cpp\)$"), report.cpu, 1.0, "main")
        self.assert_share(report.total_of(r"\bshop::Idler::wait_for_end\(\)", "waiting"),
                          report.waiting, 1.0, "the waiting thread")

    def test_tsv(self):
        with Target("shares_c") as target:
            result = oxprof("-p", target.pid, "-r", 1000, "--samples", SAMPLES, "-d", "30s", "-f",
                            "tsv")
            true = target.finish()
        self.assertEqual(result.code, 0, result.err)
        rows = parse_tsv(result.out)
        samples = sum(row["self"] for row in rows)
        self.assertGreaterEqual(samples, SAMPLES)
        for name, function in (("share_50", "share_50"), ("share_20", "share_20"),
                               ("share_recursion", "recurse"), ("share_library", "library_work"),
                               ("share_sort", "compare_values")):
            found = [row for row in rows if row["function"] == function and row["state"] == "cpu"]
            self.assertEqual(len(found), 1, f"rows of {function}: {found}")
            self.assert_share(found[0]["self"], samples, true[name], function)
        self.assertLessEqual(max(row["total"] for row in rows), samples, "TOTAL above the samples")

    def test_folded(self):
        with Target("shares_c") as target:
            result = oxprof("-p", target.pid, "-r", 1000, "--samples", SAMPLES, "-d", "30s", "-f",
                            "folded")
            true = target.finish()
        self.assertEqual(result.code, 0, result.err)
        stacks = parse_folded(result.out)
        samples = sum(hits for _, hits in stacks)
        self.assertGreaterEqual(samples, SAMPLES)
        leaves = {}
        for frames, hits in stacks:
            leaves[frames[-1]] = leaves.get(frames[-1], 0) + hits
            self.assertLessEqual(frames.count("recurse"), 20, f"recursions in {frames}")
        self.assert_share(leaves.get("share_50", 0), samples, true["share_50"], "share_50")
        self.assert_share(leaves.get("recurse", 0), samples, true["share_recursion"], "recurse")
        deepest = max(frames.count("recurse") for frames, _ in stacks)
        self.assertEqual(deepest, 20, "every recursion is a frame of its own")
        self.assertEqual(result.out.splitlines(), sorted(result.out.splitlines()), "sorted")


if __name__ == "__main__":
    harness.main()

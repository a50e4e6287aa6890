# SPDX-License-Identifier: MIT
"""CPython's frames: shares, names, lines, the GIL, as the interpreter itself would tell them.

Each interpreter of 3.8 to 3.14 that is found on the machine is tried; Debian's own must be there.
"""
import collections
import functools
import glob
import os
import re
import shutil
import subprocess

import harness
from harness import Process, oxprof, parse_folded

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = os.path.join(HERE, "../targets")
DEBIAN = "/usr/bin/python3"
SAYS = "import sys; print('%d.%d' % sys.version_info[:2] + getattr(sys, 'abiflags', ''), sys.executable)"
SAMPLES = 3000
BUSY = 0.4  # of the time that a target wants a CPU: where it waits for more, shares say nothing
NAMED = 100000 if os.environ.get("STORM") == "full" else 6000
ROOT_ROWS = r"^(<module> \(.*python_shares\.py:|(Thread\.)?_bootstrap \()"
ROOTS = re.compile(r"^(<module>|Thread\._bootstrap|_bootstrap) \(")
FRAME = re.compile(r"^(?P<name>.*) \((?P<file>.*):(?P<line>\d+)\)$")


@functools.cache
def interpreters():
    """version -> program; the first that is found of each."""
    found = {}
    paths = [DEBIAN] + [shutil.which(f"python3.{minor}") or "" for minor in range(8, 15)]
    paths += os.environ.get("OXPROF_PYTHONS", "").split(":")
    if python := shutil.which("python3"):
        prefix = subprocess.run([python, "-c", "import sys; print(sys.prefix)"],
                                capture_output=True, text=True).stdout.strip()
        # several versions of one's own making stand side by side
        paths += sorted(glob.glob(os.path.join(os.path.dirname(prefix), "3.*/bin/python3")))
    for path in filter(os.path.exists, paths):
        says = subprocess.run([path, "-c", SAYS], capture_output=True, text=True).stdout.split()
        # the program itself: what is found on PATH may be a script that looks for it
        if says and 8 <= int(re.sub(r"\D", "", says[0][2:])) <= 14:
            found.setdefault(says[0] if path != DEBIAN else "Debian's " + says[0], says[1])
    return found


def plenty(python, samples):
    """Of Debian's CPython; with STORM=full (./dev soak) of all, which else get a sixth."""
    return samples if python == DEBIAN or os.environ.get("STORM") == "full" else samples // 6


def lines_of(name, word):
    """{function: {lines that end in "# WORD"}} of a script in tests/targets."""
    found = collections.defaultdict(set)
    with open(os.path.join(SCRIPTS, name + ".py"), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if match := re.match(r" *def (spin_\w+)", line):
                function = match.group(1)
            if line.endswith(f"# {word}\n"):
                found[function].add(number)
    return found


def queued_share(pid):
    """Of the time that it wanted a CPU, how much it had to wait for one: hits are then where it
    lost the CPU, which is no random place."""
    ran, queued, _ = map(int, harness.read_proc(f"/proc/{pid}/schedstat").split())
    share = queued / (ran + queued)
    print(f"  waited for a CPU: {100 * share:.0f} %{', too much to judge' * (share > BUSY)}", flush=True)
    return share


def each_version(test):
    """Calls the test with the program of every interpreter."""
    @functools.wraps(test)
    def run(self):
        for version, python in interpreters().items():
            with self.subTest(version=version):
                print(f"  CPython {version}:", flush=True)
                test(self, python)
    return run


class Python(harness.Case):
    def run_script(self, python, name, *args, **options):
        script = os.path.join(SCRIPTS, name + ".py")
        return harness.Target(name, script, *args, path=python, **options)

    def test_debian_is_there(self):
        self.assertTrue(os.path.exists(DEBIAN))

    @each_version
    def test_shares(self, python):
        """TOTAL of each share, mixed; what torn stacks there are can be counted on one hand."""
        samples = plenty(python, 2 * SAMPLES)
        with self.run_script(python, "python_shares") as target:
            report = self.sample("-p", target.pid, "-r", 1000, "--samples", samples, "-d", "30s")
            # 3 points are four standard deviations of a fifth of Debian's hits on the CPU
            queued = queued_share(target.pid)
            points = 3 * (2 * SAMPLES / samples) ** 0.5 + 15 * queued
            true = target.finish()
        for name, share in true.items():
            total = report.total_of(rf"^share_{name} \(.*python_shares\.py:\d+\)$")
            if queued < BUSY:
                self.assert_share(total, report.cpu, share, f"TOTAL of share_{name}", points)
        roots = report.total_of(ROOT_ROWS)
        self.assertGreaterEqual(roots, 0.999 * report.cpu - 1, report.text)
        sleeps = report.total_of(r"^sleep_well \(.*python_shares\.py", "waiting")
        self.assertGreaterEqual(sleeps, 0.97 * report.waiting - 5, report.text)
        self.assertLessEqual(self.torn(report), 1 + report.samples / 1000, report.text)

    def torn(self, report):
        found = re.findall(r"; (\d+) Python stacks? (?:torn|without)", report.text)
        return sum(map(int, found))

    def lines_hit(self, python, samples):
        """{function: {line: SELF}} of python_lines.py."""
        with self.run_script(python, "python_lines") as target:
            result = oxprof("-p", target.pid, "-r", 1000, "--samples", samples, "-d", "30s",
                            "--python", "--lines", "--mode", "cpu", "-f", "tsv")
            target.finish()
        self.assertEqual(result.code, 0, result.err)
        hit = collections.defaultdict(collections.Counter)
        for row in harness.parse_tsv(result.out):
            if row["self"]:
                hit[row["function"].split(".")[-1]][int(row["line"] or 0)] += row["self"]
        # a function of its own before 3.12
        hit["spin_back_and_forth"].update(hit.pop("<listcomp>", {}))
        return hit

    @each_version
    def test_leaf_lines(self, python):
        """Every hit of a function is on a line that it runs on; of enough, each line has some."""
        true = {**lines_of("python_lines", "here"), "spin_far": {702}}
        perhaps, edges = lines_of("python_lines", "perhaps"), lines_of("python_lines", "edge")
        edges["spin_far"] = {1}
        samples = plenty(python, SAMPLES)
        hit = self.lines_hit(python, samples)
        print(f"  {sum(hit[name].total() for name in true)} of {samples} in "
              f"{len(true)} functions", flush=True)
        for name, lines in true.items():
            self.assertLessEqual(set(hit[name]), lines | perhaps[name] | edges[name],
                                 f"{name}: {hit[name]}")
            self.assertGreater(hit[name].total(), 0, hit)
            if samples == SAMPLES:
                self.assertLessEqual(lines, set(hit[name]), f"{name}: {hit[name]}")
        in_c = hit["spin_c_call"]
        self.assertGreater(max(in_c.values()), 0.9 * in_c.total() - 3 * in_c.total() ** 0.5, hit)
        at_edges = sum(hit[name][line] for name in true for line in edges[name])
        self.assertLessEqual(at_edges, 2 + samples / 1000, hit)

    def test_python_view(self):
        """SELF falls on Python functions only, C code's on its caller."""
        with self.run_script(DEBIAN, "python_shares") as target:
            report = self.sample("-p", target.pid, "-r", 1000, "--samples", SAMPLES, "-d", "30s",
                                 "--python", "--mode", "cpu")
            true = target.finish()
        kinds = collections.Counter()
        for row in report.rows:
            kinds[row.kind] += row.self
        # a stack whose Python part could not be read says so, and is counted as torn
        self.assertLessEqual(kinds.pop("unknown", 0), self.torn(report), report.text)
        self.assertEqual(set(kinds), {"python"}, report.text)
        self.assert_share(report.self_of(r"^share_zlib \("), report.cpu, true["zlib"], "zlib")
        self.assert_share(report.total_of(r"^key_of \(") + report.self_of(r"^share_sort \("),
                          report.cpu, true["sort"], "share_sort and key_of")
        self.assert_share(report.total_of(r"^descend \("), report.cpu, true["recursion"],
                          "recursion counts once")

    def test_native_view(self):
        with self.run_script(DEBIAN, "python_shares") as target:
            report = self.sample("-p", target.pid, "-r", 1000, "--samples", 500, "-d", "30s",
                                 "--native")
            target.finish()
        self.assertEqual([row for row in report.rows if row.kind == "python"], [])
        self.assertGreater(report.total_of(r"^_PyEval_EvalFrameDefault \("), 0.9 * report.cpu)

    def check_names(self, stacks):
        """Samples, complete ones, and those in which a caller does not know its callee."""
        samples = complete = wrong = 0
        for frames, hits in stacks:
            samples += hits
            complete += hits if ROOTS.match(frames[0]) else 0
            names = [frame.split(" (")[0] for frame in frames]
            chain = [re.search(r"f(\d)_f(\d|main|0main)?", name.replace("f0_main", "f0_f0"))
                     for name in names]
            chain = [(m.group(1), m.group(2)) for m in chain if m]
            # the same twice: a function's own generator, or key
            if any(caller != callee and callee[1] != caller[0]
                   for caller, callee in zip(chain, chain[1:])):
                print(f"  wrong, {hits} times: {names}", flush=True)
                wrong += hits
        return samples, complete, wrong

    @each_version
    def test_names(self, python):
        """No name is wrong, and no frame is missing: the names say who may call whom, of functions that
        are made anew a thousand times a second."""
        with self.run_script(python, "python_names") as target:
            result = oxprof("-p", target.pid, "-r", 1000, "--samples", plenty(python, NAMED),
                            "-d", "200s", "--python", "-f", "folded")
            target.finish()
        self.assertEqual(result.code, 0, result.err)
        samples, complete, wrong = self.check_names(parse_folded(result.out))
        print(f"  {samples} samples, {complete} complete, {wrong} wrong", flush=True)
        self.assertEqual(wrong, 0)
        self.assertGreaterEqual(complete, 0.999 * samples - 2)

    def dumped(self, pid, *args):
        """The text, and the stacks of each thread: lists of (name, file's basename, line), innermost first."""
        result = oxprof("dump", "-p", pid, *args)
        self.assertEqual(result.code, 0, result.err)
        stacks = []
        for line in result.out.splitlines():
            if line.startswith("# thread"):
                stacks.append([])
            elif match := FRAME.match(line.strip()):
                stacks[-1].append((match["name"], os.path.basename(match["file"]),
                                   int(match["line"])))
        return result.out, stacks

    @each_version
    def test_dump(self, python):
        """The frames of blocked threads are those of sys._current_frames()."""
        script = os.path.join(SCRIPTS, "python_blocked.py")
        with Process([python, script], stdin=subprocess.PIPE) as target:
            self.assertTrue(target.out.wait_for(r"^ready$"), target.texts())
            text, stacks = self.dumped(target.pid, "--python")
            self.assert_untouched(target.pid)
            lines = target.out.text().splitlines()[:-1]
            target.popen.stdin.close()
            self.assertEqual(target.wait(), 0, target.texts())
        self.assertEqual(len(lines), 18)
        for line in lines:
            first, *fields = line.split("\t")
            if first == "thread":
                self.assertRegex(text, rf"(?m)^# thread \d+ \((\S+: )?{fields[1]}\): waiting")
                continue
            frames = list(zip(fields[::3], fields[1::3], map(int, fields[2::3])))
            self.assertIn(frames, stacks)

    @each_version
    def test_gil(self, python):
        """Of threads that want the GIL one has it, and the others wait for it."""
        with self.run_script(python, "python_shares", 2) as target:
            every = self.sample("-p", target.pid, "-r", 500, "--samples",
                                plenty(python, 2000), "-d", "30s")
            holders = self.sample("-p", target.pid, "-r", 500, "-d",
                                  f"{plenty(python, 2000)}ms", "--gil")
            busy = queued_share(target.pid) > BUSY
            target.finish()
        waits = every.total_of(r"^\[waiting for the GIL[]:]", "waiting")
        self.assertGreater(waits, 0 if busy else 0.2 * every.samples, every.text)
        self.assertLessEqual(holders.samples, 1.02 * holders.seconds * 500, holders.text)
        if not busy:
            ticks = holders.seconds * 500 - holders.missed
            self.assertGreater(holders.samples, 0.5 * ticks, holders.text)
        self.assertEqual(holders.total_of(r"^sleep_well \(", "waiting"), 0)


if __name__ == "__main__":
    harness.main()

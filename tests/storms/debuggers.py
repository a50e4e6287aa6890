# SPDX-License-Identifier: MIT
"""B13. Other debuggers: one that is there already is left alone, and said to be there; one that
comes while oxprof samples gets its turn between two samples, and does its work."""
import os
import re
import shutil
import subprocess

import harness
import storms
from harness import Oxprof, Process, Target, pause, task_status, tasks, wait_until
from storms import size

ROUNDS = size(3, 20)
TRIES = 40  # a stop on a crowded machine lasts until the thread gets a CPU
BESIDE_S = size(2, 10)
RATE_HZ = 1000
THREADS = 3
# No debugger shall ask the network for names.
ENVIRONMENT = {**os.environ, "DEBUGINFOD_URLS": ""}
GDB = ["gdb", "-nx", "-q", "-ex", "set pagination off", "-ex", "set confirm off"]


def need(program):
    return harness.unittest.skipUnless(shutil.which(program), f"no {program} here")


def tracers(pid):
    return {int(task_status(pid, tid).get("TracerPid", 0)) for tid in tasks(pid)}


class Strace(Process):
    """strace -f of all threads of a process, its output in a file."""

    def __init__(self, pid, path):
        super().__init__(["strace", "-f", "-o", path, "-p", str(pid)], env=ENVIRONMENT)
        self.path = path

    def lines(self):
        with open(self.path, encoding="utf-8", errors="replace") as file:
            return file.read().split("\n")[:-1]

    def threads(self):
        """How many it says it has attached to; 0 if it could not, and has ended."""
        match = self.err.wait_for(r"attached(?: with (\d+) threads)?$")
        return int(match.group(1) or 1) if match else 0

    def see(self, count):
        """Waits until it has seen so many more lines."""
        wanted = len(self.lines()) + count
        wait_until(lambda: len(self.lines()) >= wanted, f"{count} more lines of strace")

    def end(self):
        self.send(harness.signal.SIGINT)
        self.wait()


class Half(Target):
    """A server of three threads, half busy. It counts its events, and what went wrong with them."""

    def __init__(self):
        super().__init__("recvtimeo_half")

    def bad(self):
        """Ends it. Events lost, wrong results and timers too early; not EINTR, which all that
        attach to its calls cause."""
        counters = self.finish()
        print(f"  target: {counters}", flush=True)
        if not counters["events"] or not counters["timeouts"]:
            raise AssertionError(f"no progress: {counters}")
        lost = abs(counters["drives"] - counters["events"])
        return lost + counters["other"] + counters["early"]


class AlreadyThere(storms.Case):
    """The debugger was first."""

    def setUp(self):
        self.oxprof_only()

    def honest(self, result, name, pid):
        """The report; the message says who traces; no stop was made."""
        self.assertRegex(result.err, rf"already traced by {name} \(pid {pid}\)")
        report = self.report(result)
        self.assertEqual(report.stops, 0, "stops of another's tracees")
        self.assertEqual(report.disturbed, 0, report.text)
        self.assertGreater(report.waiting, 0, f"no sleepers: {report.text}")
        return report

    @need("strace")
    def test_strace_first(self):
        """strace goes on and sees no call interrupted; what it keeps from us is listed as lost."""
        path = os.path.join(self.folder(), "strace.out")
        with Half() as target, Strace(target.pid, path) as strace:
            self.assertEqual(strace.threads(), THREADS, strace.texts())
            strace.see(50)
            before = len(strace.lines())
            with Oxprof("-p", target.pid, "-r", RATE_HZ, "-d", f"{BESIDE_S}s") as profiler:
                result = profiler.result()
            during = strace.lines()[before:]
            self.assertEqual(tracers(target.pid), {strace.pid}, "strace has lost a thread")
            strace.see(50)
            strace.end()
            bad = target.bad()
        report = self.honest(result, "strace", strace.pid)
        self.assertGreater(report.losses.get("traced by another", 0), 0, report.text)
        broken = [line for line in during if re.search(r"EINTR|ERESTART|SIG|stopped", line)]
        self.assertEqual(broken, [], "calls interrupted while strace watched")
        self.conclude("B13 strace first", len(during), 100, bad + len(broken),
                      lost=report.losses["traced by another"])

    @need("gdb")
    def test_gdb_first(self):
        """All threads stand still in gdb's hands: no hang, no stop, and gdb goes on as before."""
        with Half() as target, Process([*GDB, "-p", str(target.pid), "-ex", "echo held\\n"],
                                       stdin=subprocess.PIPE, env=ENVIRONMENT) as gdb:
            self.assertTrue(gdb.out.wait_for(r"^held"), gdb.texts())
            with Oxprof("-p", target.pid, "-r", RATE_HZ, "-d", "1s") as profiler:
                result = profiler.result(10)
            self.assertEqual(tracers(target.pid), {gdb.pid}, "gdb has lost a thread")
            gdb.popen.stdin.write(b"thread apply all bt\necho done\\n\ndetach\nquit\n")
            gdb.popen.stdin.close()
            self.assertEqual(gdb.wait(), 0, gdb.texts())
            stacks = len(re.findall(r"^#0 ", gdb.out.rest(), re.M))
            bad = target.bad()
        report = self.report(result)
        self.assertEqual(report.stops, 0, "stops of another's tracees")
        self.assertEqual(report.disturbed, 0, report.text)
        self.assertGreaterEqual(stacks, THREADS, gdb.texts())
        self.conclude("B13 gdb first", report.samples, 500 * THREADS, bad)


class Meanwhile(storms.Case):
    """oxprof samples; the debugger comes, works and goes, again and again."""

    def setUp(self):
        self.oxprof_only()

    def rounds(self, name, attempt):
        """attempt(pid) says whether all threads were seen. It may be refused where it comes into
        one of our stops, and is then made again."""
        refused = 0
        with Half() as target:
            with storms.Profiling(target.pid, RATE_HZ) as profiling:
                for _ in range(ROUNDS):
                    refused += self.tries(name, attempt, target)
                sampler = profiling.process
                self.assertIsNone(sampler.popen.poll(), f"oxprof has ended: {sampler.texts()}")
            bad = target.bad()
        return profiling.report, refused, bad

    def tries(self, name, attempt, target):
        refused = next((i for i in range(TRIES) if attempt(target.pid)), None)
        self.assertIsNotNone(refused, f"{name} was refused {TRIES} times: {self.last}")
        pause(0.1)  # of sampling without it
        return refused

    def bout(self, name, attempt):
        report, refused, bad = self.rounds(name, attempt)
        print(f"  {report.summary()}", flush=True)
        self.check_sums(report)
        self.assertGreater(report.stops, 100, report.text)
        self.assertGreater(report.total_of(r"\bmain\b", "waiting"), 0, report.text)
        self.conclude(f"B13 {name} meanwhile", ROUNDS, ROUNDS, bad + report.disturbed,
                      refused=refused, stops=report.stops,
                      lost=report.losses.get("traced by another", 0))

    def look(self, argv, stack):
        """Runs a program that looks once: did it show the stacks of all threads?"""
        self.last = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                   env=ENVIRONMENT, timeout=60, check=False)
        return len(re.findall(stack, self.last.stdout, re.M)) >= THREADS

    @need("gdb")
    def test_gdb_comes(self):
        """Every `gdb -batch -p` shows all stacks, within a few tries."""
        argv = [*GDB, "-batch", "-ex", "thread apply all bt", "-p"]
        self.bout("gdb", lambda pid: self.look([*argv, str(pid)], r"^#0 "))

    @need("eu-stack")
    def test_eu_stack_comes(self):
        """Every eu-stack shows all stacks, within a few tries."""
        self.bout("eu-stack", lambda pid: self.look(["eu-stack", "-p", str(pid)], r"^#0 "))

    @need("strace")
    def test_strace_comes(self):
        """Every `strace -f -p` sees the calls of all threads, within a few tries."""
        path = os.path.join(self.folder(), "strace.out")

        def attempt(pid):
            with Strace(pid, path) as strace:
                threads = strace.threads()
                if threads:
                    strace.see(20)
                    strace.end()
                self.last = strace.texts()
                return threads == THREADS

        self.bout("strace", attempt)


if __name__ == "__main__":
    harness.main()

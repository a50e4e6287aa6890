# SPDX-License-Identifier: MIT
"""What oxprof has copied from a target stays with it: no core dump, no debugger of the same user;
what it launches is as dumpable as it would be without."""
import os
import resource
import signal
import sys
import unittest

import harness
from harness import NOBODY, OXPROF, Oxprof, Process, Target, pause, wait_until

# PR_GET_DUMPABLE
DUMPABLE = """
import ctypes, resource
print(ctypes.CDLL(None).prctl(3), *resource.getrlimit(resource.RLIMIT_CORE))
"""
# PTRACE_SEIZE
SEIZE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
failed = libc.ptrace(0x4206, int(sys.argv[1]), None, None) < 0
print(os.strerror(ctypes.get_errno()) if failed else "seized")
"""


def allow_cores():
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))


def cores_in(folder):
    return [name for name in os.listdir(folder) if "core" in name]


class Privacy(harness.Case):
    def start(self, *args, **options):
        profiler = Oxprof(*args, **options)
        self.addCleanup(profiler.__exit__)
        profiler.wait_started()
        return profiler

    def open_folder(self):
        path = self.folder()
        os.chmod(path, 0o777)
        return path

    def crash(self, sig):
        folder = self.open_folder()
        with Target("spin") as target:
            profiler = self.start("-p", target.pid, "-d", "60s", cwd=folder, preexec_fn=allow_cores)
            pause(0.3)
            profiler.send(sig)
            result = profiler.result(10)
            self.assertEqual(result.code, -sig, result)
            self.assertRegex(result.err, r"(?m)^oxprof: .*\d+ samples .*lost")
            self.assertNotIn("core dumped", result.err)
            target.finish()
        self.assertEqual(cores_in(folder), [])

    def test_no_core_dump(self):
        for sig in (signal.SIGSEGV, signal.SIGABRT):
            with self.subTest(sig=sig):
                self.crash(sig)

    def test_a_launched_program_may_dump_core(self):
        """Its limit and its being dumpable are those that oxprof was started with."""
        argv = [sys.executable, "-c", DUMPABLE]
        with Process(argv, preexec_fn=allow_cores) as alone:
            alone.wait()
            wanted = alone.out.rest()
        out = os.path.join(self.folder(), "report")
        result = harness.oxprof("-o", out, "--", *argv, preexec_fn=allow_cores)
        self.assertEqual((result.code, result.out), (0, wanted), result.err)
        self.assertTrue(wanted.startswith("1 "), wanted)


@unittest.skipUnless(os.geteuid() == 0, "only root can become another user")
class OfOneUser(harness.Case):
    """oxprof, its target and a debugger, all run by one user without privilege."""

    def setUp(self):
        self.program = self.for_everybody(OXPROF)
        self.target = Target("spin", path=self.for_everybody(harness.target_path("spin")),
                             user=NOBODY, group=NOBODY, extra_groups=[])
        self.addCleanup(self.target.__exit__)

    def start(self, *args):
        profiler = Oxprof("-p", self.target.pid, "-r", 200, *args, program=self.program,
                          user=NOBODY, group=NOBODY, extra_groups=[])
        self.addCleanup(profiler.__exit__)
        return profiler

    def seize(self, pid):
        """What a debugger of that user is told."""
        with Process([sys.executable, "-c", SEIZE, str(pid)], user=NOBODY, group=NOBODY,
                     extra_groups=[]) as debugger:
            debugger.wait()
            return debugger.out.rest().strip()

    def test_no_debugger(self):
        profiler = self.start("-d", "60s")
        profiler.wait_started()
        wait_until(lambda: self.seize(profiler.pid) == os.strerror(1), "a refusal")
        for name in ("mem", "maps", "environ", "stack"):
            with Process(["cat", f"/proc/{profiler.pid}/{name}"], user=NOBODY, group=NOBODY,
                         extra_groups=[]) as reader:
                self.assertNotEqual(reader.wait(), 0, name)
                self.assertEqual(reader.out.rest(), "", name)
        profiler.send(signal.SIGINT)
        self.report(profiler.result())
        self.assertEqual(self.seize(self.target.pid), "seized", "the attempt proves nothing")
        wait_until(lambda: harness.faults(self.target.pid) == [], "its end")

    def test_samples_all_the_same(self):
        """Being undumpable is in the way of neither stops nor a report through /proc/self/fd."""
        for output in ("-", "/dev/stdout", "/proc/self/fd/1"):
            with self.subTest(output=output):
                # a pipe of that user: ours could not be opened again whatever oxprof is
                line = (f"{self.program} -p {self.target.pid} --capture stop -r 200 -d 1s "
                        f"-o {output} | cat")
                with Process(["sh", "-c", line], user=NOBODY, group=NOBODY,
                             extra_groups=[]) as shell:
                    shell.wait()
                    report = harness.Report(shell.out.rest())
                self.assertGreater(report.stops, 20, report.text)
                self.assertGreater(report.self_of("."), 20, report.text)

    def test_survives_its_suspension(self):
        """The guardian reads its state all the same."""
        profiler = self.start("-d", "60s", "-r", 1000)
        profiler.wait_started()
        for _ in range(5):
            pause(0.2)
            profiler.send(signal.SIGSTOP)
            pause(0.4)
            self.assert_untouched(self.target.pid)
            profiler.send(signal.SIGCONT)
        profiler.send(signal.SIGINT)
        self.report(profiler.result())


if __name__ == "__main__":
    harness.main()

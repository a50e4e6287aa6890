# SPDX-License-Identifier: MIT
"""What can't be profiled: the cause, what to do about it, the exit code."""
import os
import re
import stat
import struct
import subprocess
import unittest

import harness
from harness import NOBODY, OXPROF, Oxprof, Process, Target, oxprof, target_path

PID_LIMIT = 4194304  # PID_MAX_LIMIT of Linux on 64 bits: never a process
PF_KTHREAD = 0x00200000

# write(1, "ready\n", 6), prctl(PR_SET_PDEATHSIG, SIGKILL), alarm(60), pause() for ever
I386_CODE = bytes.fromhex(
    "b804000000 bb01000000 b9%s ba06000000 cd80"
    "b8ac000000 bb01000000 b909000000 cd80"
    "b81b000000 bb3c000000 cd80"
    "b81d000000 cd80 ebf7".replace(" ", "") % (0x08048000 + 84).to_bytes(4, "little").hex())


def i386_program():
    """A static 32-bit program of one segment: header, program header, "ready\\n", code."""
    base, offset = 0x08048000, 96
    size = offset + len(I386_CODE)
    header = struct.pack("<16sHHIIIIIHHHHHH", b"\x7fELF\x01\x01\x01", 2, 3, 1, base + offset, 52, 0,
                         0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 0x1000)
    return (header + segment + b"ready\n").ljust(offset, b"\0") + I386_CODE


def kernel_thread():
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        text = harness.read_proc(f"/proc/{pid}/stat")
        if text and int(text[text.rindex(")") + 2:].split()[6]) & PF_KTHREAD:
            return pid
    return None


class Refusals(harness.Case):
    def test_unknown_pid(self):
        self.assert_refused(oxprof("-p", PID_LIMIT, "-d", "1s"), 3, str(PID_LIMIT), "no process")

    def test_unknown_among_known(self):
        with Target("spin") as target:
            result = oxprof("-p", f"{target.pid},{PID_LIMIT}", "-d", "1s")
            self.assertEqual(result.code, 3, result.err)
            self.assertRegex(result.err, str(PID_LIMIT))
            target.finish()

    def test_ended_process(self):
        ended = subprocess.Popen(["true"])
        ended.wait()
        self.assert_refused(oxprof("-p", ended.pid, "-d", "1s"), 3, str(ended.pid))

    def test_zombie(self):
        with Target("zombie") as target:
            zombie = target.counters()["zombie"]
            self.assert_refused(oxprof("-p", zombie, "-d", "1s"), 3, rf"{zombie}.*zombie",
                                str(target.pid))
            target.finish()

    def test_kernel_thread(self):
        pid = kernel_thread()
        if pid is None:
            self.skipTest("no kernel thread in this PID namespace")
        self.assert_refused(oxprof("-p", pid, "-d", "1s"), 4, rf"{pid}.*kernel thread")

    def test_itself(self):
        # the shell becomes oxprof under its own number
        with Process(["/bin/sh", "-c", 'exec "$0" -p $$ -d 1s', OXPROF]) as process:
            code = process.wait()
            self.assert_refused(harness.Result(code, process.out.rest(), process.err.rest()), 4,
                                rf"{process.pid}.*itself")

    def test_32_bit(self):
        path = os.path.join(self.folder(), "i386")
        with open(path, "wb") as file:
            file.write(i386_program())
        os.chmod(path, stat.S_IRWXU)
        try:
            target = Target("i386", path=path)
        except OSError as error:
            self.skipTest(f"this kernel runs no 32-bit programs: {error}")
        with target:
            result = oxprof("-p", target.pid, "-d", "1s")
            self.assertIn(result.code, (1, 4), result.err)
            self.assert_refused(result, result.code, rf"{target.pid}.*32-bit")
            self.assert_untouched(target.pid)

    def test_already_traced(self):
        with Target("sleepers", 3, 1) as target, Target("tracer", target.pid) as tracer:
            with Oxprof("-p", target.pid, "-r", 100, "-d", "1s") as profiler:
                result = profiler.result()
            said = re.search(rf"traced by tracer \(pid {tracer.pid}\)", result.err)
            self.assertTrue(said, f"who traces is not named: {result.err}")
            report = self.report(result)
            self.assertGreater(report.waiting, 100, "the sleepers are sampled all the same")
            self.assertGreater(report.losses.get("traced by another", 0), 50, report.text)
            tracers = {harness.task_status(target.pid, tid)["TracerPid"]
                       for tid in harness.tasks(target.pid)}
            self.assertEqual(tracers, {str(tracer.pid)}, "the debugger lost its tracees")


@unittest.skipUnless(os.geteuid() == 0, "needs root to become another user")
class Users(harness.Case):
    def as_nobody(self, *args):
        return oxprof(*args, program=self.for_everybody(OXPROF), user=NOBODY, group=NOBODY,
                      extra_groups=[], cwd="/")

    def test_own_process(self):
        spin = self.for_everybody(target_path("spin"))
        with Target("spin", path=spin, user=NOBODY, group=NOBODY, extra_groups=[]) as target:
            self.assertEqual(harness.task_status(target.pid, target.pid)["Uid"].split()[0],
                             str(NOBODY))
            report = self.report(self.as_nobody("-p", target.pid, "-r", 100, "-d", "1s"))
            target.finish()
        self.assertGreater(report.self_of(r"^spin_here \(spin\)$"), 50, report.text)

    def test_launched_as_nobody(self):
        result = self.as_nobody("-r", 200, "--", self.for_everybody(target_path("spin")), 600)
        self.assertEqual(result.code, 0, result.err)
        self.assertRegex(result.out, r"spin_here \(spin\)")

    def test_process_of_another_user(self):
        with Target("spin") as target:
            result = self.as_nobody("-p", target.pid, "-d", "1s")
            self.assert_refused(result, 4, rf"{target.pid}.*\broot\b", "run")
            target.finish()

    def test_dump_of_another_users_process(self):
        with Target("spin") as target:
            self.assert_refused(self.as_nobody("dump", "-p", target.pid), 4, r"\broot\b")
            target.finish()


if __name__ == "__main__":
    harness.main()

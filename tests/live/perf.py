# SPDX-License-Identifier: MIT
"""Running threads sampled by the kernel: --capture perf stops nothing, and counts all time."""
import ctypes
import os
import re
import signal
import struct

import harness
from harness import NOBODY, Process, Target, oxprof, read_proc

PARANOID = "/proc/sys/kernel/perf_event_paranoid"
PERF = ("--capture", "perf")
AUTO = ("--capture", "auto")
SAMPLES = 3000


def allowed():
    with Target("spin", 20000) as target:
        return oxprof("-p", target.pid, "-d", "100ms", *PERF).code in (0, 5)  # no samples: no CPU so soon


def forbid_perf():
    """In a child: perf_event_open (298) answers EPERM from here on. linux/filter.h, seccomp.h."""
    lines = ((0x20, 0, 0, 0), (0x15, 0, 1, 298), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000))
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(lines),
                                                      ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    if libc.prctl(22, 2, program, 0, 0) != 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "no seccomp filter")


class Perf(harness.Case):
    def sample_by_perf(self, *args):
        report = self.sample(*args, *PERF)
        self.assertEqual(report.stops, 0, "stops")
        self.assertEqual(report.disturbed, 0, "system calls disturbed")
        self.assertLess(report.losses.get("lost by perf", 0) * 50, report.samples, report.text)
        return report

    def assert_wall_time(self, report, threads):
        """On CPU, waiting and lost together are the time of all threads, give or take 2 %."""
        told, ticks = report.samples + report.lost, report.seconds * report.rate * threads
        self.assertLessEqual(abs(told - ticks), 0.02 * ticks + 3 * threads,
                             f"{told} instead of {ticks} ticks\n{report.text}")

    def test_c_shares(self):
        with Target("shares_c") as target:
            report = self.sample_by_perf("-p", target.pid, "-r", 1000, "-d", "4s")
            true = target.finish()
        self.assertLess(report.truncated * 100, report.samples, report.text)
        # TOTAL: with the interrupts that hit it, which are many where CPUs are shared.
        for caller in ("share_50", "share_20", "share_recursion", "share_library", "share_sort"):
            self.assert_share(report.total_of(rf"^{caller} \(shares_c\)$"), report.cpu,
                              true[caller], f"TOTAL of {caller}")
        self.assert_wall_time(report, 1)

    def test_cpp_shares_and_a_sleeper(self):
        with Target("shares_cpp") as target:
            report = self.sample_by_perf("-p", target.pid, "-r", 1000, "-d", "4s")
            true = target.finish()
        for name, pattern in (("crunch", r"\bshop::Engine::crunch\("),
                              ("fold", r"\bshop::fold<"), ("visit", r"\bshop::Tree::visit\(")):
            self.assert_share(report.total_of(pattern), report.cpu, true[name],
                              f"TOTAL of {name}")
        self.assert_share(report.total_of(r"\bshop::Idler::wait_for_end\(\)", "waiting"),
                          report.waiting - report.self_of(r"^\[waiting for a CPU\]", "waiting"),
                          1.0, "the waiting thread")
        self.assert_wall_time(report, 2)

    def test_frequent_calls(self):
        """A program that spends 1 % of its time in a call is found there for as long."""
        with Target("shares_calls") as target:
            report = self.sample_by_perf("-p", target.pid, "-r", 1000, "--samples", SAMPLES,
                                         "-d", "30s")
            true = target.finish()
        ask = report.total_of(r"^ask \(shares_calls\)$") / report.cpu
        self.assertLess(abs(ask - true["ask"]), 0.10, report.text)

    def reader(self, **options):
        """A program that is in read(2), of much from /dev/zero, nearly all the time."""
        code = ("import os\nfile, room = os.open('/dev/zero', os.O_RDONLY), [bytearray(1 << 20)]\n"
                "print('ready', flush=True)\nwhile True: os.readv(file, room)")
        target = Process(["/usr/bin/python3", "-Sc", code], **options)
        target.out.wait_for("^ready$")
        return target

    def test_kernel_frames(self):
        """What the kernel does for a thread, by its names, below the frame that called it."""
        with self.reader() as target:
            report = self.sample_by_perf("-p", target.pid, "--native", "-r", 500, "-d", "1s")
            folded = oxprof("-q", "-p", target.pid, "--native", "-r", 500, "-d", "300ms", "-f",
                            "folded", *PERF).out
        kernel = sum(row.self for row in report.rows if row.kind == "kernel"
                     and row.block == "on CPU")
        self.assertGreater(kernel * 10, 9 * report.cpu, report.text)
        calls = report.total_of(r"^do_syscall_64 \(\[kernel\]\)$")
        self.assertGreater(calls * 10, 9 * report.cpu, report.text)
        self.assertEqual(report.self_of(r"^\[kernel\]"), 0, report.text)
        self.assertEqual(report.truncated, 0, report.text)
        self.assertRegex(folded, r"(?m)^_start;(\S+;)*readv;(\S+;)*do_syscall_64;\S*readv;")

    def test_kernel_that_hides_its_addresses(self):
        """A right to sample the kernel, none to know what is where: one frame, [kernel]."""
        if int(read_proc(PARANOID)) < 2:
            self.skipTest(f"{PARANOID} is below 2: /proc/kallsyms is shown")
        program = os.path.join(self.folder(), "oxprof")
        with open(program, "w", encoding="ascii") as script:
            script.write(f"#!/bin/sh\nexec setpriv --inh-caps +perfmon --ambient-caps +perfmon --reuid "
                         f"{NOBODY} {self.for_everybody(harness.OXPROF)} \"$@\"\n")
        os.chmod(program, 0o755)
        with self.reader(user=NOBODY) as target:
            report = self.report(oxprof("-p", target.pid, "--native", "-r", 500, "-d", "1s", *PERF,
                                        program=program))
        kernel = [row for row in report.rows if row.kind == "kernel" and row.block == "on CPU"]
        self.assertEqual([row.function for row in kernel], ["[kernel]"], report.text)
        self.assertGreater(kernel[0].self * 10, 9 * report.cpu, report.text)
        self.assertGreater(report.total_of("readv"), 0, "user frames are there")
        self.assertEqual(report.truncated, 0, report.text)

    def test_cpu_time_is_that_of_the_system(self):
        """Hits on CPU against what the system counted for the thread."""
        with Target("shares_c") as target:
            before = self.cpu_ns(target.pid)
            report = self.sample_by_perf("-p", target.pid, "-r", 500, "-d", "3s", "--mode", "cpu")
            after = self.cpu_ns(target.pid)
            target.finish()
        self.assertLessEqual(report.cpu / report.rate, (after - before) / 1e9 + 0.01)
        self.assertEqual(report.waiting, 0)

    def let_run(self, pid, seconds):
        """Until the system has given it so much of a CPU."""
        end = self.cpu_ns(pid) + seconds * 1e9
        harness.wait_until(lambda: self.cpu_ns(pid) >= end, "it runs")

    def cpu_ns(self, pid):
        return int(read_proc(f"/proc/{pid}/schedstat").split()[0])

    def test_exec(self):
        """A thread that becomes another program is sampled on, by its new names."""
        result = oxprof("-r", 1000, "-f", "folded", *PERF, "--", "sh", "-c",
                        f"i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done; "
                        f"exec {harness.target_path('spin')} 800")
        self.assertRegex(result.out, r"(?m)spin_here [1-9]\d*$", result.err)

    def test_threads_that_come_and_go(self):
        page = os.path.join(self.folder(), "page")
        with open(page, "wb") as file:
            file.truncate(4096)
        with Target("thread_churn", page, 2) as target:
            report = self.sample_by_perf("-p", target.pid, "-r", 1000, "-d", "2s")
            self.assert_untouched(target.pid)
        self.assertGreater(report.threads, 10)
        self.assertGreater(report.total_of(r"^churned_work \(thread_churn\)$"), 0, report.text)

    def test_many_that_sleep(self):
        """Of 1,000 threads the ten that compute are sampled; no wait of the others is disturbed."""
        with Target("sleepers", 1000, 10) as target:
            report = self.sample_by_perf("-p", target.pid, "-r", 200, "-d", "2s")
            self.assertEqual(target.finish()["woken"], 0, "waits that returned")
        self.assertNotIn("not stopped", report.losses)
        self.assertEqual(report.total_of(r"^computer \(sleepers\)$"), report.cpu, report.text)
        self.assert_wall_time(report, 1000)

    def test_paused(self):
        """What runs during a pause does not count."""
        with Target("spin") as target:
            with harness.Oxprof("-p", target.pid, "-r", 1000, "-d", "1s", "--start-paused",
                                *PERF) as run:
                run.wait_started()
                harness.pause(0.7)
                run.send(signal.SIGUSR2)
                report = self.report(run.result())
            self.assert_wall_time(report, 1)

    def test_end_while_paused(self):
        """Neither a pause that ends nor one that the end cuts short counts."""
        with Target("spin") as target:
            with harness.Oxprof("-p", target.pid, "-r", 1000, "-d", "20s", *PERF) as run:
                run.wait_started()
                for sig in (signal.SIGUSR2, signal.SIGUSR2, signal.SIGUSR2, signal.SIGINT):
                    self.let_run(target.pid, 0.3)
                    run.send(sig)
                report = self.report(run.result())
            self.assert_wall_time(report, 1)
            self.assertGreater(report.cpu, 300, report.text)

    def test_refused(self):
        """Where the call is forbidden that is said, with a way on; which then works."""
        with Target("spin") as target:
            result = oxprof("-p", target.pid, *PERF, preexec_fn=forbid_perf)
            self.assert_refused(result, 4, "perf_event_open is forbidden", "--capture auto")
            result = oxprof("-q", "-p", target.pid, "-d", "500ms", *AUTO, preexec_fn=forbid_perf)
        report = self.report(result)
        self.assertEqual(result.err, "", "the cost line says it")
        self.assertTrue(report.perf_refused, report.text)
        self.assertGreater(report.stops, 0, report.text)

    def test_samples_without_room(self):
        """A sampler that is held up loses samples, says so, and counts all time once."""
        with Target("spin") as target:
            with harness.Oxprof("-p", target.pid, "-r", 1000, "-d", "20s", *PERF) as run:
                run.wait_started()
                self.let_run(target.pid, 0.1)
                run.send(signal.SIGSTOP)
                self.let_run(target.pid, 0.3)
                run.send(signal.SIGCONT)
                self.let_run(target.pid, 0.1)
                run.send(signal.SIGINT)
                report = self.report(run.result())
        self.assertGreater(report.losses.get("lost by perf", 0), 20, report.text)
        self.assert_wall_time(report, 1)

    def test_python_is_stopped(self):
        """What Python runs is not in the kernel's samples: its threads are stopped; or --native."""
        with Process(["/usr/bin/python3", "-c", "print('ready', flush=True)\nwhile True: pass"]
                     ) as target:
            target.out.wait_for("^ready$")
            report = self.sample("-p", target.pid, "-d", "1s", *PERF)
            self.assertGreater(report.stops, 0, report.text)
            self.sample_by_perf("-p", target.pid, "-d", "1s", "--native")

    def test_auto_takes_it(self):
        """Threads that run and threads that sleep, and not one stop."""
        for capture in (AUTO, ("--capture", "nostop")):
            with self.subTest(capture=capture), Target("shares_cpp") as target:
                report = self.sample("-p", target.pid, "-r", 1000, "-d", "1s", *capture)
                self.assertEqual((report.stops, report.perf_refused), (0, False), report.text)
                self.assertGreater(report.perf, 0, report.text)
                self.assertNotIn("not stopped", report.losses)
                self.assert_wall_time(report, 2)

    def test_auto_stops_where_that_shows_more(self):
        """Stacks of 300 KiB, of a handler on a stack of its own, and Python's, by stops."""
        for how in ((), ("signal",)):
            with self.subTest(how=how), Target("deep", *how) as target:
                report = self.sample("-p", target.pid, "-r", 1000, "-d", "60s", "--samples", 2000,
                                     *AUTO, seconds=70)
                self.assertGreater(report.stops, 20 * report.perf, report.text[:3000])
                depth = report.total_of(r"^(descend|on_signal) \(deep\)$")
                self.assertEqual(depth, report.cpu, report.text[:3000])
        with Process(["/usr/bin/python3", "-c", "print('ready', flush=True)\nwhile True: pass"]
                     ) as target:
            target.out.wait_for("^ready$")
            report = self.sample("-p", target.pid, "-d", "500ms", *AUTO)
        self.assertGreater(report.self_of(r"^<module> "), 0, report.text)
        self.assertEqual(report.perf, 0, report.text)

    def test_children(self):
        with Target("forker") as target:
            report = self.sample("-p", target.pid, "--children", "-r", 1000, "-d", "2s", *AUTO)
            counters = target.finish()
        self.assertEqual((counters["wrong"], counters["eintr"]), (0, 0), counters)
        self.assertGreater(report.total_of(r"^child_work \(forker\)$"), 0, report.text)
        self.assertGreater(report.perf, 0, report.text)

    def test_max_overhead(self):
        """Fewer looks, by perf and by stops; and all the time is told as before."""
        for capture in (AUTO, ("--capture", "stop")):
            with self.subTest(capture=capture), Target("shares_cpp") as target:
                report = self.sample("-p", target.pid, "-r", 1000, "-d", "2s", "--max-overhead",
                                     1, *capture)
                self.assertLess(float(report.looks), 500, report.text)
                self.assert_wall_time(report, 2)

    def test_user_code_only(self):
        """Without the right to sample the kernel, time there is told as such."""
        if int(read_proc(PARANOID)) != 2:
            self.skipTest(f"{PARANOID} is not 2")
        with Target("shares_calls", path=self.for_everybody(harness.target_path("shares_calls")),
                    user=NOBODY) as target:
            result = oxprof("-p", target.pid, "-r", 1000, "-d", "1s", *PERF,
                            program=self.for_everybody(harness.OXPROF), user=NOBODY)
            report = self.report(result)
            self.assert_wall_time(report, 1)
        self.assertEqual(report.stops, 0)
        self.assertEqual([row for row in report.rows if re.search(r"\(\[kernel\]\)$",
                                                                  row.function)], [], report.text)
        self.assertGreater(report.self_of(r"^\[kernel\]$"), 0, report.text)


if __name__ == "__main__":
    if os.geteuid() != 0 or not allowed():
        print("perf_event_open is not allowed here: skipped")
        raise SystemExit(harness.SKIPPED)
    harness.main()

# SPDX-License-Identifier: MIT
"""oxprof suspended at random moments: its guardian ends an open stop, and no report is lost.

The target's threads measure for themselves how long they were held: neither computing nor waiting
for a CPU. The same program beside it, not profiled, shows what the machine does to any.
"""
import fcntl
import mmap
import os
import pty
import random
import signal
import struct
import termios
import time

import harness
import storms
from harness import Oxprof, Process, Report, Target, children, faults, pause, wait_until
from window import Page, why_hidden

STOPS = storms.size(15, 200)
BOTH = storms.size(4, 20)
SUSPENSIONS = storms.size(4, 20)
PEER_STOPS = 3
PEER_S = 2
THREADS = 2
PROMISE_MS = 150
LINE = 5  # words of struct line in tests/targets/real_time.c
LOOKS, GAP, HELD, ASKED, BEGUN = range(LINE)


class RealTime(Target):
    """The target real_time, and what its threads tell of their gaps."""

    def __init__(self, folder, name, threads):
        path = os.path.join(folder, name)
        super().__init__("real_time", path, threads)
        self.threads = threads
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 8 * LINE * threads)

    def word(self, thread, which):
        return struct.unpack_from("<Q", self.map, 8 * (LINE * thread + which))[0]

    def words(self, which):
        return [self.word(thread, which) for thread in range(self.threads)]

    def begin_anew(self):
        for thread in range(self.threads):
            asked = self.word(thread, ASKED) + 1
            struct.pack_into("<Q", self.map, 8 * (LINE * thread + ASKED), asked)
        wait_until(lambda: self.words(ASKED) == self.words(BEGUN), "a new measurement")

    def longest_ms(self, which):
        """Of all threads, once they have looked again and told of it."""
        before = self.words(LOOKS)

        def have_looked():
            return all(now > then + 2000 for now, then in
                       zip(self.words(LOOKS), before, strict=True))
        wait_until(have_looked, "the target's progress")
        return max(self.words(which)) / 1e6


def state_of(pid):
    return harness.task_status(pid, pid).get("State", "X")[0]


def waited_ms(*pids):
    """How long all their threads have waited for a CPU: a busy machine's part in a delay."""
    lines = [harness.read_proc(f"/proc/{pid}/task/{tid}/schedstat")
             for pid in pids for tid in harness.tasks(pid)]
    return sum(int(line.split()[1]) for line in lines if line) / 1e6


class Guardian(storms.Case):
    def setUp(self):
        seed = random.randrange(1 << 32)
        print(f"  seed {seed}", flush=True)
        self.moments = random.Random(seed)
        if storms.PEER == "oxprof" and (why := why_hidden()):
            self.skipTest(why)

    def aim(self, page, number):
        """Every other time at an open stop; else anywhere."""
        pause(self.moments.uniform(0, 0.01))
        deadline = time.perf_counter() + 0.5
        while number % 2 and not page.open_since_ns and time.perf_counter() < deadline:
            continue

    def wait_growth(self, page, what):
        before = page.samples
        wait_until(lambda: page.samples > before + 5, f"more samples {what}, after {before}")

    def sampler(self, target):
        return Oxprof("-p", target.pid, "-r", 1000, "-d", "1h")

    def end(self, sampler, page):
        """SIGINT: the report, with all that was sampled."""
        counted = page.samples
        sampler.send(signal.SIGINT)
        result = sampler.result()
        self.assertEqual(result.code, 0, result.err)
        self.assertNotRegex(result.err, "killed|died")
        self.assertGreaterEqual(Report(result.out).samples, counted)
        return counted

    # ---- SIGSTOP of the sampler

    def stop_once(self, sampler, target, page, number):
        """The time that the target was held; whether a stop was open."""
        guardian, = children(sampler.pid)
        target.begin_anew()
        waited = waited_ms(guardian, sampler.pid)
        self.aim(page, number)
        sampler.send(signal.SIGSTOP)
        wait_until(lambda: state_of(sampler.pid) == "T", "the sampler's suspension")
        was_open = page.open_since_ns != 0
        # Whoever ends the stop, the sampler stays suspended until it is continued by us.
        wait_until(lambda: not page.open_since_ns and state_of(sampler.pid) == "T",
                   "the end of the stop, with the sampler suspended")
        held = target.longest_ms(HELD)
        sampler.send(signal.SIGCONT)
        self.wait_growth(page, "after SIGCONT")
        return held, was_open, waited_ms(guardian, sampler.pid) - waited

    def test_sampler_stopped(self):
        self.oxprof_only()
        held, in_window, bad, waited, noises = [], 0, 0, 0, [0, 0]
        with RealTime(self.folder(), "target", THREADS) as target, \
                RealTime(self.folder(), "control", 1) as control, \
                self.sampler(target) as sampler, Page(sampler.pid) as page:
            page.wait_sampling()
            for number in range(STOPS):
                control.begin_anew()
                ms, was_open, queued_ms = self.stop_once(sampler, target, page, number)
                noise = [control.longest_ms(GAP), control.longest_ms(HELD)]
                held.append(ms)
                in_window += was_open
                bad += ms > PROMISE_MS + queued_ms + noise[1]
                waited = max(waited, queued_ms)
                noises = [max(pair) for pair in zip(noises, noise, strict=True)]
            samples = self.end(sampler, page)
            self.assert_untouched(target.pid)
            control.finish()
            target.finish()
        self.conclude("guardian", len(held), STOPS, bad, held, "ms", in_window=in_window,
                      samples=samples, waited_for_cpu=round(waited, 1),
                      control_gap=round(noises[0], 1), control_held=round(noises[1], 1))
        self.assertGreater(in_window, 0, "no stop was open at any of the moments")

    # ---- of both

    def both_once(self, sampler, page, number, guardian_first):
        guardian, = children(sampler.pid)
        pair = [guardian, sampler.pid]
        self.aim(page, number)
        for pid in pair:
            os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: all(state_of(pid) == "T" for pid in pair), "both suspended")
        was_open = page.open_since_ns != 0
        pause(self.moments.uniform(0.01, 0.25))
        self.assertEqual(page.open_since_ns != 0, was_open, "nobody is there to end it")
        for pid in pair if guardian_first else reversed(pair):
            os.kill(pid, signal.SIGCONT)
        self.wait_growth(page, f"after SIGCONT, guardian first: {guardian_first}")
        return was_open

    def test_both_stopped(self):
        """The target hangs meanwhile if a stop was open, and not afterwards."""
        self.oxprof_only()
        in_window = 0
        with RealTime(self.folder(), "target", THREADS) as target, \
                self.sampler(target) as sampler, Page(sampler.pid) as page:
            page.wait_sampling()
            for number in range(BOTH):
                in_window += self.both_once(sampler, page, number, number % 4 > 1)
                target.begin_anew()
                target.longest_ms(GAP)
            samples = self.end(sampler, page)
            target.finish()
        self.conclude("guardian_both", BOTH, BOTH, 0, in_window=in_window, samples=samples)

    # ---- Ctrl-Z

    def suspend_once(self, sampler, page, suspend):
        suspend()
        # As its shell sees it.
        event = os.waitid(os.P_PID, sampler.pid, os.WSTOPPED)
        self.assertEqual((event.si_code, event.si_status), (os.CLD_STOPPED, signal.SIGSTOP))
        self.assertEqual(page.open_since_ns, 0, "suspended with a stop open")
        sampler.send(signal.SIGCONT)
        self.wait_growth(page, "after Ctrl-Z and fg")

    def test_terminal(self):
        """Ctrl-Z in a terminal suspends it with no thread in hand; Ctrl-C ends it with a report."""
        self.oxprof_only()
        ours, theirs = pty.openpty()
        with RealTime(self.folder(), "target", THREADS) as target, \
                Process([harness.OXPROF, *harness.CAPTURE, "-p", str(target.pid), "-r", "1000", "-d",
                         "1h"],
                        stdin=theirs, start_new_session=True,
                        preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)) as sampler, \
                Page(sampler.pid) as page:
            os.close(theirs)
            page.wait_sampling()
            for _ in range(SUSPENSIONS):
                pause(self.moments.uniform(0, 0.01))
                self.suspend_once(sampler, page, lambda: os.write(ours, b"\x1a"))
            counted = page.samples
            os.write(ours, b"\x03")
            self.assertEqual(sampler.wait(), 0, sampler.texts())
            self.assertGreaterEqual(Report(sampler.out.rest()).samples, counted)
            self.assert_untouched(target.pid)
            target.finish()
        os.close(ours)
        self.conclude("guardian_terminal", SUSPENSIONS, SUSPENSIONS, 0, samples=counted)

    # ---- other programs

    def peer_once(self, target):
        argv = [*storms.PEER_ARGV[storms.PEER], str(target.pid)]

        def attached():
            return traced(target.pid) or peer.popen.poll() is not None
        target.begin_anew()
        with Process(argv) as peer:
            wait_until(attached, "its attachment")
            peer.send(signal.SIGSTOP)
            pause(PEER_S)
            peer.send(signal.SIGCONT)
            if storms.PEER == "strace":
                peer.send(signal.SIGINT)
            peer.wait()
        if faults(target.pid):
            print(f"  left by {storms.PEER}: {faults(target.pid)}", flush=True)
            target.send(signal.SIGCONT)
        return target.longest_ms(HELD)

    def test_peer_stopped(self):
        if storms.PEER == "oxprof":
            self.skipTest("STORM_PEER names no other program")
        with RealTime(self.folder(), "target", THREADS) as target:
            held = [self.peer_once(target) for _ in range(PEER_STOPS)]
            target.finish()
        bad = sum(ms > PROMISE_MS for ms in held)
        self.conclude("guardian", PEER_STOPS, PEER_STOPS, bad, held, "ms")


def traced(pid):
    return any(harness.task_status(pid, tid).get("TracerPid", "0") != "0"
               for tid in harness.tasks(pid))


if __name__ == "__main__":
    harness.main()

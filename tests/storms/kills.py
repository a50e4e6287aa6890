# SPDX-License-Identifier: MIT
"""oxprof ended at random moments under a storm of queued signals: the target must not notice.

Half of the moments are uniform in the first 5 ms of sampling; the others are aimed at an open
stop. Whether a stop was open when the sampler died, the page that it shared with its guardian
tells afterwards: in_window. Afterwards every receiver of the target goes on, no signal and no tick
of a timer is missing, nothing of the target is stopped or traced, and the guardian has ended.
"""
import ctypes
import itertools
import os
import random
import resource
import signal
import time

import harness
import storms
from harness import Oxprof, children, faults, pause, wait_until
from queued_signals import Fire, wrongs
from window import HEARTBEAT, Page, why_hidden

SIGKILLS = storms.size(100, 1000)
OTHERS = storms.size(10, 100)
OUT_OF_MEMORY = storms.size(5, 50)
BATCH = 250  # per target, which lives two minutes at most
STUCK_S = 5
LASTS_S = 0.3
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def adopt_orphans():
    """Makes the guardians ours when their samplers die: to be reaped, and asked how they ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def spin(seconds):
    """Shorter than a sleep can be."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def pin(pid, cpus):
    for tid in harness.tasks(pid):
        os.sched_setaffinity(tid, cpus)


class Placement:
    """Which CPUs the target and the sampler may use; where they meet makes another race."""

    def __init__(self, name, target, sampler):
        self.name, self.target, self.sampler = name, target, sampler

    @staticmethod
    def all():
        cpus = os.sched_getaffinity(0)
        first, last = {min(cpus)}, {max(cpus)}
        return [Placement("any", cpus, cpus), Placement("same CPU", first, first),
                Placement("other CPU", first, last)]

    def start_sampler(self, pid, **options):
        """A child begins with our own CPUs."""
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.sampler)
        try:
            return Oxprof("-p", pid, "-r", 1000, "-d", "60s", **options)
        finally:
            os.sched_setaffinity(0, before)


# ---- moments: when the sampler, which has just begun, is ended


def uniform(_page, moments):
    spin(moments.uniform(0, 0.005))


def aimed(page, moments):
    """A stop opens, and within its usual length."""
    delay = moments.uniform(0, 0.00008)
    deadline = time.perf_counter() + 0.5
    while not page.open_since_ns and time.perf_counter() < deadline:
        continue
    spin(delay)


# ---- ways to end it; each gives the exit status that must follow


def end_by(sig):
    def end(sampler, _moments):
        os.kill(sampler.pid, sig)
        return -sig
    return end


def end_stopped(sampler, moments):
    """Suspended first, perhaps with a stop open, and killed before the guardian's patience ends."""
    os.kill(sampler.pid, signal.SIGSTOP)
    pause(moments.uniform(0, 0.03))
    os.kill(sampler.pid, signal.SIGKILL)
    return -signal.SIGKILL


# ---- ends for want of memory: at whatever it needs next


class MemoryGroup:
    """A control group whose limit is too small; of either version."""

    PLACES = (("/sys/fs/cgroup", "memory.max"),
              ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"))
    CODES = (-signal.SIGKILL,)

    def __init__(self):
        self.folder = self.limit = None
        for root, limit in self.PLACES:
            folder = os.path.join(root, f"oxprof-storm-{os.getpid()}")
            try:
                os.mkdir(folder)
            except OSError:
                continue
            if os.path.exists(os.path.join(folder, limit)):
                self.folder, self.limit = folder, limit
                return
            os.rmdir(folder)

    def write(self, name, value):
        with open(os.path.join(self.folder, name), "w", encoding="ascii") as file:
            file.write(str(value))

    def restrict(self, moments):
        """From too little to begin with, to what lasts for a while."""
        limit = 4096 * moments.randrange(150, 270)
        self.write(self.limit, limit)
        return lambda: self.write("cgroup.procs", os.getpid())

    def release(self):
        wait_until(self.try_release, "an empty control group")

    def try_release(self):
        try:
            os.rmdir(self.folder)
        except OSError:
            return False
        return True


# What the dynamic linker needs until main() begins; whoever has less never was a sampler.
LOADED_PAGES = 5000


class AddressSpace:
    """RLIMIT_AS: it gives up by itself."""

    CODES = (-signal.SIGABRT,)

    def restrict(self, moments):
        limit = 4096 * moments.randrange(LOADED_PAGES, 9500)
        return lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    def release(self):
        pass


def page_or_none(pid):
    """It may have died before it made one."""
    try:
        return Page(pid, patience_s=0)
    except (AssertionError, FileNotFoundError, ProcessLookupError):
        return None


class Tally:
    def __init__(self):
        self.ended = self.in_window = self.stuck = self.remains = self.eintr = 0
        self.guardians = self.too_late = 0
        self.resumed_ms, self.base_ms = [], []
        self.survived = self.sampling = 0
        self.found = {}

    def add_wrongs(self, found):
        for name, count in found.items():
            self.found[name] = self.found.get(name, 0) + count


def reaped(pid):
    """What waitpid says of it, or None while it lives."""
    result = os.waitpid(pid, os.WNOHANG)
    return result if result[0] == pid else None


class Kills(storms.Case):
    def setUp(self):
        self.oxprof_only()
        if why := why_hidden():
            self.skipTest(why)
        adopt_orphans()
        seed = random.randrange(1 << 32)
        print(f"  seed {seed}", flush=True)
        self.moments = random.Random(seed)

    def time_to_progress(self, fire):
        """Until all receivers have gone on, in ms; None: not all of them have."""
        begin = time.perf_counter()
        before = fire.progress()
        while any(now == then for now, then in zip(fire.progress(), before, strict=True)):
            if time.perf_counter() - begin > STUCK_S:
                return None
            pause(0.0001)
        return 1000 * (time.perf_counter() - begin)

    def reap_orphans(self, tally):
        """The guardian, ours since its sampler died, ends by itself; nothing else may be left."""
        for orphan in set(children(os.getpid())) - self.expected:
            os.sched_setaffinity(orphan, os.sched_getaffinity(0))
            try:
                _, status = wait_until(lambda pid=orphan: reaped(pid), "the guardian's end")
            except AssertionError as error:
                print(f"  {error}: {harness.task_status(orphan, orphan)}", flush=True)
                tally.remains += 1
                os.kill(orphan, signal.SIGKILL)
                os.waitpid(orphan, 0)
            else:
                # 1: its sampler died before it could begin.
                tally.too_late += os.waitstatus_to_exitcode(status) == 1
                tally.guardians += 1

    def end_once(self, fire, sampler, moment, end, tally):
        with Page(sampler.pid) as page:
            page.wait_sampling()
            moment(page, self.moments)
            expected = end(sampler, self.moments)
            resumed = self.time_to_progress(fire)
            code = sampler.wait()
            tally.in_window += page.open_since_ns != 0
        self.assertEqual(code, expected, sampler.texts())
        self.after_end(fire, resumed, tally)

    def after_end(self, fire, resumed, tally):
        tally.ended += 1
        if resumed is None:
            tally.stuck += 1
        else:
            tally.resumed_ms.append(resumed)
        self.reap_orphans(tally)
        wait_until(lambda: not faults(fire.pid), "neither stopped nor traced", STUCK_S)
        if (base := self.time_to_progress(fire)) is not None:
            tally.base_ms.append(base)

    def batch(self, count, end, placement, tally):
        with Fire(self.folder()) as fire:
            self.expected = {fire.pid}
            pin(fire.pid, placement.target)
            for moment in itertools.islice(itertools.cycle((uniform, aimed)), count):
                with placement.start_sampler(fire.pid) as sampler:
                    self.end_once(fire, sampler, moment, end, tally)
            if tally.stuck:
                print(f"  {fire.numbers()}: {faults(fire.pid)}", flush=True)
            self.finish(fire, f"{count} on {placement.name}", tally)

    def finish(self, fire, what, tally):
        counters = fire.finish()
        print(f"  {what}: {counters}", flush=True)
        tally.add_wrongs(wrongs(counters))
        tally.eintr += counters["eintr"]

    def storm(self, name, total, end, floor_in_window=0):
        tally = Tally()
        placements = itertools.cycle(Placement.all())
        for size in batch_sizes(total):
            self.batch(size, end, next(placements), tally)
        self.conclude_tally(name, total, tally)
        self.assertGreaterEqual(tally.in_window, floor_in_window, "ends with a stop open")

    def conclude_tally(self, name, floor, tally):
        bad = tally.stuck + tally.remains + sum(tally.found.values())
        base = sorted(tally.base_ms)
        self.conclude(name, tally.ended, floor, bad, tally.resumed_ms, "ms",
                      in_window=tally.in_window, stuck=tally.stuck, remains=tally.remains,
                      guardians=tally.guardians, guardians_too_late=tally.too_late,
                      found=tally.found, eintr=tally.eintr,
                      base_p50=round(storms.quantile(base, 0.5), 1),
                      base_p99=round(storms.quantile(base, 0.99), 1))

    def test_killed(self):
        self.storm("kills", SIGKILLS, end_by(signal.SIGKILL), SIGKILLS // 10)

    def test_segmentation_fault(self):
        self.storm("kills_segv", OTHERS, end_by(signal.SIGSEGV))

    def test_aborted(self):
        self.storm("kills_abrt", OTHERS, end_by(signal.SIGABRT))

    def test_stopped_then_killed(self):
        self.storm("kills_stop", OTHERS, end_stopped)

    def starve_once(self, fire, limit, tally):
        prepare = limit.restrict(self.moments)
        with Oxprof("-p", fire.pid, "-r", 1000, "-d", "60s", preexec_fn=prepare) as sampler:
            page = page_or_none(sampler.pid)
            deadline = time.monotonic() + LASTS_S
            while sampler.popen.poll() is None and time.monotonic() < deadline:
                pause(0.0005)
            resumed = self.time_to_progress(fire)
            if sampler.popen.poll() is None:
                tally.survived += 1
                sampler.popen.kill()
                sampler.wait()
                self.reap_orphans(tally)
                return
            self.assertIn(sampler.wait(), limit.CODES, sampler.texts())
            if page:
                tally.sampling += page.words[HEARTBEAT] != 0
                tally.in_window += page.open_since_ns != 0
                page.__exit__()
            self.after_end(fire, resumed, tally)

    def starve(self, name, limit):
        tally = Tally()
        try:
            with Fire(self.folder()) as fire:
                self.expected = {fire.pid}
                while tally.ended < OUT_OF_MEMORY and tally.survived <= OUT_OF_MEMORY:
                    self.starve_once(fire, limit, tally)
                self.finish(fire, f"{tally.survived} lasted, {tally.sampling} of the others had "
                            "begun to sample", tally)
        finally:
            limit.release()
        self.conclude_tally(name, OUT_OF_MEMORY, tally)

    def test_out_of_memory(self):
        group = MemoryGroup()
        if not group.folder:
            self.skipTest("no control group with a limit on memory can be made here")
        self.starve("kills_oom", group)

    def test_out_of_address_space(self):
        self.starve("kills_rlimit_as", AddressSpace())


def batch_sizes(total):
    """At least one for each placement."""
    batches = max(3, -(-total // BATCH))
    return [total // batches + (i < total % batches) for i in range(batches)]


if __name__ == "__main__":
    harness.main()

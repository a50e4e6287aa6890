# SPDX-License-Identifier: MIT
"""oxprof killed at random moments under a storm of queued signals: the target must not notice."""
import mmap
import os
import random
import struct

import harness
from harness import Oxprof, Target, children, faults, has_ended, pause, wait_until

SIGNALS = 100000
KILLS = 100
RECEIVERS = 3


class Progress:
    """The target's own counters, one for each receiver."""

    def __init__(self, path):
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 8 * RECEIVERS)

    def read(self):
        return struct.unpack(f"<{RECEIVERS}Q", self.map[:])

    def wait_growth(self, what):
        before = self.read()
        wait_until(lambda: all(now > then for now, then in zip(self.read(), before, strict=True)),
                   f"progress of all receivers {what}, from {before}", 5)


class Storm(harness.Case):
    def kill_once(self, target, progress, delay):
        with Oxprof("-p", target.pid, "-r", 1000, "-d", "60s") as profiler:
            profiler.wait_started()
            pause(delay)
            helpers = children(profiler.pid)
            profiler.popen.kill()
            self.assertEqual(profiler.wait(), -9, f"oxprof ended before: {profiler.texts()}")
            wait_until(lambda: not faults(target.pid), "neither stopped nor traced", 5)
            progress.wait_growth("after a kill")
            wait_until(lambda: all(map(has_ended, helpers)), f"end of its helpers {helpers}", 5)

    def test_killed_in_a_storm(self):
        seed = random.randrange(1 << 32)
        moments = random.Random(seed)
        path = os.path.join(self.folder(), "progress")
        with Target("storm", path, SIGNALS) as target:
            progress = Progress(path)
            for _ in range(KILLS):
                self.kill_once(target, progress, moments.uniform(0, 0.05))
            counters = target.finish()
        print(f"  seed {seed}: {KILLS} kills, {counters}", flush=True)
        self.check(counters)

    def test_sampled_in_a_storm(self):
        path = os.path.join(self.folder(), "progress")
        with Target("storm", path, SIGNALS // 5) as target:
            report = self.sample("-p", target.pid, "-r", 1000, "-d", "2s")
            counters = target.finish()
        print(f"  {counters}", flush=True)
        self.check(counters, SIGNALS // 5)
        self.assertEqual(counters["eintr"], 0, "sigwaitinfo interrupted")
        self.assertGreater(report.total_of(r"^compute_under_fire \(storm\)$"), 0, report.text)

    def check(self, counters, floor=SIGNALS):
        self.assertGreaterEqual(counters["sent"], floor, counters)
        self.assertEqual(counters["received"], counters["sent"], f"signals lost: {counters}")
        self.assertEqual(counters["disordered"], 0, f"out of order or with other data: {counters}")
        self.assertEqual(counters["foreign"], 0, f"not from the sender: {counters}")


if __name__ == "__main__":
    harness.main()

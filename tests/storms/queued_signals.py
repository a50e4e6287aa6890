# SPDX-License-Identifier: MIT
"""Queued real-time signals and timers of a sampled target: each arrives, in order, as it was sent.

The target counts: what was queued against what came, sequence numbers, senders, interrupted calls;
and the expirations of its timers, each of which a delivery or its overruns must account for.
"""
import mmap
import os
import struct

import harness
import storms
from harness import Target, wait_until

SIGNALS = storms.size(20000, 100000)
CONTROL = 5000
RECEIVERS = 3


class Fire(Target):
    """The target storm. Its witness file: progress, then signals queued, of each receiver."""

    def __init__(self, folder):
        path = os.path.join(folder, "witness")
        super().__init__("storm", path)
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 2 * 8 * RECEIVERS)

    def numbers(self):
        return struct.unpack(f"<{2 * RECEIVERS}Q", self.map[:])

    def progress(self):
        return self.numbers()[:RECEIVERS]

    def sent(self):
        return sum(self.numbers()[RECEIVERS:])

    def wait_sent(self, count, seconds=60):
        wanted = self.sent() + count
        wait_until(lambda: self.sent() >= wanted, f"{count} more signals", seconds)


def wrongs(counters):
    """What may not be; how often."""
    lost = counters["sent"] - counters["received"]
    names = ("disordered", "foreign", "ticks_missing", "ticks_surplus", "ticks_foreign")
    found = {"lost": abs(lost)} | {name: counters[name] for name in names}
    return {name: count for name, count in found.items() if count}


class QueuedSignals(storms.Case):
    def control(self):
        """The same without a profiler."""
        with Fire(self.folder()) as fire:
            fire.wait_sent(CONTROL)
            counters = fire.finish()
        self.assertEqual(wrongs(counters), {}, f"without any profiler: {counters}")
        return counters

    def test_queued_signals(self):
        control = self.control()
        with Fire(self.folder()) as fire:
            with storms.Profiling(fire.pid, rate=1000) as profiling:
                fire.wait_sent(SIGNALS)
            counters = self.ended(fire)
        print(f"  {counters}", flush=True)
        found = wrongs(counters)
        eintr = max(0, counters["eintr"] - control["eintr"])
        report = profiling.report
        stops = {"stops": report.stops, "put_back": report.repaired} if report else {}
        self.conclude("queued_signals", counters["received"], SIGNALS, sum(found.values()) + eintr,
                      found=found, eintr=eintr, ticks=counters["ticks"],
                      expirations=counters["expirations"], **stops)
        if report:
            self.assertGreater(report.total_of(r"^compute_under_fire \(storm\)$"), 0, report.text)

    def ended(self, fire):
        """Its counters, also where a peer has left it stopped or its signals lost."""
        if storms.PEER != "oxprof" and harness.faults(fire.pid):
            print(f"  left by {storms.PEER}: {harness.faults(fire.pid)}", flush=True)
            fire.send(harness.signal.SIGCONT)
            wait_until(lambda: not harness.faults(fire.pid), "the target's recovery")
        return fire.finish()


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""Half-busy servers in calls that a stop would interrupt: no EINTR, and their timeouts expire."""
import harness
from harness import Target, pause

ALONE_S = 2


class Waits(harness.Case):
    def alone(self, name):
        """Timeouts in a second without a profiler."""
        with Target(name) as target:
            pause(ALONE_S)
            counters = target.finish()
        self.assertEqual(counters["eintr"], 0, f"{name} without a profiler: {counters}")
        return counters["timeouts"] / counters["seconds"]

    def check(self, name, *options):
        alone = self.alone(name)
        with Target(name) as target:
            report = self.sample("-p", target.pid, "-r", 1000, "-d", "3s", *options)
            counters = target.finish()
        sampled = counters["timeouts"] / counters["seconds"]
        print(f"  {name}: {alone:.1f} timeouts/s alone, {sampled:.1f} sampled: {counters}",
              flush=True)
        self.assertEqual(counters["eintr"], 0, f"EINTR that nobody sent: {counters}")
        self.assertEqual(counters["other"], 0, f"other results than without: {counters}")
        self.assertEqual(counters["early"], 0, f"timeouts before their time: {counters}")
        self.assertEqual(counters["events"], counters["drives"], f"events lost: {counters}")
        self.assertGreaterEqual(sampled, 0.9 * alone, f"timeouts that did not fire: {counters}")
        self.assertEqual(report.disturbed, 0, "system calls disturbed, says the report")
        self.assertGreater(report.cpu, 0, "nothing seen on CPU")
        self.assertGreater(report.waiting, 0, "nothing seen waiting")

    def test_epoll_wait(self):
        self.check("epoll_half")

    def test_semop(self):
        self.check("semop_half")

    def test_sigtimedwait(self):
        self.check("sigtimedwait_half")

    def test_recv_with_timeout(self):
        self.check("recvtimeo_half")

    def test_epoll_wait_without_stops(self):
        with Target("epoll_half") as target:
            report = self.sample("-p", target.pid, "-r", 1000, "-d", "1s", "--capture", "nostop")
            counters = target.finish()
        self.assertEqual(report.stops, 0, "stops with --capture nostop")
        self.assertEqual(counters["eintr"], 0, counters)


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""2,000 threads of which 1,990 sleep: no sleeper is stopped, and each gets every tick."""
import harness
from harness import Target, pause, read_proc, task_names, task_status, wait_until

THREADS = 2000
COMPUTING = 10
RATE_HZ = 100
SECONDS = 3


def switches(pid, tid):
    """How often a thread has begun or ceased to run: a stop changes all three."""
    status = task_status(pid, tid)
    schedstat = read_proc(f"/proc/{pid}/task/{tid}/schedstat").split()
    return (status["voluntary_ctxt_switches"], status["nonvoluntary_ctxt_switches"], schedstat[2])


def settled(pid, tids):
    """The sleepers' counts once all of them sleep, else None."""
    before = {tid: switches(pid, tid) for tid in tids}
    pause(0.05)
    return before if before == {tid: switches(pid, tid) for tid in tids} else None


class Sleepers(harness.Case):
    def check_credits(self, report, sleepers):
        """Each sleeper has the same number of waiting samples; what lacks is listed as lost."""
        hits = [report.thread_hits.get(tid, ("", 0, 0)) for tid in sleepers]
        ticks = max(waiting for _, _, waiting in hits)
        lacking = sum(ticks - waiting for _, _, waiting in hits)
        expected = report.seconds * report.rate
        print(f"  {ticks} ticks of {expected:.0f}, {lacking} credits lacking", flush=True)
        self.assertEqual(sum(cpu for _, cpu, _ in hits), 0, "sleepers on CPU")
        self.assertLessEqual(lacking, report.lost, f"lacking, and not listed: {report.losses}")
        self.assertLessEqual(ticks, expected + 2, "more credits than ticks")
        self.assertGreaterEqual(ticks, expected - report.missed - 2, "ticks not credited")

    def test_sleepers(self):
        with Target("sleepers", THREADS, COMPUTING) as target:
            names = task_names(target.pid)
            self.assertEqual(len(names), THREADS, "threads of the target")
            sleepers = [tid for tid, name in names.items() if name != "computer"]
            self.assertEqual(len(sleepers), THREADS - COMPUTING, "sleepers")
            before = wait_until(lambda: settled(target.pid, sleepers), "all asleep")
            report = self.sample("-p", target.pid, "-r", RATE_HZ, "-d", f"{SECONDS}s", "--threads")
            after = {tid: switches(target.pid, tid) for tid in sleepers}
            counters = target.finish()
        moved = [tid for tid in sleepers if before[tid] != after[tid]]
        self.assertEqual(len(moved), 0, f"sleepers that ran: {len(moved)} of {len(sleepers)}")
        self.assertEqual(counters["woken"], 0, "waits that returned")
        self.assertEqual(report.threads, THREADS)
        self.check_credits(report, sleepers)
        looks = COMPUTING * (report.seconds * report.rate + 2)
        self.assertLessEqual(report.stops, looks, "more stops than looks at computing threads")
        self.assertEqual(report.disturbed, 0, "system calls disturbed")
        self.assertGreater(report.self_of(r"^compute \(sleepers\)$"), 0, report.text[:2000])
        for call in ("poll", "read", "epoll_wait", "pthread_cond_wait", "pause", "select"):
            self.assertGreater(report.total_of(rf"{call}\b.*\(libc", "waiting"), 0, f"no {call}")


if __name__ == "__main__":
    harness.main()

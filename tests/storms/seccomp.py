# SPDX-License-Identifier: MIT
"""B6: targets whose seccomp filter answers restart_syscall by death, a signal or an error, or kills
for all but the calls that they make, live on under thousands of samples, and see no EINTR."""
import storms
from storms import PEER, Profiling, size
from harness import Target, faults, main, pause

FILTERS = ("kill", "kill_thread", "trap", "errno", "list")
SAMPLES = size(1000, 10000)
RATE = size(1000, 2000)
MOST_S = size(10, 60)
THREADS = 2
PEER_S = 3


class Seccomp(storms.Case):
    def sampled(self, target):
        """The report after so many samples; the target may have been killed."""
        if PEER == "oxprof":
            return self.sample("-p", target.pid, "-r", RATE, "--samples", SAMPLES,
                               "-d", f"{MOST_S}s", seconds=MOST_S + 20)
        with Profiling(target.pid):
            pause(PEER_S)
        return None

    def check(self, name):
        with Target("seccomp_matrix", name, THREADS) as target:
            report = self.sampled(target)
            killed = bool(faults(target.pid)) or target.popen.poll() is not None
            counters = {} if killed else target.finish()
        wrong = {key: counters.get(key, 0) for key in ("eintr", "wrong", "early")}
        ended = THREADS - counters.get("ended", 0)
        more = {"waits": counters.get("waits", 0), "killed": int(killed), **wrong}
        if report:
            more |= {"stops": report.stops, "repaired": report.repaired,
                     "disturbed": report.disturbed}
            self.assertGreater(report.stops, 0, "never stopped: nothing was proved")
        self.conclude(f"B6 {name}", report.samples if report else more["waits"], SAMPLES,
                      sum(wrong.values()) + ended, **more)

    def test_filters(self):
        for name in FILTERS:
            with self.subTest(filter=name):
                self.check(name)


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""A target whose seccomp filter kills on restart_syscall survives 10,000 samples."""
import harness
from harness import Target

SAMPLES = 10000


class Seccomp(harness.Case):
    def test_survives(self):
        with Target("seccomp_norestart", 2) as target:
            report = self.sample("-p", target.pid, "-r", 3000, "--samples", SAMPLES, "-d", "40s",
                                 seconds=50)
            counters = target.finish()
        print(f"  {counters}", flush=True)
        self.assertGreaterEqual(report.samples, SAMPLES, "samples")
        self.assertGreater(report.stops, 0, "never stopped: nothing was proved")
        self.assertEqual(counters["eintr"], 0, f"EINTR that nobody sent: {counters}")
        self.assertEqual(counters["wrong"], 0, f"waits with another result: {counters}")
        self.assertEqual(report.disturbed, 0, "system calls disturbed")


if __name__ == "__main__":
    harness.main()

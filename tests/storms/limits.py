# SPDX-License-Identifier: MIT
"""S21, B15: a target that has more of everything than oxprof keeps. Proves that every sample is
counted whatever the limits, that the report says which of them were reached, and that oxprof's
memory and descriptors stay bounded; and, under a target that is half busy for as long as you like,
that neither grows."""
import os
import re
import resource

import harness
import storms
from harness import Oxprof, Report, Target, parse_tsv, pause, wait_until

STACKS_FLOOR = storms.size(100000, 10000000)  # 200,000 on an idle machine
STACKS_S = storms.size(5, 300)
CHURNERS = storms.size(2, 20)
MEMORY_MAX_MIB = 256
TIGHT_FILES = 256
SOAK_S = storms.size(10, 600)
SOAK_LOOK_S = storms.size(0.5, 10)
SOAK_CALM_S = storms.size(2, 60)  # from then on nothing grows
SOAK_SLACK_KIB = 512
KEPT_FILES = 4  # of the two threads that are stopped, once they are


def peak_mib(profiler):
    """Of the process as it is now; 0 when it is gone."""
    text = harness.read_proc(f"/proc/{profiler.pid}/status") or ""
    match = re.search(r"^VmHWM:\s+(\d+) kB$", text, re.M)
    return int(match.group(1)) / 1024 if match else 0


def resident_kib(pid):
    match = re.search(r"^VmRSS:\s+(\d+) kB$", harness.read_proc(f"/proc/{pid}/status") or "", re.M)
    return int(match.group(1)) if match else 0


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def few_files():
    resource.setrlimit(resource.RLIMIT_NOFILE, (TIGHT_FILES, TIGHT_FILES))


def announced(profiler):
    """The number of samples that oxprof says it has at its end."""
    return int(re.search(r"^oxprof: (\d+) samples? in ", profiler.err.rest(), re.M).group(1))


class Limits(storms.Case):
    def setUp(self):
        self.oxprof_only()

    def many(self, *args):
        target = Target("many", *args, 2 * max(STACKS_S, SOAK_S) + 100)
        self.addCleanup(target.__exit__)
        return target

    def end(self, profiler):
        """Ends it; its exit code and its peak in MiB, the writing of the report included."""
        peaks = [peak_mib(profiler)]
        profiler.send(harness.signal.SIGINT)

        def ended():
            peaks.append(peak_mib(profiler))
            return profiler.popen.poll() is not None

        wait_until(ended, "its end", storms.size(30, 120))
        return profiler.wait(), max(peaks)

    def start(self, target, *args, **options):
        profiler = Oxprof("-p", target.pid, "-d", "1h", *args, **options)
        self.addCleanup(profiler.__exit__)
        profiler.wait_started()
        return profiler

    def sampled(self, report):
        self.check_sums(report)
        print(f"  {report.summary()}, limits {report.limits}", flush=True)
        return report.samples

    def test_stacks_threads_names_modules(self):
        target = self.many(512, CHURNERS, 24, 0)
        profiler = self.start(target, "-r", 100)
        pause(STACKS_S)
        code, peak = self.end(profiler)
        self.assertEqual(code, 0, profiler.texts())
        report = Report(profiler.out.rest())
        samples = self.sampled(report)
        made = target.finish()
        self.assertEqual(made["failed"], 0, made)
        folded = report.limits.get("folded into their callers", 0)
        reached = []
        if storms.FULL:
            reached = ["folded into their callers", "under thread [other]"]
        bad = [peak > MEMORY_MAX_MIB, samples != announced(profiler),
               *[what not in report.limits for what in reached]]
        self.conclude("S21", made["stacks"], STACKS_FLOOR, sum(bad), peak_mib=round(peak),
                      samples=samples, folded=folded, lost=report.lost, threads=made["threads"],
                      modules=made["modules"])

    def test_other_formats_are_exact_too(self):
        target = self.many(256, 1, 4, 0)
        counted = {"tsv": lambda text: sum(row["self"] for row in parse_tsv(text)),
                   "folded": lambda text: sum(int(line.rpartition(" ")[2])
                                              for line in text.splitlines())}
        bad = n = 0
        for form, count in counted.items():
            profiler = self.start(target, "-r", 100, "-f", form)
            pause(1.2)
            code, peak = self.end(profiler)
            self.assertEqual(code, 0, f"{form}: {profiler.err.text()}")
            samples = announced(profiler)
            bad += (count(profiler.out.rest()) != samples) + (peak > MEMORY_MAX_MIB)
            n += samples
        target.finish()
        self.conclude("S21 tsv and folded", n, 2000, bad)

    def test_few_descriptors(self):
        """Several processes with more threads than there are descriptors."""
        targets = [self.many(60, 0, 0, 0) for _ in range(8)]
        pids = ",".join(str(target.pid) for target in targets)
        with Oxprof("-p", pids, "-r", 50, "-d", "2s", "--threads",
                    preexec_fn=few_files) as profiler:
            profiler.wait_started()
            pause(1)
            held = descriptors(profiler.pid)
            result = profiler.result()
        self.assertEqual(result.code, 0, result.err)
        report = Report(result.out)
        print(f"  {report.summary()}, {held} descriptors", flush=True)
        for target in targets:
            target.finish()
        unnamed = sum(row.self for row in report.rows if row.function.startswith("0x"))
        bad = [held >= TIGHT_FILES, report.losses.get("unreadable", 0), report.limits != {},
               unnamed > report.samples / 100, len(report.thread_hits) != 8 * 61]
        self.conclude("few descriptors", len(report.thread_hits), 8 * 61, sum(bad), held=held,
                      samples=report.samples, lost=report.lost)

    def test_too_many_processes_for_the_descriptors(self):
        """A refusal in words, not a run without names."""
        targets = [self.many(0, 0, 0, 0) for _ in range(TIGHT_FILES // 7)]
        pids = ",".join(str(target.pid) for target in targets)
        result = harness.oxprof("-p", pids, "-d", "1s", preexec_fn=few_files)
        self.assert_refused(result, 1, "limit of open files")
        for target in targets:
            target.finish()

    def test_nothing_grows(self):
        target = self.many(0, 0, 0, 1)
        profiler = self.start(target, "-r", 100)
        looks = []
        while len(looks) * SOAK_LOOK_S < SOAK_S:
            pause(SOAK_LOOK_S)
            looks.append((resident_kib(profiler.pid), descriptors(profiler.pid)))
        self.end(profiler)
        print(f"  KiB, descriptors: {looks}", flush=True)
        target.finish()
        calm = looks[int(SOAK_CALM_S / SOAK_LOOK_S):]
        memory, fds = zip(*calm)
        grown = max(memory) - memory[0]
        bad = (fds[-1] > fds[0] + KEPT_FILES) + (storms.FULL and grown > SOAK_SLACK_KIB)
        self.conclude("B15", len(looks), int(SOAK_S / SOAK_LOOK_S), bad, grown_kib=grown,
                      resident_kib=memory[-1], descriptors=fds[-1])


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""oxprof -- CMD: the child's streams, signals and status are its own."""
import os
import signal
import subprocess

import harness
from harness import Oxprof, Report, children, oxprof, target_path, task_names, task_status, \
    wait_until


def stopped(pid):
    return task_status(pid, pid).get("State", "gone")[0] in "tT"


class Launch(harness.Case):
    def run_quietly(self, *command, **options):
        return oxprof("-q", "-o", "/dev/null", "--", *command, **options)

    def run_alone(self, script):
        return subprocess.run(["sh", "-c", script], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, check=True).stdout

    def test_status(self):
        for code in (0, 7, 255):
            result = self.run_quietly("sh", "-c", f"exit {code}")
            self.assertEqual(result, (code, "", ""))

    def test_killed(self):
        for sig in (signal.SIGKILL, signal.SIGTERM, signal.SIGABRT):
            result = self.run_quietly("sh", "-c", f"ulimit -c 0; kill -{sig.value} $$")
            self.assertEqual(result.code, 128 + sig, result.err)

    def test_not_found(self):
        for name in ("no-such-program-here", "/no/such/program"):
            result = oxprof("--", name)
            self.assert_refused(result, 127, name)

    def test_not_executable(self):
        path = os.path.join(self.folder(), "data")
        with open(path, "w", encoding="ascii") as file:
            file.write("no program\n")
        self.assert_refused(oxprof("--", path), 126, path)
        self.assert_refused(oxprof("--", self.folder()), 126)

    def test_streams(self):
        data = os.urandom(300000)
        run = subprocess.run([harness.OXPROF, "-q", "-o", "/dev/null", "--", "sh", "-c",
                              "cat; echo oops >&2"], input=data, capture_output=True,
                             timeout=30, check=False)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertEqual(len(run.stdout), len(data), "bytes through the child")
        self.assertTrue(run.stdout == data, "the child's output was changed")
        self.assertEqual(run.stderr, b"oops\n")

    def test_child_inherits_nothing_of_ours(self):
        result = self.run_quietly("sh", "-c", "ls -l /proc/self/fd | grep -c -- '->'")
        alone = self.run_alone("ls -l /proc/self/fd | grep -c -- '->'")
        self.assertEqual(result.out, alone, "open descriptors")
        fields = "grep -E '^Sig(Blk|Ign|Cgt)|^Threads|^NoNewPrivs|^CapEff' /proc/self/status"
        result = self.run_quietly("sh", "-c", fields)
        self.assertEqual(result.out, self.run_alone(fields), "signals and privileges")

    def test_report_follows_the_output(self):
        result = oxprof("-q", "-r", 200, "--", target_path("spin"), 600)
        self.assertEqual(result.code, 0, result.err)
        own, _, rest = result.out.partition("# oxprof ")
        self.assertRegex(own, r"\Aready\nloops=\d+\nresult=\d+\n\Z")
        report = Report("# oxprof " + rest)
        self.check_sums(report)
        self.assertGreater(report.self_of(r"^spin_here \(spin\)$"), 0.8 * report.cpu, report.text)
        self.assertGreater(report.cpu, 60, report.text)

    def test_status_with_samples(self):
        result = oxprof("-q", "-o", "/dev/null", "-r", 500, "--", "sh", "-c",
                        f"{target_path('spin')} 300; exit 3")
        self.assertEqual(result.code, 3, result.err)

    def test_duration_leaves_the_child(self):
        result = oxprof("-q", "-d", "300ms", "-r", 200, "--", target_path("spin"), 1000)
        self.assertEqual(result.code, 0, result.err)
        self.assertIn("loops=", result.out, "the child did not run on")
        report = Report("# oxprof " + result.out.partition("# oxprof ")[2])
        self.assertLess(report.seconds, 0.8, "sampled longer than -d")

    def test_children_of_the_command(self):
        result = oxprof("-q", "--children", "-r", 500, "--", "sh", "-c",
                        f"{target_path('spin')} 500; :")
        self.assertEqual(result.code, 0, result.err)
        self.assertRegex(result.out, r"spin_here \(spin\)")

    def test_sigterm_is_passed_on(self):
        with Oxprof("-q", "-r", 200, "--", target_path("spin")) as profiler:
            self.assertTrue(profiler.out.wait_for("^ready$"), profiler.texts())
            harness.pause(0.3)
            profiler.send(signal.SIGTERM)
            result = profiler.result()
        self.assertEqual(result.code, 0, result.err)
        self.assertIn("loops=", result.out, "the child did not end in its own way")
        self.assertIn("# oxprof ", result.out, "no report")

    def test_sigint_is_the_childs(self):
        script = "trap 'exit 9' INT; echo ready; while :; do :; done"
        with Oxprof("-q", "-o", "/dev/null", "--", "sh", "-c", script,
                    start_new_session=True) as profiler:
            self.assertTrue(profiler.out.wait_for("^ready$"), profiler.texts())
            harness.pause(0.2)
            os.killpg(profiler.pid, signal.SIGINT)  # as a terminal sends it
            result = profiler.result()
        self.assertEqual(result.code, 9, result.err)

    def test_oxprof_killed(self):
        with Oxprof("-q", "-r", 1000, "--", target_path("spin"), 3000) as profiler:
            self.assertTrue(profiler.out.wait_for("^ready$"), profiler.texts())
            spins = [pid for pid in children(profiler.pid) if task_names(pid).get(pid) == "spin"]
            self.assertEqual(len(spins), 1, f"children {children(profiler.pid)}")
            profiler.popen.kill()
            profiler.wait()
            # the target dies with its parent by its own wish (PR_SET_PDEATHSIG), and is not stopped
            wait_until(lambda: not stopped(spins[0]), "the target running or gone", 5)


if __name__ == "__main__":
    harness.main()

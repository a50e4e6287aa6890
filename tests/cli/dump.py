# SPDX-License-Identifier: MIT
"""oxprof dump: every thread's stack once."""
import os
import re
import subprocess

import harness
from harness import Process, Target, oxprof


class Dump(harness.Case):
    def test_threads(self):
        with Target("sleepers", 10, 1) as target:
            names = harness.task_names(target.pid)
            result = oxprof("dump", "-p", target.pid)
            self.assertEqual(result.code, 0, result.err)
            self.assertEqual(target.finish()["woken"], 0, "waits that returned")
        for tid, name in names.items():
            self.assertRegex(result.out, rf"(?m)^.*\b{tid}\b.*\b{name}\b", "each with its name")
        for function in ("compute", "computer", "wait_cond", "wait_epoll", "sleeper", "main"):
            self.assertRegex(result.out, rf"\b{function}\b", result.out)
        for call in ("futex", "poll", "nanosleep", "read", "epoll_wait", "rt_sigtimedwait"):
            self.assertIn(call, result.out)

    def saved_and_replayed(self, target):
        """What was seen, and what the saved file shows: without the first line, which differs."""
        path = os.path.join(self.folder(), "stacks.oxsnap")
        live = oxprof("dump", "-p", target.pid, "--save", path)
        self.assertEqual(live.code, 0, live.err)
        replayed = oxprof("dump", "--replay", path)
        self.assertEqual(replayed.code, 0, replayed.err)
        return [out.partition("\n")[2] for out in (live.out, replayed.out)]

    def test_saved_and_replayed(self):
        with Target("sleepers", 10, 0) as target:
            stacks = self.saved_and_replayed(target)
            target.finish()
        self.assertEqual(stacks[1], stacks[0], "replayed as it was seen")
        self.assertEqual(stacks[0].count("# thread"), 10, stacks[0])

    def test_saved_python(self):
        """Its frames, and the waits for the GIL, are those that were seen."""
        script = os.path.join(os.path.dirname(__file__), "../targets/python_blocked.py")
        with Process(["/usr/bin/python3", script], stdin=subprocess.PIPE) as target:
            self.assertTrue(target.out.wait_for(r"^ready$"), target.texts())
            live, replayed = map(self.without_names, self.saved_and_replayed(target))
            target.popen.stdin.close()
            self.assertEqual(target.wait(), 0, target.texts())
        self.assertEqual(replayed, live)
        self.assertRegex(live, r"(?m)^ +in_generator.<locals>.<genexpr> \(.*python_blocked.py:\d+\)$")

    def test_saved_once(self):
        """A stack that was copied again, as the first copy was cut, is saved as it was at last."""
        script = ("def go(n):\n if n: return sorted([0], key=lambda _: go(n - 1))\n"
                  " print('ready', flush=True); input()\ngo(60)")
        with Process(["/usr/bin/python3", "-c", script], stdin=subprocess.PIPE) as target:
            self.assertTrue(target.out.wait_for(r"^ready$"), target.texts())
            live, replayed = self.saved_and_replayed(target)
            target.popen.communicate(b"\n")
        self.assertEqual(replayed.count("# thread"), 1, replayed)
        self.assertEqual(self.without_names(replayed), self.without_names(live))

    def without_names(self, stacks):
        """Python's own name of a thread is not saved."""
        return re.sub(r"(?m)^(# thread \d+) \(.*\)", r"\1", stacks)

    def test_repeatable(self):
        """Sleepers' stacks are the same whenever they are looked at."""
        with Target("sleepers", 10, 0) as target:
            first = oxprof("dump", "-p", target.pid)
            second = oxprof("dump", "-p", target.pid)
            target.finish()
        self.assertEqual(first.code, 0, first.err)
        self.assertEqual(first.out, second.out)
        self.assertGreaterEqual(len(re.findall(r"\bsleeper\b", first.out)), 9)


if __name__ == "__main__":
    harness.main()

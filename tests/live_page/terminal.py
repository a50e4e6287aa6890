#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`oxprof top` in a real terminal: tmux, 80 columns by 24 lines."""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import harness
from harness import OXPROF, Target, wait_until


HOSTILE = """
import ctypes
ctypes.CDLL(None).prctl(15, b"\\x1b]0;pwn\\x07")
print("ready", flush=True)
while True: pass
"""


class Tmux:
    """A terminal of its own, with a shell in it."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.socket = os.path.join(self.folder.name, "tmux")

    def call(self, *args):
        return subprocess.run(["tmux", "-S", self.socket, "-f", "/dev/null", *args], check=True,
                              capture_output=True, text=True, timeout=harness.END_S,
                              env={**os.environ, "LC_ALL": "C.UTF-8", "PS1": "shell> "}).stdout

    def __enter__(self):
        self.call("new-session", "-d", "-x", "80", "-y", "24", "bash --norc")
        self.wait(r"[#$>]$")
        return self

    def __exit__(self, *_):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], check=False)
        self.folder.cleanup()

    def screen(self):
        return self.call("capture-pane", "-p")

    def keys(self, *keys):
        self.call("send-keys", *keys)

    def wait(self, pattern):
        """The screen once it shows the pattern."""
        try:
            return wait_until(lambda: (s := self.screen()) if re.search(pattern, self.screen(), re.M)
                              else None, pattern)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.screen()}") from None

    def is_restored(self):
        """No alternate screen, a cursor, and lines with an echo for the shell's commands."""
        flags = self.call("display-message", "-p", "#{alternate_on} #{cursor_flag}").strip()
        self.keys("clear; stty -a | grep -cE -e '-(echo|icanon|isig)( |$)'; echo modes read",
                  "Enter")
        screen = self.wait("^modes read")
        return flags == "0 1" and re.search(r"^0$", screen, re.M) is not None

    def top(self, pid, *options):
        self.keys(f"clear; {OXPROF} top -p {pid} {' '.join(options)}; echo code=$?", "Enter")
        self.wait(r"^oxprof top: pid")


class Terminal(harness.Case):
    def test_long_names(self):
        """What is too long for its row is cut there: the row below is another function's."""
        long = "f" * 90
        code = f"def {long}(n):\n    while n: {long}(n - 1) if n > 1 else sum(range(10**6))\n{long}(8)"
        with harness.Process(["/usr/bin/python3", "-c", f"print('ready', flush=True)\n{code}"]) as target:
            target.out.wait_for("ready")
            with Tmux() as tmux:
                tmux.top(target.pid)
                tmux.wait("native  ")
                tmux.keys("/", "ffff", "Enter")
                screen = tmux.wait("python  ffff")
                rows = [r for r in screen.split("\n")[5:] if r.strip()]
                self.assertEqual([r for r in rows if not re.match(r" +\d+ +[\d.]+ ", r)], [], screen)
                tmux.keys("q")
                tmux.wait("^code=0")

    def check_fits(self, screen):
        lines = screen.split("\n")
        self.assertLessEqual(len(lines), 25)
        self.assertLessEqual(max(map(len, lines)), 80)

    def test_keys(self):
        """Every screen and key; the terminal is as it was afterwards, and so is the target."""
        with Target("shares_c") as target, Tmux() as tmux:
            tmux.top(target.pid)
            screen = tmux.wait(r"native  share_50 \(shares_c\)")
            self.check_fits(screen)
            self.assertIn("SELF  SELF%    TOTAL TOTAL%", screen)
            tmux.keys("S")
            tmux.wait(r"TOTAL%  KIND +FUNCTION\n +\d+ +[\d.]+ +\d+ 100.00 ")
            tmux.keys("n")
            tmux.wait(r"FUNCTION\n.*__libc_start")
            tmux.keys("s", "/", "^recurse$", "Enter")
            screen = tmux.wait(r"/\^recurse\$/(.*\n)+.*native  recurse")
            self.assertNotIn("share_50", screen)
            tmux.keys("Enter")
            tmux.wait(r"WHAT IT CALLS\n +\d+ +100.00  recurse .*\n +\d+ +[\d.]+    recurse")
            tmux.keys("c")
            tmux.wait(r"WHO CALLS")
            tmux.keys("Escape")
            tmux.wait(r"KIND +FUNCTION")
            tmux.keys("/", "(", "Enter")
            tmux.wait(r"Unmatched|parenthesis")
            tmux.keys("/", "^no such", "Enter")
            tmux.wait(r"nothing matches /\^no such/")
            tmux.keys("Escape", "t")
            tmux.wait(rf"THREAD\n +\d+ +\d+ +\d+\.\d\d +{target.pid} +{target.pid}  shares_c")
            tmux.keys("Enter")
            tmux.wait(rf"thread {target.pid}")
            tmux.keys("Escape", "w")
            tmux.wait(r"^waiting")
            tmux.keys("w", "a")
            tmux.wait(r"last 10 s")
            tmux.keys("h")
            self.check_fits(tmux.wait(r"a regular expression"))
            tmux.keys("h", "q")
            tmux.wait(r"^code=0")
            self.assertTrue(tmux.is_restored())
            target.finish()

    def test_control(self):
        """Pause, a new interval, a wrong one, reset, resize, stop and go on."""
        with Target("spin") as target, Tmux() as tmux:
            tmux.top(target.pid)
            tmux.wait("spin_here")
            tmux.keys("p")
            screen = tmux.wait("PAUSED")
            samples = re.search(r"^(\d+) samples", screen, re.M).group(1)
            harness.pause(1.5)
            self.assertIn(f"{samples} samples", tmux.screen())
            tmux.keys("r")
            tmux.wait("^0 samples")
            tmux.keys("p", "i", "11s", "Enter")
            tmux.wait("from 0.1 ms to 10 s")
            tmux.keys("i", "5ms", "Enter")
            tmux.wait("every 5.00 ms")
            tmux.call("resize-window", "-x", "60", "-y", "12")
            tmux.wait(r"native  spin_here")
            lines = tmux.screen().split("\n")
            self.assertLessEqual(max(map(len, lines)), 60)
            tmux.call("resize-window", "-x", "20", "-y", "4")
            harness.pause(1.2)
            tmux.call("resize-window", "-x", "80", "-y", "24")
            tmux.wait(r"native  spin_here")
            tmux.keys("C-z")
            tmux.wait("Stopped")
            self.assertTrue(tmux.is_restored())
            tmux.keys("clear; fg", "Enter")
            tmux.wait(r"native  spin_here")
            tmux.keys("C-c")
            tmux.wait(r"^bash.*[$#]$")
            self.assertTrue(tmux.is_restored())
            target.finish()

    def view_of(self, tmux):
        """The processes of the view: the one beside it, and the view."""
        shell = int(tmux.call("display-message", "-p", "#{pane_pid}"))
        beside = wait_until(lambda: harness.children(shell), "oxprof in the shell")[0]
        return beside, wait_until(lambda: harness.children(beside), "the view")[0]

    def test_deaths(self):
        """However it dies, the terminal is as it was, and the target runs on."""
        for which, sig in ((1, signal.SIGKILL), (1, signal.SIGSEGV), (0, signal.SIGTERM),
                           (0, signal.SIGHUP), (1, signal.SIGTERM)):
            with self.subTest(which=which, sig=sig), Target("spin") as target, Tmux() as tmux:
                tmux.top(target.pid)
                tmux.wait("spin_here")
                os.kill(self.view_of(tmux)[which], sig)
                tmux.wait(r"^code=")
                self.assertTrue(tmux.is_restored(), tmux.screen())
                target.finish()

    def test_beside_killed(self):
        """SIGKILL of the process beside it: the view ends by itself."""
        with Target("spin") as target, Tmux() as tmux:
            tmux.top(target.pid)
            tmux.wait("spin_here")
            beside, view = self.view_of(tmux)
            os.kill(beside, signal.SIGKILL)
            wait_until(lambda: harness.has_ended(view), "the view's end")
            target.finish()

    def test_hostile_names(self):
        """An escape sequence in a thread's name is shown, not obeyed."""
        with harness.Process(["/usr/bin/python3", "-c", HOSTILE]) as target, Tmux() as tmux:
            target.out.wait_for("ready")
            tmux.top(target.pid)
            tmux.keys("t")
            tmux.wait(r"  \\x1b\]0;pwn\\x07")
            self.assertNotIn("pwn", tmux.call("display-message", "-p", "#{pane_title}"))
            tmux.keys("q")
            tmux.wait("^code=0")

    def test_refusals(self):
        result = harness.oxprof("top", "-p", os.getpid())
        self.assertEqual(result.code, 1)
        self.assertIn("terminal", result.err)
        self.assertEqual(harness.oxprof("top", "--", "true").code, 2)


if __name__ == "__main__":
    if not shutil.which("tmux"):
        print("SKIPPED: no tmux")
        sys.exit(harness.SKIPPED)
    harness.main()

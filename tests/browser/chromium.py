# SPDX-License-Identifier: MIT
"""Headless Chromium, driven through its DevTools protocol over a pair of pipes.

Chromium reads commands from its file descriptor 3 and writes answers and events to 4, each a JSON
text that ends with a zero byte (--remote-debugging-pipe). So there is no port, and no WebSocket.
"""
import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ANSWER_S = 60
END_S = 20
# Becomes the browser, with the pipes under the numbers that it wants.
START = """import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])"""
NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu",
         "--no-default-browser-check", "--disable-background-networking", "--disable-sync",
         "--disable-component-update", "--disable-extensions", "--mute-audio",
         "--disable-dev-shm-usage", "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND")


def program():
    """The browser's path, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def high(fd):
    """The same pipe under a number that is neither 3 nor 4."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 20)
    os.close(fd)
    return moved


class Browser:
    """One browser with one page. Ends with its `with` block, with all of its processes."""

    def __init__(self, *more_flags):
        self.profile = tempfile.TemporaryDirectory(prefix="oxprof-chromium-",
                                                   ignore_cleanup_errors=True)
        its_in, self.to = map(high, os.pipe())
        self.answers, its_out = map(high, os.pipe())
        # Chromium's sandbox does not work for root; what is opened here is our own file.
        flags = FLAGS + more_flags + (("--no-sandbox",) if os.geteuid() == 0 else ())
        command = [program(), *flags, f"--user-data-dir={self.profile.name}", "about:blank"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, str(its_in), str(its_out), *command],
            pass_fds=(its_in, its_out), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(its_in)
        os.close(its_out)
        self.buffer, self.number, self.events, self.session = b"", 0, [], None

    def __enter__(self):
        try:
            target = next(t for t in self.call("Target.getTargets")["targetInfos"]
                          if t["type"] == "page")
            self.session = self.call("Target.attachToTarget", targetId=target["targetId"],
                                     flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Network", "Log"):
                self.call(f"{domain}.enable")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        os.close(self.to)
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.answers)
        self.profile.cleanup()

    # ---- the protocol

    def message(self, deadline):
        """The next answer or event."""
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.answers], [], [], max(0, deadline - time.monotonic()))
            chunk = os.read(self.answers, 1 << 20) if ready else b""
            if not chunk:
                raise AssertionError("the browser has ended" if ready else "the browser hangs")
            self.buffer += chunk
        text, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(text)

    def call(self, method, **params):
        self.number += 1
        command = {"id": self.number, "method": method, "params": params}
        if self.session:
            command["sessionId"] = self.session
        data = memoryview(json.dumps(command).encode() + b"\0")
        while data:
            data = data[os.write(self.to, data):]
        deadline = time.monotonic() + ANSWER_S
        while (message := self.message(deadline)).get("id") != self.number:
            self.events.append(message)
        if "error" in message:
            raise AssertionError(f"{method}: {message['error']}")
        return message["result"]

    def wait_for(self, method):
        """The next event of this name; those before it are kept."""
        deadline = time.monotonic() + ANSWER_S
        while True:
            message = self.message(deadline)
            self.events.append(message)
            if message.get("method") == method:
                return message["params"]

    def happened(self, method):
        return [e["params"] for e in self.events if e.get("method") == method]

    # ---- what a person does

    def open(self, path):
        self.events.clear()
        self.call("Page.navigate", url="file://" + os.path.abspath(path))
        if not self.happened("Page.loadEventFired"):
            self.wait_for("Page.loadEventFired")

    def screen(self, width, height, dark=False, mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=mobile)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def run(self, script):
        """The value of an expression; promises are waited for."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True,
                           awaitPromise=True)
        if "exceptionDetails" in result:
            raise AssertionError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def settle(self):
        """Until what was asked for is drawn, and the table, which comes after it, is there."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame("
                 "() => setTimeout(done, 20))))")

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x, y):
        self.mouse("mouseMoved", x, y)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)
        self.settle()

    def hover(self, x, y):
        self.mouse("mouseMoved", x, y)
        self.settle()

    def press(self, key, text=None):
        codes = {"Enter": 13, "Escape": 27, "Tab": 9, "Backspace": 8, "Home": 36, "ArrowLeft": 37,
                 "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        text = {"Enter": "\r"}.get(key, text)
        code = {"windowsVirtualKeyCode": codes[key]} if key in codes else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key,
                  **({"text": text} if text else {}), **code)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, **code)
        self.settle()

    def type(self, text):
        self.call("Input.insertText", text=text)
        self.settle()

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", format="png")["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def complaints(self):
        """Script errors, and what the page's own policy has refused."""
        errors = [e["exceptionDetails"] for e in self.happened("Runtime.exceptionThrown")]
        logged = [e["entry"]["text"] for e in self.happened("Log.entryAdded")]
        said = [e for e in self.happened("Runtime.consoleAPICalled")]
        return errors + logged + said

    def requests(self):
        return [e["request"]["url"] for e in self.happened("Network.requestWillBeSent")]

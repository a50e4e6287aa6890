#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The live page in headless Chromium, on a redis and on a Python web service under load.

SCREENSHOTS names a folder for pictures of it; none are kept otherwise.
"""
import contextlib
import os
import shutil
import sys
import unittest

import harness
from harness import pause, wait_until
from page import Page

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "browser"))
import chromium  # noqa: E402

# Nothing but the page itself is to be had.
chromium.FLAGS = tuple(flag + " , EXCLUDE 127.0.0.1" if "host-resolver" in flag else flag
                       for flag in chromium.FLAGS)
SERVICE = """
import http.server, threading, urllib.request
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        fibonacci(16)
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print("ready", server.server_port, flush=True)
server.serve_forever()
"""
CLIENT = """
import sys, urllib.request
while True:
    urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[1]}/").read()
"""


HOSTILE = """
import ctypes
ctypes.CDLL(None).prctl(15, b"<img/src=x>\\x1b]0")
print("ready", flush=True)
while True: pass
"""


@contextlib.contextmanager
def loaded_redis():
    """Its process, with clients that keep it busy."""
    with harness.Process(["redis-server", "--port", "0", "--unixsocket", "redis.sock", "--save", ""],
                         cwd=os.environ["WORK"]) as server:
        wait_until(lambda: os.path.exists(os.path.join(os.environ["WORK"], "redis.sock")), "redis")
        with harness.Process(["redis-benchmark", "-s", "redis.sock", "-n", "100000000", "-c", "4",
                              "-t", "set,get,lpush", "-q"], cwd=os.environ["WORK"]):
            yield server


@contextlib.contextmanager
def loaded_python():
    with harness.Process(["/usr/bin/python3", "-c", SERVICE]) as server:
        port = server.out.wait_for(r"^ready (\d+)$").group(1)
        with harness.Process(["/usr/bin/python3", "-c", CLIENT, port]):
            yield server


class PageInBrowser(harness.Case):
    def open(self, browser, page):
        browser.events.clear()
        browser.screen(1280, 1400)
        browser.call("Page.navigate", url=page.url)
        self.wait_js(browser, "document.querySelectorAll('#functions tbody tr').length > 0",
                     "a table of functions")

    def wait_js(self, browser, script, what):
        return wait_until(lambda: browser.run(script), what)

    def click(self, browser, selector):
        browser.run(f"document.querySelector({selector!r}).click()")

    def picture(self, browser, name, *screen, **options):
        folder = os.environ.get("SCREENSHOTS")
        browser.screen(*screen, **options)
        browser.settle()
        wide = browser.run("document.documentElement.scrollWidth")
        self.assertLessEqual(wide, screen[0], f"{name}: wider than the screen")
        if folder:
            browser.screenshot(os.path.join(folder, name + ".png"))

    def check_filter(self, browser):
        first = browser.run("document.querySelector('#functions .name span').textContent")
        browser.run("""{const f = document.querySelector('#filter');
            f.value = '^' + document.querySelector('#functions .name span').textContent
                .replace(/[^a-zA-Z0-9_]/g, '.') + '$';
            f.dispatchEvent(new Event('input'))}""")
        self.wait_js(browser, "document.querySelectorAll('#functions tbody tr').length === 1",
                     f"only {first}")
        browser.call("Page.reload")
        self.wait_js(browser, "document.querySelectorAll('#functions tbody tr').length === 1",
                     "the filter after a reload")
        browser.run("""{const f = document.querySelector('#filter'); f.value = '(';
            f.dispatchEvent(new Event('input'))}""")
        self.wait_js(browser, "document.querySelector('#filter').ariaInvalid === 'true' || "
                     "document.querySelector('#filter').getAttribute('aria-invalid') === 'true'",
                     "a filter that is none is marked")
        browser.run("""{const f = document.querySelector('#filter'); f.value = '';
            f.dispatchEvent(new Event('input'))}""")
        self.wait_js(browser, "document.querySelectorAll('#functions tbody tr').length > 1", "all")

    def check_controls(self, browser, page):
        self.click(browser, "#pause")
        self.wait_js(browser, "document.querySelector('#state').textContent === 'paused'", "paused")
        samples = page.status()["samples"]
        pause(1)
        self.assertEqual(page.status()["samples"], samples, "hits while paused")
        self.click(browser, "#pause")
        self.wait_js(browser, "document.querySelector('#state').textContent === 'sampling'", "resumed")
        page.wait_samples(samples + 1)
        browser.run("""{document.querySelector('#interval').value = '5ms';
            document.querySelector('#interval-form button').click()}""")
        wait_until(lambda: page.status()["interval_ns"] == 5000000, "the interval of 5 ms")
        browser.run("""{document.querySelector('#interval').value = '11s';
            document.querySelector('#interval-form button').click()}""")
        self.wait_js(browser, "document.querySelector('#message').textContent.includes('10 s')",
                     "a refusal of 11 s")
        self.assertEqual(page.status()["interval_ns"], 5000000)

    def check_time(self, browser):
        """A stretch of the picture of time is chosen, and its functions are shown."""
        self.wait_js(browser, "timeline && timeline.series.length > 1", "a picture of time")
        pause(2.5)
        self.wait_js(browser, "timeline.series.some(s => s.values[s.values.length - 1] > 0)", "hits")
        box = browser.run("""{const b = document.querySelector('#time').getBoundingClientRect();
            [b.left, b.top, b.width, b.height]}""")
        x, y = box[0] + box[2], box[1] + box[3] / 2
        browser.mouse("mousePressed", x - 8, y, button="left", clickCount=1)
        browser.mouse("mouseMoved", x - 2, y, button="left", buttons=1)
        browser.mouse("mouseReleased", x - 2, y, button="left", clickCount=1)
        self.wait_js(browser, "document.querySelector('#count').textContent.includes('chosen')",
                     "the functions of the seconds chosen")

    def check_calls_dropped(self, browser):
        """What the limits took is said beside the calls, and only then."""
        said = browser.run("""[{}, {stretches: 1000, functions: 20, nested: 3}].map(dropped => {
            showCalls({followed: true, calls: [], dropped});
            const said = document.querySelector('#calls-dropped');
            return said.hidden ? '' : said.textContent; })""")
        self.assertEqual(said, ["", "Not counted, past a limit: 1,023 stretches."])

    def check_end(self, browser, page):
        """The flame graph is fed live; a snapshot; a stop, once confirmed."""
        self.click(browser, "#flame-show")
        self.wait_js(browser, "(d => d && d.querySelector('canvas, svg') !== null)"
                     "(document.querySelector('#flame').contentDocument)", "a flame graph")
        browser.run("{window.asked = URL.createObjectURL; "
                    "URL.createObjectURL = blob => (window.saved = blob.size, window.asked(blob))}")
        self.click(browser, "#snapshot")
        self.wait_js(browser, "window.saved > 100", "a snapshot")
        browser.run("{window.confirm = () => false}")
        self.click(browser, "#stop")
        self.assertFalse(page.status()["finished"])
        browser.run("{window.confirm = () => true}")
        self.click(browser, "#stop")
        self.wait_js(browser, "document.querySelector('#state').textContent === 'ended'", "the end")

    def check_page(self, name, target, load):
        with load() as server, Page("-p", server.pid) as page, chromium.Browser() as browser:
            page.wait_samples(20)
            self.open(browser, page)
            self.check_filter(browser)
            self.check_controls(browser, page)
            self.check_time(browser)
            self.picture(browser, f"{name}-wide-light", 1280, 1400)
            self.picture(browser, f"{name}-wide-dark", 1280, 1400, dark=True)
            self.click(browser, "#unchoose")
            self.picture(browser, f"{name}-narrow-light", 390, 1400, mobile=True)
            self.picture(browser, f"{name}-narrow-dark", 390, 1400, dark=True, mobile=True)
            browser.screen(1280, 1400)
            self.check_end(browser, page)
            self.picture(browser, f"{name}-ended", 1280, 2600)
            others = [url for url in browser.requests() if not url.startswith(page.url)]
            self.assertEqual([url for url in others if "favicon" not in url], [])
            self.assertEqual([c for c in browser.complaints() if "400" not in str(c)
                              and "favicon" not in str(c)], [])
            self.assertEqual(page.finish().code, 0)
            self.assertEqual(harness.faults(server.pid), [], target)

    def test_hostile_names(self):
        """Names of threads are text, whatever is in them: nothing becomes an element."""
        with harness.Process(["/usr/bin/python3", "-c", HOSTILE]) as target:
            target.out.wait_for("ready")
            with Page("-p", target.pid) as page, chromium.Browser() as browser:
                page.wait_samples(20)
                self.open(browser, page)
                self.wait_js(browser, "document.querySelector('#threads .name').textContent"
                             " === '<img/src=x>\\\\x1b]0'", "the name as text")
                self.assertEqual(browser.run("document.querySelectorAll('img, svg, b').length"), 0)
                raw = page.ask("GET", "/api/threads").body
                self.assertNotIn(b"<", raw)
                self.assertNotIn(b"\x1b", raw)
                self.check_calls_dropped(browser)
                page.finish()

    def test_redis(self):
        if not shutil.which("redis-server"):
            self.skipTest("no redis-server")
        self.check_page("redis", "redis", loaded_redis)

    def test_python(self):
        self.check_page("python", "the web service", loaded_python)


if __name__ == "__main__":
    if not chromium.program():
        print("SKIPPED: no chromium")
        sys.exit(harness.SKIPPED)
    import tempfile
    with tempfile.TemporaryDirectory() as work:
        os.environ["WORK"] = work
        harness.main()

# SPDX-License-Identifier: MIT
"""Names and lines are found wherever a distribution puts them: one program, taken apart in each way."""
import contextlib
import http.server
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

LINES_OF = os.environ.get("LINES_OF", "build/tests/live/lines_of")
OXPROF = os.environ.get("OXPROF", "build/oxprof")
INDEXED_S = 30  # a real server looks through its folder first
LARGE_BYTES = 17 << 20
SOURCE = """
static inline __attribute__((always_inline)) int inner(int v) { return v * v + 3; }
static __attribute__((noinline, used)) int worker(int v) { return inner(v) - inner(v + 1); }
int main(int argc, char **argv) { (void)argv; return worker(argc); }
"""
SPIN = """
static volatile unsigned long n;
static __attribute__((noinline)) void worker(void) { for (int i = 0; i < 100000; i++) n += i; }
int main(void) { for (;;) worker(); }
"""
WHOLE = ["inner", "a.c:2", "worker", "a.c:3"]


def run(*command, cwd):
    subprocess.run(command, cwd=cwd, check=True, stdin=subprocess.DEVNULL)


def build_id(path):
    out = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True).stdout
    return out.split("Build ID: ")[1].split()[0]


class Server(http.server.BaseHTTPRequestHandler):
    """A debuginfod that has the files in its class' `files`: /buildid/HEX/debuginfo"""
    files, asked = {}, []

    def do_GET(self):
        self.asked.append(self.path)
        body = self.files.get(self.path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def serving(files):
    """Yields the URL, and the paths that were asked for."""
    handler = type("Handler", (Server,), {"files": files, "asked": []})
    server = http.server.HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@contextlib.contextmanager
def ended(*command, **options):
    """A process that is killed at the end."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def children_of(pid):
    """Their names."""
    names = []
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            names.append(pathlib.Path(f"/proc/{child}/comm").read_text().strip())
    return names


@contextlib.contextmanager
def real_server(folder, path):
    """elfutils' debuginfod over a folder; yields its URL once it has that path."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + INDEXED_S
    with ended("debuginfod", "-F", "-d", ":memory:", "-p", str(port), folder) as server:
        while not answers(url + path):
            if time.monotonic() > end or server.poll() is not None:
                raise AssertionError("debuginfod does not serve the file")
            threading.Event().wait(0.05)
        yield url


@unittest.skipUnless(shutil.which("gcc") and shutil.which("objcopy"), "no gcc, no objcopy")
class DebugFiles(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.debug_dir = self.folder / "debug"
        (self.folder / "bin").mkdir()
        self.debug_dir.mkdir()
        self.app = self.folder / "bin" / "app"
        (self.folder / "a.c").write_text(SOURCE)
        self.build("-Wl,--build-id")

    def build(self, *flags):
        self.app.unlink(missing_ok=True)
        run("gcc", "-g", "-O2", *flags, "-o", self.app, "a.c", cwd=self.folder)
        out = subprocess.run(["nm", self.app], capture_output=True, text=True, check=True).stdout
        self.worker = next(line.split()[0] for line in out.split("\n") if line.endswith(" worker"))

    def split(self):
        """The debug file; what is left of the program has no symbols."""
        apart = self.folder / "app.debug"
        run("objcopy", "--only-keep-debug", self.app, apart, cwd=self.folder)
        run("strip", self.app, cwd=self.folder)
        return apart

    def link(self, apart):
        run("objcopy", f"--add-gnu-debuglink={apart}", self.app, cwd=self.folder)

    def lines(self, **env):
        """What the first two instructions of worker() come from."""
        done = subprocess.run([LINES_OF, self.app, self.debug_dir], text=True, check=True,
                              input=f"{int(self.worker, 16) + 1:x}\n", capture_output=True,
                              env={k: v for k, v in os.environ.items() if "DEBUGINFOD" not in k}
                              | env)
        found = [line for line in done.stdout.split("\n")[1:] if line and line[0] != "#"]
        return [os.path.basename(line) for line in found]

    def assert_whole(self, **env):
        found = self.lines(**env)
        self.assertIn(found, (WHOLE, WHOLE[2:]))

    def assert_nothing(self, **env):
        self.assertNotIn("worker", self.lines(**env))

    def by_build_id(self, apart):
        name = build_id(self.app)
        place = self.debug_dir / ".build-id" / name[:2] / f"{name[2:]}.debug"
        place.parent.mkdir(parents=True)
        shutil.move(apart, place)
        return place

    def test_in_the_file_itself(self):
        self.assert_whole()

    def test_nowhere(self):
        self.split()
        self.assert_nothing()

    def test_build_id(self):
        self.by_build_id(self.split())
        self.assert_whole()

    def test_build_id_of_another_build(self):
        apart = self.split()
        place = self.by_build_id(apart)
        self.build("-Wl,--build-id=0x1234")
        run("objcopy", "--only-keep-debug", self.app, place, cwd=self.folder)
        self.build("-Wl,--build-id")
        self.split().unlink()
        self.assert_nothing()

    def test_debuglink(self):
        """Beside the program, in .debug/, below the debug folder; by CRC as there is no build-id."""
        self.build("-Wl,--build-id=none")
        apart = self.split()
        self.link(apart)
        below = self.debug_dir / str(self.app.parent).lstrip("/")
        for place in (self.app.parent, self.app.parent / ".debug", below):
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(apart, place)
            self.assert_whole()
            (place / apart.name).unlink()
        apart.unlink()
        self.assert_nothing()

    def test_debuglink_to_changed_file(self):
        self.build("-Wl,--build-id=none")
        apart = self.split()
        self.link(apart)
        with open(apart, "ab") as file:
            file.write(b"x")
        shutil.copy(apart, self.app.parent)
        self.assert_nothing()

    @unittest.skipUnless(shutil.which("xz"), "no xz")
    def test_gnu_debugdata(self):
        """A compressed table names the function; lines are not in it."""
        mini = self.split()
        run("strip", "--strip-debug", "--remove-section=.comment", mini, cwd=self.folder)
        run("xz", mini, cwd=self.folder)
        run("objcopy", f"--add-section=.gnu_debugdata={mini}.xz", self.app, cwd=self.folder)
        self.assertEqual(self.lines(), ["worker", "??:0"])

    @unittest.skipUnless(shutil.which("dwz"), "no dwz")
    def test_dwz(self):
        """What two programs share is moved to a third file, which both link to."""
        other = self.folder / "bin" / "other"
        shutil.copy(self.app, other)
        run("dwz", "-m", self.folder / "bin" / "shared", "-M", "shared", self.app, other,
            cwd=self.folder)
        sections = subprocess.run(["readelf", "-SW", self.app], capture_output=True, text=True,
                                  check=True).stdout
        self.assertIn(".gnu_debugaltlink", sections)
        self.assert_whole()
        (self.folder / "bin" / "shared").unlink()
        self.assertNotIn("inner", self.lines(), "then its name is gone")

    def test_compressed(self):
        for how in ("zlib", "zlib-gnu"):
            self.build()
            run("objcopy", f"--compress-debug-sections={how}", self.app, cwd=self.folder)
            self.assert_whole()

    def cache(self):
        return {"DEBUGINFOD_CACHE_PATH": str(self.folder / "cache"), "DEBUGINFOD_TIMEOUT": "5"}

    @unittest.skipUnless(os.path.exists("/usr/lib/x86_64-linux-gnu/libdebuginfod.so.1"),
                         "no libdebuginfod")
    def test_debuginfod(self):
        """Asked once: the library keeps what it got."""
        apart = self.split()
        path = f"/buildid/{build_id(self.app)}/debuginfo"
        with serving({path: apart.read_bytes()}) as (url, asked):
            for _ in range(2):
                self.assert_whole(DEBUGINFOD_URLS=url, **self.cache())
            self.assertEqual(asked, [path])
        self.assert_whole(DEBUGINFOD_URLS=url, **self.cache())

    @unittest.skipUnless(os.path.exists("/usr/lib/x86_64-linux-gnu/libdebuginfod.so.1"),
                         "no libdebuginfod")
    def test_debuginfod_that_lies(self):
        """A file of another build is not believed."""
        self.split()
        path = f"/buildid/{build_id(self.app)}/debuginfo"
        self.build("-Wl,--build-id=0x1234")
        lie = self.app.read_bytes()
        self.build("-Wl,--build-id")
        self.split()
        with serving({path: lie}) as (url, asked):
            self.assert_nothing(DEBUGINFOD_URLS=url, **self.cache())
            self.assertEqual(asked, [path])

    def sampled(self, *options, **env):
        """The report on the running program."""
        with ended(self.app) as target:
            done = subprocess.run([OXPROF, *options, "-d", "300ms", "-p", str(target.pid)],
                                  capture_output=True, text=True, check=True, timeout=120,
                                  env=os.environ | env)
        return done.stdout

    def test_large_files_are_opened_early(self):
        """The process that looks up names has begun while the sampling, which has no end, goes on."""
        (self.folder / "a.c").write_text(SPIN)
        self.build()
        (self.folder / "much").write_bytes(bytes(LARGE_BYTES))
        run("objcopy", "--add-section", ".much=much", self.app, cwd=self.folder)
        with ended(self.app) as target:
            profiler = subprocess.Popen([OXPROF, "-p", str(target.pid)], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            self.addCleanup(profiler.kill)
            end = time.monotonic() + INDEXED_S
            while "oxprof-names" not in children_of(profiler.pid):
                self.assertLess(time.monotonic(), end)
                threading.Event().wait(0.05)
            profiler.send_signal(signal.SIGINT)
            report, _ = profiler.communicate(timeout=60)
        self.assertIn("worker", report)

    @unittest.skipUnless(shutil.which("debuginfod"), "no debuginfod (Debian's package debuginfod)")
    def test_elfutils_own_server(self):
        """The whole way, from the command line to elfutils' server; nobody is asked without leave."""
        (self.folder / "a.c").write_text(SPIN)
        self.build("-Wl,--build-id")
        apart = self.split()
        place = self.folder / "served"
        place.mkdir()
        shutil.move(apart, place)
        with real_server(place, f"/buildid/{build_id(self.app)}/debuginfo") as url:
            env = {"DEBUGINFOD_URLS": url, **self.cache()}
            self.assertNotIn("worker", self.sampled("--lines", **env))
            self.assertRegex(self.sampled("--lines", "--debuginfod", **env), r"worker.*a\.c:3")


if __name__ == "__main__":
    unittest.main(verbosity=2)

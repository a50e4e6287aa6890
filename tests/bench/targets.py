# SPDX-License-Identifier: MIT
"""The targets of the bench: how each is started, driven, and asked what it has done.

Each tells of its progress in a page (progress.h): units of work, and the longest gap, which of a
program that computes is the longest between two units of one thread, of a server the longest that
an answer took. Servers are those of tests/services, under load.c on loopback.
"""
import collections
import contextlib
import dataclasses
import mmap
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import time

import go
import java
import nginx
import node
import postgres
import python
import redis
import rust
import service

HERE = pathlib.Path(__file__).resolve().parent

LIFE_S = 3600  # nothing that is started here lives longer, whatever happens to us
READY_S = 60
GAP_S = 5
FUNCTIONS_MAX = 8

Skip = service.Skip
Spent = collections.namedtuple("Spent", "wall_ns cpu_ns")  # lists, by known function


class Progress:
    """progress.h's struct, as a file in a folder."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "progress")
        with open(self.path, "wb") as file:
            file.truncate(4096)
        with open(self.path, "r+b") as file:
            self.page = mmap.mmap(file.fileno(), 4096)

    def work(self):
        return struct.unpack_from("=Q", self.page)[0]

    def begin_gap(self):
        struct.pack_into("=Q", self.page, 8, 0)

    def longest_ms(self):
        """Since begin_gap(). A gap is noted at its end, so that of a unit under way is awaited."""
        before, end = self.work(), time.monotonic() + GAP_S
        while self.work() == before and time.monotonic() < end:
            time.sleep(0.001)
        return struct.unpack_from("=Q", self.page, 8)[0] / 1e6

    def spent(self):
        """By known function so far; the wall-clock time with that of the turn under way, which is
        long where the target waits for a CPU in it."""
        words = struct.unpack_from(f"={2 * FUNCTIONS_MAX + 2}Q", self.page, 16)
        spent = Spent(list(words[:-2:2]), list(words[1:-2:2]))
        current, since_ns = words[-2:]
        if current:
            spent.wall_ns[current - 1] += time.monotonic_ns() - since_ns
        return spent


@dataclasses.dataclass
class Running:
    """A target under its load: the processes to be profiled, and their progress."""
    pids: list
    progress: Progress
    alive: object  # callable: raises where the target, or its load, has ended


def threads_of(pids):
    return sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids)


def cpu_s(pids):
    """CPU time of all threads, those that have ended excepted."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                total += int(service.read_file(f"/proc/{pid}/task/{task}/schedstat").split()[0])
    return total / 1e9


def wait_for_work(running, name):
    end = time.monotonic() + READY_S
    while running.progress.work() == 0:
        running.alive()
        if time.monotonic() > end:
            raise service.Failure(f"{name}: no work done within {READY_S} s")
        time.sleep(0.02)


def dying_with_us(argv):
    """The command, ended by the kernel when we are, however that happens."""
    setpriv = shutil.which("setpriv")
    return [*([setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []), *map(str, argv)]


# ---- programs that compute

@contextlib.contextmanager
def program(folder, argv):
    """argv(path of the progress file) is the command."""
    progress = Progress(folder)
    command = argv(progress.path)
    process = subprocess.Popen(dying_with_us(command), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL)

    def alive():
        if process.poll() is not None:
            raise service.Failure(f"{command[0]} has ended with {process.returncode}")

    running = Running([process.pid], progress, alive)
    try:
        wait_for_work(running, command[0])
        yield running
    finally:
        process.kill()
        process.wait()


def shares(sleep_percent):
    def start(build, folder):
        return program(folder, lambda path: [f"{build}/tests/bench/shares", path, str(LIFE_S),
                                             str(sleep_percent)])
    return start


def threads(every, busy):
    def start(build, folder):
        return program(folder, lambda path: [f"{build}/tests/bench/threads", path, str(LIFE_S),
                                             str(every), str(busy), "1000"])
    return start


def cpython(_build, folder):
    return program(folder, lambda path: ["/usr/bin/python3", str(HERE / "spin.py"), path,
                                         str(LIFE_S)])


def musl(_build, folder):
    """threads.c, static with musl, which has no CFI in Debian."""
    binary = os.path.join(folder, "threads")
    subprocess.run([service.need("musl-gcc"), "-O2", "-static", "-D_GNU_SOURCE", "-o", binary,
                    str(HERE / "threads.c")], check=True, timeout=60)
    return program(folder, lambda path: [binary, path, str(LIFE_S), "9", "1", "20"])


# ---- servers

def workers(server):
    return service.children(server.process.pid)


@contextlib.contextmanager
def served(server, build, folder, load, pids=None, warm=None):
    """load: protocol, connections, what is asked for. warm(server) comes after a second of it."""
    progress = Progress(folder)
    protocol, connections, what = load
    with server:
        client = server.spawn([f"{build}/tests/bench/load", progress.path, str(LIFE_S), protocol,
                               str(server.port), str(connections), what],
                              os.path.join(folder, "load.log"))

        def alive():
            if client.poll() is not None:
                said = service.read_file(os.path.join(folder, "load.log"))
                raise service.Failure(f"the load has ended: {said.strip()}")

        running = Running([server.process.pid], progress, alive)
        wait_for_work(running, type(server).__name__)
        if warm:
            time.sleep(2)
            warm(server)
        running.pids = pids(server) if pids else running.pids
        yield running


class OneWorker(nginx.Nginx):
    """nginx with one worker, so that its load has a CPU too"""

    def command(self):
        argv = super().command()
        path = argv[argv.index("-c") + 1]
        text = service.read_file(path).replace("worker_processes 2", "worker_processes 1")
        text = text.replace("http {", "http {\n    keepalive_requests 1000000000;")
        pathlib.Path(path).write_text(text, encoding="ascii")
        return argv


def perf_map(server):
    subprocess.run([service.need("jcmd"), str(server.process.pid), "Compiler.perfmap"],
                   stdout=subprocess.DEVNULL, check=True, timeout=30)


def backends(server):
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        found = [pid for pid in service.children(server.process.pid) if
                 "tester postgres 127.0.0.1" in (service.read_file(f"/proc/{pid}/cmdline") or "")]
        if len(found) == 2:
            return found
        time.sleep(0.02)
    raise service.Failure("no backends")


QUERY = "SELECT count(*), sum(abalance) FROM pgbench_accounts WHERE aid < 2000"


def service_of(make, *load, **more):
    return lambda build, folder: served(make(LIFE_S), build, folder, load, **more)


# ---- the table

@dataclasses.dataclass
class Target:
    name: str
    about: str
    start: object        # (build folder, folder of its own): a context that gives a Running
    needs: tuple = ()    # programs; without one of them it is listed as missing
    major: bool = False  # runs under every profiler and rate, and gets more of the time
    functions: tuple = ()  # those with known shares
    asleep: int = 0      # how many of them, the last ones, only sleep


KNOWN = ("Alpha::turn", "Beta::turn", "Gamma::turn")
LINE = "1000"
TARGETS = [
    Target("cpu", "C++, one thread, computes", shares(0), major=True, functions=KNOWN),
    Target("half", "C++, one thread, sleeps half of its time", shares(50), major=True,
           functions=(*KNOWN, "Rest::turn"), asleep=1),
    Target("redis", "SET and GET, 4 connections", service_of(redis.Redis, "redis", 4, "-"),
           ("redis-server",), True),
    Target("nginx", "one worker, 11 KiB with gzip, 4 connections",
           service_of(OneWorker, "http", 4, "/index.html", pids=workers), ("nginx",), True),
    Target("postgres", "two backends, a sum over 2,000 rows",
           service_of(postgres.Postgres, "postgres", 2, QUERY, pids=backends), ("pgbench",)),
    Target("python", "CPython, computes 20 calls deep", cpython),
    Target("threads-200", "200 threads, 2 compute, the others wake once a second",
           threads(200, 2)),
    Target("threads-2000", "2,000 threads, 10 compute, the others wake once a second",
           threads(2000, 10)),
    Target("node", "HTTP, V8's perf map on", service_of(node.NodeWithMap, "http", 2, "/2000"),
           ("node",)),
    Target("go", "a line server", service_of(go.Go, "line", 2, LINE), ("go",)),
    Target("rust", "a line server", service_of(rust.Rust, "line", 2, LINE), ("rustc",)),
    Target("java", "a line server, -XX:+PreserveFramePointer, perf map",
           service_of(java.Java, "line", 2, LINE, warm=perf_map), ("java", "javac")),
    Target("musl", "C, static with musl: 1 of 9 threads computes", musl, ("musl-gcc",)),
]


def missing(target):
    """What keeps it from running here, or None."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    absent = [name for name in target.needs if not shutil.which(name, path=path)]
    return f"not installed: {', '.join(absent)}" if absent else None


@contextlib.contextmanager
def running(target, build):
    with tempfile.TemporaryDirectory(prefix="oxprof-bench-") as folder:
        with target.start(build, folder) as it:
            yield it

# SPDX-License-Identifier: MIT
"""A redis server that is looked at thousands of times answers every request rightly.

B1: 10,000 cycles of attach, sample, detach. B2: a minute as users run it, in which no thread that
sleeps is stopped. B14: the same where eight others compute on the CPUs. A client in a process of
its own verifies every reply, in windows with and without a profiler by turns.
"""
import array
import contextlib
import math
import os
import re
import shutil
import socket
import time

import harness
import storms
from harness import Process, Target, faults, pause, read_proc, target_path, task_status
from storms import PEER, Profiling, quantile, size

B1_STOPS = size(1500, 10000)
B1_STARTS = size(10, 50)
B1_WINDOW_S = size(1.0, 3.0)
B1_RATE_HZ = 2000
# What a busy machine may need to get to that many; too few are a failure then.
B1_WINDOWS = size(6, 20)
B2_WINDOWS, B2_WINDOW_S = size((2, 2.0), (6, 10.0))
B14_WINDOWS, B14_WINDOW_S = size((2, 1.0), (10, 3.0))
SPINNERS = 8


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Redis(Process):
    """A server of our own, in which no thread wakes by a clock but the first. It dies with us."""

    def __init__(self, directory):
        self.port = free_port()
        prefix = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        super().__init__([*prefix, "redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
                          "--save", "", "--appendonly", "no", "--jemalloc-bg-thread", "no",
                          "--dir", directory])

    @classmethod
    def started(cls, directory):
        """Somebody else may take the port between the look and the bind: tries another then."""
        for _ in range(3):
            redis = cls(directory)
            if redis.out.wait_for(r"Ready to accept connections"):
                return redis
            redis.__exit__()
        raise AssertionError(f"redis-server does not start: {redis.texts()}")

    def info(self):
        """What it counts itself; this question is one more connection."""
        with socket.create_connection(("127.0.0.1", self.port), 10) as client:
            client.sendall(b"*2\r\n$4\r\nINFO\r\n$10\r\neverything\r\n*1\r\n$4\r\nQUIT\r\n")
            text = client.makefile("rb").read().decode("utf-8", "replace")
        return dict(re.findall(r"^(\w+):(\S*)\r$", text, re.M))

    def finish(self):
        """It must be well, and end well."""
        if wrong := faults(self.pid):
            raise AssertionError(f"redis-server after sampling: {'; '.join(wrong)}")
        self.send(harness.signal.SIGTERM)
        if self.wait() != 0:
            raise AssertionError(f"redis-server ended badly: {self.texts()}")


class Side:
    """One side of the comparison: what the client saw in all its windows."""

    def __init__(self):
        self.ns = array.array("I")
        self.seconds = 0.0
        self.requests = self.bad = self.clients = 0

    def figures(self, prefix):
        us = sorted(self.ns)
        shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
        return {f"{prefix}_{name}": round(quantile(us, share) / 1000, 1)
                for name, share in shares.items()}

    def per_s(self):
        return round(self.requests / self.seconds)

    def us(self):
        return [ns / 1000 for ns in self.ns]


class Contest:
    """The server, its client, and both sides."""

    def __init__(self, case):
        self.folder = case.folder()
        self.redis = Redis.started(self.folder)
        self.base, self.profiled = Side(), Side()

    @contextlib.contextmanager
    def client(self, side):
        """A client works meanwhile, and is asked afterwards."""
        path = os.path.join(self.folder, "latencies")
        with Target("checker", self.redis.port, path) as checker:
            start = time.monotonic()
            yield
            side.seconds += time.monotonic() - start
            counters = checker.finish()
        with open(path, "rb") as file:
            side.ns.frombytes(file.read())
        side.clients += 1
        side.requests += counters["requests"]
        side.bad += counters["bad"] + counters["reconnects"]

    def base_window(self, seconds):
        with self.client(self.base):
            pause(seconds)

    def profiled_window(self, seconds, rate):
        """The profiling, with its report."""
        with self.client(self.profiled), Profiling(self.redis.pid, rate) as profiling:
            pause(seconds)
        return profiling

    def finish(self):
        """Bad outcomes of all kinds, as the client and the server saw them."""
        info = self.redis.info()
        clients = self.base.clients + self.profiled.clients
        wrong = {"client": self.base.bad + self.profiled.bad,
                 # a connection more is a client that had to connect again
                 "connections": int(info["total_connections_received"]) - clients - 1,
                 "errors": int(info.get("total_error_replies", 0)),
                 "rejected": int(info["rejected_connections"])}
        self.redis.finish()
        return {what: count for what, count in wrong.items() if count}

    def figures(self):
        return {**self.base.figures("base"), "requests": self.profiled.requests,
                "per_s": self.profiled.per_s(), "base_per_s": self.base.per_s()}


def switches(pid):
    """How often each thread but the first has begun or ceased to run, with its name."""
    counts = {}
    for tid in harness.tasks(pid)[1:]:
        status = task_status(pid, tid)
        schedstat = read_proc(f"/proc/{pid}/task/{tid}/schedstat").split()
        counts[tid] = (status["Name"], status["voluntary_ctxt_switches"],
                       status["nonvoluntary_ctxt_switches"], schedstat[2])
    return counts


def changes(before, after):
    tids = sorted(before.keys() | after.keys())
    return [f"{before.get(tid)} became {after.get(tid)}" for tid in tids
            if before.get(tid) != after.get(tid)]


@harness.unittest.skipUnless(shutil.which("redis-server"), "no redis-server here")
@harness.unittest.skipUnless(os.geteuid() == 0 or (read_proc("/proc/sys/kernel/yama/ptrace_scope")
                                                   or "0").strip() == "0",
                             "Yama lets only root attach to a redis-server")
class RedisStorms(storms.Case):
    @contextlib.contextmanager
    def contest(self):
        contest = Contest(self)
        with contest.redis:
            yield contest

    def starts_and_ends(self, contest):
        """Whole lives of oxprof, from its start to its report; the stops in them."""
        stops = 0
        with contest.client(contest.profiled):
            for _ in range(B1_STARTS):
                report = self.sample("-p", contest.redis.pid, "-r", B1_RATE_HZ, "-d", "50ms")
                stops += report.stops
                self.assert_untouched(contest.redis.pid)
        return stops

    def test_b1_cycles(self):
        """In thousands of attaches and detaches no reply is wrong or lost, no connection breaks."""
        cycles = 0
        with self.contest() as contest:
            for _ in range(B1_WINDOWS):
                contest.base_window(B1_WINDOW_S)
                profiling = contest.profiled_window(B1_WINDOW_S, B1_RATE_HZ)
                cycles += profiling.report.stops if profiling.report else max(profiling.cycles, 1)
                self.assert_untouched(contest.redis.pid)
                if cycles >= B1_STOPS or PEER != "oxprof":
                    break
            starts = 0
            if PEER == "oxprof":
                cycles += self.starts_and_ends(contest)
                starts = B1_STARTS
            wrong = contest.finish()
        self.conclude("B1", cycles, B1_STOPS, sum(wrong.values()), contest.profiled.us(),
                      **contest.figures(), starts=starts, wrong=wrong)

    def test_b2_default(self):
        """At 100 Hz only the thread that runs is stopped: the others' switches do not count on."""
        self.oxprof_only()
        samples = stops = looks = disturbed = 0
        moved = []
        with self.contest() as contest:
            for _ in range(B2_WINDOWS):
                contest.base_window(B2_WINDOW_S / 2)
                before = switches(contest.redis.pid)
                report = contest.profiled_window(B2_WINDOW_S, 100).report
                after = switches(contest.redis.pid)
                moved += changes(before, after)
                samples, stops = samples + report.samples, stops + report.stops
                looks += math.ceil(report.seconds * report.rate) + 2
                disturbed += report.disturbed
            self.assertGreater(len(before), 0, "no sleeping thread: nothing proved")
            wrong = contest.finish()
        self.assertLessEqual(stops, looks, "more stops than looks at the one thread that runs")
        wrong |= {what: n for what, n in (("moved", len(moved)), ("disturbed", disturbed)) if n}
        print(f"  {len(before)} sleepers; moved: {moved}", flush=True)
        floor = int(B2_WINDOWS * B2_WINDOW_S * 100 * len(before) / 2)
        self.conclude("B2", samples, floor, sum(wrong.values()), contest.profiled.us(),
                      **contest.figures(), stops=stops, wrong=wrong)

    def test_b14_crowded(self):
        """Where the CPUs are taken, a stopped thread would have to queue for one again."""
        self.oxprof_only()
        stops = 0
        with contextlib.ExitStack() as stack:
            contest = stack.enter_context(self.contest())
            spinners = [stack.enter_context(Target("spin", 110000)) for _ in range(SPINNERS)]
            for _ in range(B14_WINDOWS):
                contest.base_window(B14_WINDOW_S)
                stops += contest.profiled_window(B14_WINDOW_S, 100).report.stops
            wrong = contest.finish()
            loops = [spinner.finish()["loops"] for spinner in spinners]
        self.assertGreater(min(loops), 0, "a spinner that never spun")
        self.conclude("B14", contest.profiled.requests, size(100, 1000), sum(wrong.values()),
                      contest.profiled.us(), **contest.figures(), stops=stops, wrong=wrong)


if __name__ == "__main__":
    harness.main()

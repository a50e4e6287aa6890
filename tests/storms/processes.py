# SPDX-License-Identifier: MIT
"""B8: processes that fork, vfork, exec and end under sampling. Proves that no exec and no fork
fails, that every child is noticed once, with its own exit status, and leaves no zombie; that an
exec by a thread that is not the leader goes on though its many siblings are being stopped, and the
sampler survives it too; and that a process whose leader has ended goes on and ends as it should.
How long an exec takes, and how long after a child's end its parent is told, is printed, beside the
same without a profiler."""
import mmap
import os
import struct

import harness
import storms
from harness import Oxprof, Report, Target, faults, wait_until
from storms import PEER, Profiling

CHILDREN = storms.size(1500, 20000)
PER_S = 1000
LINKS = storms.size(50, 1000)  # of the chain of execs
CHAIN_THREADS = 6
LEADERLESS = storms.size(20, 200)
DEADLINE_S = storms.size(40, 110)  # a target lives for two minutes
DEATHS_MAX = 20
HEAD = ("go", "done", "ended", "failed", "wrong", "twice", "eintr", "left")
RECORD = struct.Struct("<4Q")  # of process_storm.c: before exec, started, exited, noticed


class Page:
    """What process_storm shares with us."""

    def __init__(self, path, n):
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 8 * len(HEAD) + RECORD.size * n)

    def head(self):
        return dict(zip(HEAD, struct.unpack_from(f"<{len(HEAD)}Q", self.map), strict=True))

    def go(self):
        self.map[:8] = struct.pack("<Q", 1)

    def times(self):
        """(exec latencies, exit notices) in us."""
        records = list(RECORD.iter_unpack(self.map[8 * len(HEAD):]))
        return ([(started - before) / 1000 for before, started, _, _ in records
                 if before and started],
                [(noticed - exited) / 1000 for _, _, exited, noticed in records
                 if exited and noticed])


class Nothing:
    """The run that says how it is without a profiler."""

    deaths = ()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def check(self):
        pass


class Peer(Nothing):
    """The profiler that stands in for oxprof."""

    def __init__(self, pid):
        self.profiling = Profiling(pid)

    def __enter__(self):
        self.profiling.__enter__()
        return self

    def __exit__(self, *what):
        self.profiling.__exit__(*what)


class Kept:
    """oxprof, started again whenever it dies, so that the storm goes on; each death is kept."""

    def __init__(self, pid, *args):
        self.args = ("-p", pid, "-r", 1000, "-d", "1h", *args)
        self.deaths, self.report = [], None

    def __enter__(self):
        self.start()
        return self

    def start(self):
        self.process = Oxprof(*self.args)
        self.process.err.wait_for(r"^.+\n")

    def check(self):
        if self.process.popen.poll() is None or len(self.deaths) >= DEATHS_MAX:
            return
        result = self.process.result()
        self.deaths.append((result.code, result.err))
        print(f"  oxprof ended with {result.code}: {result.err!r}", flush=True)
        self.start()

    def __exit__(self, kind, *_):
        self.check()
        if kind is None:
            self.process.send(harness.signal.SIGINT)
            result = self.process.result()
            if result.code == 0:
                self.report = Report(result.out)
            else:
                self.deaths.append((result.code, result.err))
        self.process.__exit__()


def figures(name, values):
    """The quantiles of storms.result_line, for a second set of values in one line."""
    values = sorted(values)
    if not values:
        return {}
    return {f"{name}_{key}": round(storms.quantile(values, share), 1)
            for key, share in (("p50", 0.5), ("p99", 0.99), ("max", 1))}


class Processes(storms.Case):
    def run_storm(self, args, n, profiler):
        """One run: (page's counters, exec latencies, exit notices)."""
        path = os.path.join(self.folder(), "page")
        mode, *rest = args
        with Target("process_storm", mode, path, n, *rest) as target:
            page = Page(path, n)
            with profiler(target.pid) as running:
                page.go()
                self.wait_done(target, page, running)
            wait_until(lambda: not faults(target.pid), "a target that runs, untraced", 5)
            counters = target.finish()
            self.assertEqual(counters["ended"], page.head()["ended"])
            return counters, *page.times(), running

    def wait_done(self, target, page, running):
        def done():
            running.check()
            return page.head()["done"] or target.popen.poll() is not None

        try:
            wait_until(done, "the end of the storm", DEADLINE_S)
        except AssertionError:
            raise AssertionError(f"hangs: {page.head()}, {faults(target.pid)}") from None
        self.assertIsNone(target.popen.poll(), f"the target died: {target.texts()}")

    def storm(self, name, args, n, *oxprof_args):
        """Without a profiler, then with it; the line of the second run."""
        _, base_execs, base_notices, _ = self.run_storm(args, n, lambda pid: Nothing())
        try:
            counters, execs, notices, running = self.run_storm(
                args, n, lambda pid: Kept(pid, *oxprof_args) if PEER == "oxprof" else Peer(pid))
        except AssertionError as error:
            if PEER == "oxprof":
                raise
            self.conclude(name, 0, n, 1, why=str(error))
            return
        if PEER == "oxprof":
            self.check_report(running)
        bad = sum(counters[key] for key in ("failed", "wrong", "twice", "eintr", "left"))
        print(f"  {counters}", flush=True)
        self.conclude(name, counters["ended"], n, bad + len(running.deaths), execs,
                      deaths=len(running.deaths), **figures("base", base_execs),
                      **figures("notice", notices), **figures("base_notice", base_notices))

    def check_report(self, running):
        if running.report is None:
            return
        print(f"  {running.report.summary()}\n  {running.report.text.splitlines()[2]}", flush=True)
        self.check_sums(running.report)
        self.assertGreater(running.report.stops, 0, "stops by oxprof")

    def test_children(self):
        self.storm("B8-storm", ("spawn", "fvepfvepw", PER_S), CHILDREN)

    def test_children_sampled_too(self):
        self.storm("B8-children", ("spawn", "fvepfvepw", PER_S), CHILDREN, "--children")

    def test_exec_by_thread(self):
        self.storm("B8-exec", ("chain", CHAIN_THREADS), LINKS)

    def test_leader_ends(self):
        self.storm("B8-leader", ("spawn", "l", 30), LEADERLESS, "--children")


if __name__ == "__main__":
    harness.main()

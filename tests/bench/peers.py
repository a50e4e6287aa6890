# SPDX-License-Identifier: MIT
"""The profilers of the bench: how each is run beside a target, and what it said is read.

Three kinds. One that attaches and stays gets SIGINT when the window is over; its cost is measured
until its report, in a form that a person reads, has been written. Debuggers are started again and
again, as fast as they get ready, at the asked rate at most. And nobody: what two equal runs differ.
"""
import collections
import contextlib
import dataclasses
import functools
import json
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import time

import stacks
import targets

SETTLE_S = 0.3  # from when a profiler is ready until its window opens
READY_S = 20
END_S = 15      # until it has ended, each of its reports, and each look of a debugger
OUTPUT_BYTES = 256 << 20  # of what is read back


class Failed(Exception):
    """The profiler did not work on this target: the table says so, and why. figures: what was
    measured before it failed, or None."""

    figures = None


@dataclasses.dataclass
class Figures:
    """Of one profiler in one window. None: can't be said."""
    throughput: float = None  # units a second
    lost: float = None        # share of the throughput, against the windows before and after
    pause_ms: float = None    # the longest that the target saw, while it attached and left too
    got: int = None           # samples: stacks
    asked: float = None
    truncated: int = None     # of those that were got
    wall_time: list = None    # of the known functions: [[hits], [true ns]]
    cpu_time: list = None     # the same of time on a CPU
    cpu: float = None         # of one CPU, while it records
    all_cpu_s: float = None   # from its start to the report, of all its processes
    peak_mib: float = None    # of its largest process
    report_s: float = None    # from the window's end to the report
    disk_kib: float = None


@dataclasses.dataclass
class Spell:
    """What happened between a profiler's start and its end."""
    seconds: float
    busy: float  # CPUs that the target kept busy
    threads: int
    spent: targets.Spent


# ---- processes and what they use

def family(pid):
    """A process and its descendants."""
    pids = [pid]
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                pids += family(int(child))
    return pids


def family_cpu_s(pid):
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            total += targets.cpu_s([member])
    return total


def ended_within(process, seconds):
    pidfd = os.pidfd_open(process.pid)
    try:
        return bool(select.select([pidfd], [], [], seconds)[0])
    finally:
        os.close(pidfd)


class Command:
    """A command below usage.c, its output in files of the folder."""

    def __init__(self, build, folder, name, argv):
        self.paths = [os.path.join(folder, f"{name}.{end}") for end in ("used", "out", "err")]
        self.name = next(word for word in argv if word != "env" and "=" not in word)
        with open(self.paths[1], "wb") as out, open(self.paths[2], "wb") as err:
            self.process = subprocess.Popen(
                [f"{build}/tests/bench/usage", self.paths[0], *argv], stdin=subprocess.DEVNULL,
                stdout=out, stderr=err, cwd=folder)

    def text(self, which):
        with open(self.paths[which], encoding="utf-8", errors="replace") as file:
            return file.read(OUTPUT_BYTES)

    def out(self):
        return self.text(1)

    def err(self):
        return self.text(2)

    def last_words(self):
        lines = [line for line in self.err().splitlines() if line.strip()]
        return lines[-1].strip()[:120] if lines else "said nothing"

    def end(self, seconds=END_S, good=(0, 130)):
        """Waits; (CPU seconds, peak MiB, seconds that it took). Fails where it did not end well."""
        if not ended_within(self.process, seconds):
            self.kill()
            raise Failed(f"{self.name} took over {seconds} s, and was killed")
        if self.process.wait() not in good:
            raise Failed(f"{self.name}, status {self.process.returncode}: {self.last_words()}")
        cpu, peak_kib, wall = pathlib.Path(self.paths[0]).read_text().split()
        return float(cpu), int(peak_kib) / 1024, float(wall)

    def kill(self):
        """Its command too, which gets SIGKILL from the kernel then (PR_SET_PDEATHSIG)."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def run(build, folder, name, argv):
    """A command to its end: (its output, CPU seconds, peak MiB, seconds)."""
    command = Command(build, folder, name, argv)
    try:
        return command.out, *command.end()
    finally:
        command.kill()


# ---- the kinds

NOBODY = "nobody"  # windows without a profiler


class Attached:
    """Stays beside its target for the window.

    states: of which time its samples are, "wall" (all threads, at all times) or "cpu".
    ready: what it says once it samples; None: nothing tells."""

    states = "cpu"
    ready = None

    def __init__(self, name, rate, major=False):
        self.name, self.rate, self.major = name, rate, major

    def record(self, pids, folder):
        raise NotImplementedError

    def reports(self, folder):
        """Commands that make the readable report of what was recorded."""
        return []

    def disk(self, folder):
        return []

    def read(self, command, folder, build):
        """(stacks, seconds that they were taken in or None)."""
        raise NotImplementedError

    def measure(self, target, running, folder, build, window):
        figures = Figures()
        command = Command(build, folder, "record", self.record(running.pids, folder))
        try:
            self.await_ready(command, folder)
            spell = self.beside(running, command, window, figures)
            self.write_report(folder, build, figures)
            self.judge(target, command, folder, build, spell, figures)
        except Failed as failed:
            failed.figures = figures if figures.throughput is not None else None
            raise
        finally:
            command.kill()
        return figures

    def await_ready(self, command, _folder):
        deadline = time.monotonic() + READY_S
        while self.ready and not re.search(self.ready, command.out() + command.err()):
            if time.monotonic() > deadline or command.process.poll() is not None:
                raise Failed(f"{self.name} does not begin: {command.last_words()}")
            time.sleep(0.02)

    def beside(self, running, command, window, figures):
        """From when it is ready until it has been told to end."""
        spent, cpu = running.progress.spent(), targets.cpu_s(running.pids)
        begin = time.monotonic()
        time.sleep(SETTLE_S)
        used, opened = family_cpu_s(command.process.pid), time.monotonic()
        figures.throughput = window()
        used_in = family_cpu_s(command.process.pid) - used
        figures.cpu = used_in / (time.monotonic() - opened)
        if command.process.poll() is not None:
            raise Failed(f"{self.name} ended early: {command.last_words()}")
        seconds = time.monotonic() - begin
        spell = Spell(seconds, (targets.cpu_s(running.pids) - cpu) / seconds,
                      targets.threads_of(running.pids), since(spent, running.progress.spent()))
        self.interrupt(command, figures)
        figures.pause_ms = running.progress.longest_ms()
        return spell

    def interrupt(self, command, figures):
        begin = time.monotonic()
        command.process.send_signal(signal.SIGINT)
        figures.all_cpu_s, figures.peak_mib, _ = command.end()
        figures.report_s = time.monotonic() - begin

    def write_report(self, folder, build, figures):
        for argv in self.reports(folder):
            _, cpu, peak, seconds = run(build, folder, "report", argv)
            figures.all_cpu_s += cpu
            figures.peak_mib = max(figures.peak_mib, peak)
            figures.report_s += seconds
        figures.disk_kib = sum(os.path.getsize(path) for path in self.disk(folder)) / 1024

    def judge(self, target, command, folder, build, spell, figures):
        taken, seconds = self.read(command, folder, build)
        count(figures, self, taken, spell, seconds or spell.seconds)
        compare(figures, self.states, target, taken, spell)


def since(before, after):
    return targets.Spent(*([b - a for a, b in zip(*pair)] for pair in zip(before, after)))


def count(figures, peer, taken, spell, seconds):
    """Fills in what the stacks say."""
    figures.got = sum(taken.values())
    figures.truncated = stacks.truncated(taken)
    if peer.rate:
        each = spell.threads if peer.states == "wall" else spell.busy
        figures.asked = peer.rate * seconds * each


def compare(figures, states, target, taken, spell):
    """Hits in the known functions, beside the time that was spent there."""
    if not target.functions:
        return
    hits = stacks.tally(taken, target.functions)
    if states == "wall":
        figures.wall_time = [hits, spell.spent.wall_ns[:len(hits)]]
    else:
        busy = len(hits) - target.asleep
        figures.cpu_time = [hits[:busy], spell.spent.cpu_ns[:busy]]


# ---- the profilers

class Oxprof(Attached):
    """Its own json says what was on a CPU; the stacks, as for all, are the folded ones."""

    states, ready = "wall", "oxprof: "

    def __init__(self, binary, how, rate, major=False):
        super().__init__(f"oxprof ({how}) {rate} Hz", rate, major)
        self.binary, self.how = binary, how

    def record(self, pids, folder):
        return [self.binary, "record", "-r", str(self.rate), "-d", "600", "--capture",
                self.how, "-o", f"{folder}/oxprof.pb.gz", "-p", ",".join(map(str, pids))]

    def reports(self, folder):
        return [[self.binary, "report", f"{folder}/oxprof.pb.gz"]]

    def disk(self, folder):
        return [f"{folder}/oxprof.pb.gz"]

    def read(self, _command, folder, build):
        out, *_ = run(build, folder, "folded", [self.binary, "report", "-f", "folded",
                                                f"{folder}/oxprof.pb.gz"])
        return stacks.of_folded(out()), self.json(folder, build)["duration_ns"] / 1e9

    def json(self, folder, build):
        out, *_ = run(build, folder, "json", [self.binary, "report", "-f", "json",
                                              f"{folder}/oxprof.pb.gz"])
        return json.loads(out())

    def judge(self, target, command, folder, build, spell, figures):
        super().judge(target, command, folder, build, spell, figures)
        if not target.functions:
            return
        on_cpu = collections.Counter({
            (row["function"],): row["total"] for row in self.json(folder, build)["functions"]
            if row["state"] == "cpu"})
        compare(figures, "cpu", target, on_cpu, spell)


class Perf(Attached):
    """Waits for "enable", and answers "ack": so its samples begin when the window's spell does."""

    def __init__(self, graph, rate, major=False):
        names = {"fp": "frame pointers", "dwarf": "DWARF"}
        super().__init__(f"perf, {names[graph]} {rate} Hz", rate, major)
        self.graph = graph

    def record(self, pids, folder):
        for name in ("control", "ack"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{folder}/{name}")
            os.mkfifo(f"{folder}/{name}")
        return ["perf", "record", "-F", str(self.rate), "--call-graph", self.graph, "-o",
                f"{folder}/perf.data", "-D", "-1", "--control",
                f"fifo:{folder}/control,{folder}/ack", "-p", ",".join(map(str, pids))]

    def await_ready(self, command, folder):
        control, ack = (os.open(f"{folder}/{name}", os.O_RDWR | os.O_NONBLOCK)
                        for name in ("control", "ack"))
        try:
            os.write(control, b"enable\n")
            for _ in range(READY_S * 10):
                if select.select([ack], [], [], 0.1)[0]:
                    return
                if command.process.poll() is not None:
                    break
            raise Failed(f"{self.name} does not begin: {command.last_words()}")
        finally:
            os.close(control)
            os.close(ack)

    def reports(self, folder):
        return [["perf", "report", "--stdio", "-i", f"{folder}/perf.data"]]

    def disk(self, folder):
        return [f"{folder}/perf.data"]

    def read(self, _command, folder, build):
        out, *_ = run(build, folder, "script", ["perf", "script", "-i", f"{folder}/perf.data"])
        return stacks.of_perf(out()), None


class Bpftrace(Attached):
    ready = "begin"
    PROGRAM = ("BEGIN {{ printf(\"begin %lld\\n\", nsecs) }} "
               "profile:hz:{rate} /{filter}/ {{ @[ustack(perf, 127), tid] = count(); }} "
               "END {{ printf(\"end %lld\\n\", nsecs) }}")

    def __init__(self, rate, major=False):
        super().__init__(f"bpftrace {rate} Hz", rate, major)

    def record(self, pids, folder):
        only = " || ".join(f"pid == {pid}" for pid in pids)
        # Without its cache 0.17 fails to look most of its stacks up when they are many (EBADF).
        return ["env", "BPFTRACE_CACHE_USER_SYMBOLS=1", "bpftrace", "-B", "line", "-e",
                self.PROGRAM.format(rate=self.rate, filter=only)]

    def disk(self, folder):
        return [f"{folder}/record.out"]

    def read(self, command, folder, build):
        return stacks.of_bpftrace(command.out())


class Folded(Attached):
    """One whose report is folded stacks, on stdout or in a file."""

    def __init__(self, name, rate, argv, file=None, states="cpu", ready="Sampling"):
        super().__init__(f"{name} {rate} Hz", rate)
        self.argv, self.file, self.states, self.ready = argv, file, states, ready

    def record(self, pids, folder):
        return self.argv(pids, folder)

    def path(self, folder):
        return f"{folder}/{self.file or 'record.out'}"

    def disk(self, folder):
        return [self.path(folder)]

    def read(self, _command, folder, build):
        text = pathlib.Path(self.path(folder)).read_text(encoding="utf-8", errors="replace")
        return stacks.of_folded(text), None


class Strace(Attached):
    """Counts system calls; no stacks."""

    ready = "attached"

    def __init__(self):
        super().__init__("strace -c", 0)

    def record(self, pids, folder):
        return ["strace", "-f", "-c", "-o", f"{folder}/strace.txt",
                *(word for pid in pids for word in ("-p", str(pid)))]

    def disk(self, folder):
        return [f"{folder}/strace.txt"]

    def judge(self, *_):
        pass


@dataclasses.dataclass
class Seen:
    """By a debugger's looks."""
    texts: list = dataclasses.field(default_factory=list)
    cpu_s: float = 0
    peak_mib: float = 0
    bytes: int = 0


class Looks:
    """A debugger, started anew for each look at a process."""

    states, major = "wall", False

    def __init__(self, name, rate, argv):
        self.name, self.rate, self.argv = f"{name} {rate} Hz", rate, argv

    def measure(self, target, running, folder, build, window):
        seen, spent, begin = Seen(), running.progress.spent(), time.monotonic()

        def look():
            for pid in running.pids:
                self.look(pid, folder, build, seen)

        throughput = window(look, 1 / self.rate)
        seconds = time.monotonic() - begin
        figures = Figures(throughput=throughput, pause_ms=running.progress.longest_ms(),
                          cpu=seen.cpu_s / seconds, all_cpu_s=seen.cpu_s, peak_mib=seen.peak_mib,
                          report_s=0, disk_kib=seen.bytes / 1024)
        taken = sum(map(stacks.of_debugger, seen.texts), collections.Counter())
        spell = Spell(seconds, None, targets.threads_of(running.pids),
                      since(spent, running.progress.spent()))
        count(figures, self, taken, spell, seconds)
        compare(figures, self.states, target, taken, spell)
        return figures

    def look(self, pid, folder, build, seen):
        command = Command(build, folder, "look", self.argv(pid))
        try:
            # eu-stack's status is 1 where a single thread could not be unwound to its end
            used, peak, _ = command.end(good=(0, 1))
        finally:
            command.kill()
        seen.cpu_s += used
        seen.peak_mib = max(seen.peak_mib, peak)
        seen.bytes += os.path.getsize(command.paths[1])
        seen.texts.append(command.out())


# ---- the table

@dataclasses.dataclass
class Peer:
    """What may be installed, or not: a profiler's rows."""
    name: str
    needs: str               # the program
    rows: list
    trial: tuple = ()        # a command that shows that it works here
    only: tuple = ()         # targets; none: all
    hint: str = ""


def bcc_argv(rate):
    return lambda pids, _: ["profile-bpfcc", "-F", str(rate), "-f", "-p", ",".join(map(str, pids))]


def py_spy_argv(rate):
    return lambda pids, folder: ["py-spy", "record", "-r", str(rate), "-f", "raw", "-t", "-o",
                                 f"{folder}/py-spy.raw", "-p", str(pids[0])]


def gdb_argv(pid):
    return ["gdb", "-nx", "-batch", "-ex", "set debuginfod enabled off", "-p", str(pid), "-ex",
            "thread apply all bt"]


def all_peers(oxprof):
    return [
        Peer("oxprof (stop)", oxprof, [Oxprof(oxprof, "stop", 100),
                                       Oxprof(oxprof, "stop", 1000, True)]),
        Peer("oxprof (perf)", oxprof, [Oxprof(oxprof, "perf", 100),
                                       Oxprof(oxprof, "perf", 1000, True)]),
        Peer("perf, frame pointers", "perf", [Perf("fp", 100), Perf("fp", 1000, True)],
             ("perf", "record", "-o", "/dev/null", "-F", "99", "-g", "true")),
        Peer("perf, DWARF", "perf", [Perf("dwarf", 100), Perf("dwarf", 1000, True)],
             ("perf", "record", "-o", "/dev/null", "-F", "99", "-g", "true")),
        Peer("bpftrace", "bpftrace", [Bpftrace(100), Bpftrace(1000, True)],
             ("bpftrace", "-e", "profile:hz:99 { exit(); }")),
        Peer("bcc's profile", "profile-bpfcc", [Folded("bcc's profile", 100, bcc_argv(100))],
             ("profile-bpfcc", "-F", "99", "1"), hint="package bpfcc-tools"),
        Peer("eu-stack", "eu-stack", [Looks("eu-stack", 100, lambda pid: ["eu-stack", "-p",
                                                                          str(pid)])]),
        Peer("gdb", "gdb", [Looks("gdb", 100, gdb_argv)]),
        Peer("strace", "strace", [Strace()], ("strace", "-o", "/dev/null", "true")),
        Peer("py-spy", "py-spy", [Folded("py-spy", 100, py_spy_argv(100), "py-spy.raw", "wall")],
             only=("python",), hint="not in Debian: pip install py-spy"),
    ]


@functools.cache
def trial(argv):
    """None where it works, else what it says."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=END_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as why:
        return str(why)
    if done.returncode == 0:
        return None
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return said[-1][:160] if said else f"status {done.returncode}"


def offers_perf(oxprof):
    text = subprocess.run([oxprof, "--help"], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=10, check=True).stdout
    return re.search(r"--capture \S*\bperf\b", text) is not None


def missing(peer):
    """Why it does not run here, or None."""
    if not shutil.which(peer.needs):
        return f"not installed ({peer.hint})" if peer.hint else "not installed"
    if peer.name == "oxprof (perf)" and not offers_perf(peer.needs):
        return "this build has no --capture perf"
    why = trial(peer.trial) if peer.trial else None
    return f"does not run here: {why}" if why else None


def rows_for(target, peers):
    """The profilers that are run on a target."""
    rows = [row for peer in peers if not peer.only or target.name in peer.only
            for row in peer.rows]
    return [row for row in rows if target.major or not row.major]

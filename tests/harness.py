# SPDX-License-Identifier: MIT
"""Starts a target and oxprof, reads the report, and looks at the target afterwards.

OXPROF names the program, TARGETS the folder of the built targets. Everything started here ends
with its test. Nothing waits by sleeping: a line says ready, a condition is looked for, and a
deadline ends both.
"""
import collections
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

OXPROF = os.path.abspath(os.environ.get("OXPROF", "build/oxprof"))
TARGETS = os.path.abspath(os.environ.get("TARGETS", "build/tests/targets"))
READY_S = 20
END_S = 30
CAPTURE = ("--capture", "stop")  # for runs that do not say: how hard stops are on a target is told
#                                  by most tests; those of perf and of services take the default
NOBODY = 65534
SKIPPED = 77


def target_path(name):
    return os.path.join(TARGETS, name)


def wait_until(condition, what, seconds=READY_S):
    """The first true value of condition(); fails at the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        pause(0.002)


def pause(seconds):
    """Lets a stretch of time be sampled; never a way to wait for something."""
    select.select([], [], [], seconds)


# ---- /proc


def read_proc(path):
    """The text of a file of /proc, or None where its process is gone."""
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return None


def tasks(pid):
    try:
        return sorted(int(tid) for tid in os.listdir(f"/proc/{pid}/task"))
    except FileNotFoundError:
        return []


def task_status(pid, tid):
    """Fields of a task's status as strings; empty where it is gone."""
    text = read_proc(f"/proc/{pid}/task/{tid}/status") or ""
    return dict(line.split(":\t", 1) for line in text.split("\n") if ":\t" in line)


def children(pid):
    """The pids of a process's own children."""
    text = read_proc(f"/proc/{pid}/task/{pid}/children") or ""
    return [int(child) for child in text.split()]


def task_names(pid):
    names = {tid: read_proc(f"/proc/{pid}/task/{tid}/comm") for tid in tasks(pid)}
    return {tid: name.rstrip("\n") for tid, name in names.items() if name is not None}


def has_ended(pid):
    """No process any more, or one that only waits to be reaped."""
    return task_status(pid, pid).get("State", "X")[0] in "ZX"


def faults(pid):
    """What no target may be after sampling: stopped, traced, gone."""
    wrong = []
    living = 0
    for tid in tasks(pid):
        status = task_status(pid, tid)
        state = status.get("State", "gone")[0]
        living += state not in "ZXg"
        if state in "tT" or status.get("TracerPid", "0") != "0":
            wrong.append(f"task {tid} of {pid}: state {state}, TracerPid {status['TracerPid']}")
    return wrong if living else wrong + [f"{pid} has ended"]


# ---- processes


class Reader:
    """Collects what comes out of a pipe, so that no writer ever waits for us."""

    def __init__(self, stream):
        self.data = b""
        self.stream = stream
        self.grown = threading.Condition()
        self.ended = False
        self.thread = threading.Thread(target=self.collect, daemon=True)
        self.thread.start()

    def collect(self):
        while chunk := self.stream.read1(65536):
            with self.grown:
                self.data += chunk
                self.grown.notify_all()
        with self.grown:
            self.ended = True
            self.grown.notify_all()

    def text(self):
        with self.grown:
            return self.data.decode("utf-8", "replace")

    def wait_for(self, pattern, seconds=READY_S):
        """The match of a pattern in what has come; None if the stream ends or time runs out."""
        deadline = time.monotonic() + seconds
        with self.grown:
            while True:
                match = re.search(pattern, self.data.decode("utf-8", "replace"), re.M)
                left = deadline - time.monotonic()
                if match or self.ended or left <= 0:
                    return match
                self.grown.wait(left)

    def rest(self, seconds=END_S):
        """All that came until the end, if that came in time."""
        self.thread.join(seconds)
        if self.ended:
            self.stream.close()
        return self.text()


class Process:
    """A child with its output in hand; with-statements end it whatever happens."""

    def __init__(self, argv, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        self.argv = [os.fspath(arg) for arg in argv]
        self.popen = subprocess.Popen(self.argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      **options)
        self.pid = self.popen.pid
        self.out = Reader(self.popen.stdout)
        self.err = Reader(self.popen.stderr)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.popen.returncode is None:
            self.popen.kill()
            self.popen.wait(END_S)
        self.out.rest(1)
        self.err.rest(1)

    def send(self, sig):
        self.popen.send_signal(sig)

    def wait(self, seconds=END_S):
        """The exit code, negative for a signal."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait(END_S)
            raise AssertionError(f"{self} still ran after {seconds} s\n{self.texts()}") from None

    def texts(self):
        return f"stdout: {self.out.text()}\nstderr: {self.err.text()}"

    def __str__(self):
        return " ".join(os.path.basename(arg) if "/" in arg else arg for arg in self.argv)


class Target(Process):
    """A program of tests/targets that is ready. finish() stops it and reads its counters."""

    def __init__(self, name, *args, path=None, **options):
        super().__init__([path or target_path(name), *map(str, args)], **options)
        try:
            if not self.out.wait_for(r"^ready$"):
                raise AssertionError(f"{self} is not ready: {self.texts()}")
        except BaseException:
            self.__exit__()
            raise

    def counters(self):
        pairs = re.findall(r"^(\w+)=(-?[\d.]+)$", self.out.text(), re.M)
        return {key: float(value) if "." in value else int(value) for key, value in pairs}

    def finish(self):
        """Its last counters; it must be well, and end well."""
        wrong = faults(self.pid)
        if wrong:
            raise AssertionError(f"{self} after sampling: {'; '.join(wrong)}")
        self.send(signal.SIGTERM)
        code = self.wait()
        self.out.rest()
        if code != 0:
            raise AssertionError(f"{self} ended with {code}: {self.texts()}")
        return self.counters()


Result = collections.namedtuple("Result", "code out err")


def with_capture(args):
    """The arguments, with CAPTURE where they sample and do not say how."""
    command = args[0] if args and not args[0].startswith("-") else ""
    if not args or "--capture" in args or command not in ("", "record", "top", "serve"):
        return args
    return [*args[:len(command) > 0], *CAPTURE, *args[len(command) > 0:]]


class Oxprof(Process):
    """The profiler, running."""

    def __init__(self, *args, program=OXPROF, **options):
        super().__init__([program, *with_capture(list(map(str, args)))], **options)

    def wait_started(self):
        """Until the line that says what is sampled; the line."""
        match = self.err.wait_for(r"^.+\n")
        if not match:
            raise AssertionError(f"{self} says nothing at its start: {self.texts()}")
        return match.group(0)

    def result(self, seconds=END_S):
        code = self.wait(seconds)
        return Result(code, self.out.rest(), self.err.rest())


def oxprof(*args, seconds=END_S, **options):
    """Runs oxprof to its end."""
    with Oxprof(*args, **options) as process:
        return process.result(seconds)


# ---- reports

Row = collections.namedtuple("Row", "thread block self total kind function")
HEAD = re.compile(r"^# oxprof (?P<version>\S+): (?P<title>.*), (?P<threads>\d+) threads?, "
                  r"(?P<mode>[^,]+), (?P<rate>[\d.]+) Hz, (?P<seconds>[\d.]+) s$")
SAMPLES = re.compile(r"^# (?P<samples>\d+) samples?: (?P<cpu>\d+) on CPU \((?P<busy>[\d.]+) CPUs "
                     r"busy\)(?:, (?P<waiting>\d+) waiting)?"
                     r"(?:, (?P<hidden>\d+) not shown \(--focus, --ignore\))?; (?P<lost>\d+) lost"
                     r"(?: \((?P<reasons>[^)]*)\))?; (?P<truncated>\d+) stacks? truncated"
                     r"(?:; (?P<missed>\d+) of (?P<ticks>\d+) ticks missed)?")
COST = re.compile(r"^# cost: (?P<stops>\d+) stops?, (?P<mean>\S+) us mean, (?P<max>\S+) us max, "
                  r"(?P<share>\S+)% of the target's running time; "
                  r"(?:(?P<perf>\d+) perf samples?; )?(?P<refused>perf_event refused; )?"
                  r"(?P<disturbed>\d+) system calls? disturbed(?:, (?P<repaired>\d+) put back)?; "
                  r"oxprof (?P<own_cpu>\S+)% of a CPU, (?P<memory>\S+) MiB"
                  r"(?:; (?P<looks>\S+) looks a second \(--max-overhead (?P<most>\S+)%\))?$")
LIMITS = re.compile(r"; (\d+) ([^;]*) \(memory limit\)")
THREAD = re.compile(r"^# thread (\d+) \((.*)\): (\d+) on CPU(?:, (\d+) waiting)?$")
ROW = re.compile(r"^ *(\d+)  +(\d+\.\d\d)  +(\d+)  +(\d+\.\d\d)  (\w+) +(\S.*)$")


def whole(text):
    return int(text or 0)


class Report:
    """The text report. Raises AssertionError where it is not as its readers know it."""

    def __init__(self, text):
        self.text = text
        lines = text.splitlines()
        if len(lines) < 3:
            raise AssertionError(f"no report: {text!r}")
        head, samples, cost = self.head(HEAD, lines[0]), self.head(SAMPLES, lines[1]), \
            self.head(COST, lines[2])
        self.version, self.title, self.mode = head["version"], head["title"], head["mode"]
        self.threads, self.rate = int(head["threads"]), float(head["rate"])
        self.seconds = float(head["seconds"])
        self.samples, self.cpu = int(samples["samples"]), int(samples["cpu"])
        self.waiting, self.truncated = whole(samples["waiting"]), int(samples["truncated"])
        self.busy = float(samples["busy"])
        self.lost = int(samples["lost"])
        self.losses = {reason: int(count) for count, reason in
                       re.findall(r"(\d+) ([^,]+)", samples["reasons"] or "")}
        self.limits = {what: int(count) for count, what in LIMITS.findall(lines[1])}
        self.missed, self.ticks = whole(samples["missed"]), whole(samples["ticks"])
        self.stops, self.disturbed = int(cost["stops"]), int(cost["disturbed"])
        self.repaired = whole(cost["repaired"])
        self.looks, self.own_cpu = cost["looks"], float(cost["own_cpu"])
        self.perf, self.perf_refused = whole(cost["perf"]), bool(cost["refused"])
        self.thread_hits = {}
        self.rows = list(self.parse_rows(lines[3:]))

    def head(self, pattern, line):
        match = pattern.match(line)
        if not match:
            raise AssertionError(f"unexpected head line {line!r} in\n{self.text}")
        return match.groupdict()

    def parse_rows(self, lines):
        thread = block = None
        for line in lines:
            if match := THREAD.match(line):
                thread = int(match.group(1))
                self.thread_hits[thread] = (match.group(2), int(match.group(3)),
                                            whole(match.group(4)))
            elif line in ("# on CPU", "# waiting"):
                block = line[2:]
            elif not line.startswith("#"):
                match = ROW.match(line)
                if not match:
                    raise AssertionError(f"unexpected line {line!r} in\n{self.text}")
                own, _, total, _, kind, function = match.groups()
                yield Row(thread, block, int(own), int(total), kind, function)

    def sum_self(self, block):
        return sum(row.self for row in self.rows if row.block == block)

    def find(self, pattern, block="on CPU"):
        """(SELF, TOTAL) of the functions whose name matches, summed over rows."""
        rows = [row for row in self.rows if row.block == block]
        found = [row for row in rows if re.search(pattern, row.function)]
        return sum(row.self for row in found), sum(row.total for row in found)

    def self_of(self, pattern, block="on CPU"):
        return self.find(pattern, block)[0]

    def total_of(self, pattern, block="on CPU"):
        return self.find(pattern, block)[1]

    def summary(self):
        return (f"{self.samples} samples in {self.seconds} s at {self.rate} Hz: {self.cpu} on CPU, "
                f"{self.waiting} waiting, lost {self.losses}, {self.truncated} truncated, "
                f"{self.missed} ticks missed, {self.stops} stops, {self.disturbed} disturbed, "
                f"{self.repaired} put back")


TSV_HEAD = ["state", "self", "total", "kind", "function", "module", "file", "line", "tid"]


def parse_tsv(text):
    """Rows as dicts, self and total as numbers."""
    lines = text.split("\n")
    if lines[0].split("\t") != TSV_HEAD or lines[-1] != "":
        raise AssertionError(f"not the tsv that was announced: {text[:500]!r}")
    rows = [dict(zip(TSV_HEAD, line.split("\t"), strict=True)) for line in lines[1:-1]]
    return [{**row, "self": int(row["self"]), "total": int(row["total"])} for row in rows]


def parse_folded(text):
    """(frames root first, hits) of each line."""
    stacks = []
    for line in text.splitlines():
        stack, _, hits = line.rpartition(" ")
        stacks.append((stack.split(";"), int(hits)))
    return stacks


# ---- test cases


class Case(unittest.TestCase):
    """Assertions that several tests make."""

    maxDiff = None

    def sample(self, *args, seconds=END_S, **options):
        """The report of a run that ends well."""
        result = oxprof(*args, seconds=seconds, **options)
        return self.report(result)

    def report(self, result):
        self.assertEqual(result.code, 0, f"stderr: {result.err}\nstdout: {result.out}")
        report = Report(result.out)
        print(f"  {report.summary()}", flush=True)
        self.check_sums(report)
        return report

    def check_sums(self, report):
        self.assertEqual(report.cpu + report.waiting, report.samples, report.text)
        self.assertEqual(sum(report.losses.values()), report.lost, report.text)
        for block, samples in (("on CPU", report.cpu), ("waiting", report.waiting)):
            self.assertEqual(report.sum_self(block), samples, f"SELF of {block}\n{report.text}")
            above = [row for row in report.rows if row.block == block and row.total > samples]
            self.assertEqual(above, [], f"TOTAL above {samples}")
            below = [row for row in report.rows if row.block == block and row.total < row.self]
            self.assertEqual(below, [], "TOTAL below SELF")

    def assert_untouched(self, pid):
        self.assertEqual(faults(pid), [], "the target after sampling")

    def assert_share(self, got, of, wanted, what, points=3.0):
        """got of `of` samples is the fraction `wanted`, give or take so many percent points."""
        self.assertGreater(of, 0, what)
        percent = 100 * got / of
        self.assertLessEqual(abs(percent - 100 * wanted), points,
                             f"{what}: {got} of {of}, {percent:.2f} %, instead of "
                             f"{100 * wanted:.2f} %")

    def assert_refused(self, result, code, *patterns):
        """An exit code, nothing on stdout, one message that says all of it."""
        self.assertEqual(result.code, code, f"stderr: {result.err}\nstdout: {result.out}")
        self.assertEqual(result.out, "", "stdout of a refusal")
        self.assertRegex(result.err, r"\Aoxprof: ", "a message begins with the program's name")
        for pattern in patterns:
            self.assertRegex(result.err, pattern)

    def folder(self):
        """A folder of its own that everybody may look into."""
        path = tempfile.mkdtemp(prefix="oxprof-test-")
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        os.chmod(path, 0o755)
        return path

    def for_everybody(self, path):
        """A copy of a program where any user can execute it."""
        copy = os.path.join(self.folder(), os.path.basename(path))
        shutil.copyfile(path, copy)
        os.chmod(copy, 0o755)
        return copy


def may_attach():
    """Why sampling a sibling can't work here, or None."""
    scope = (read_proc("/proc/sys/kernel/yama/ptrace_scope") or "0").strip()
    if scope in ("2", "3") and (os.geteuid() != 0 or scope == "3"):
        return f"Yama's ptrace_scope is {scope}"
    return None


def main():
    """Runs the calling file's tests; 77 where all of them were skipped."""
    # A timeout's SIGTERM must still end what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # In the background of a script it is ignored, and whatever we start would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not os.access(OXPROF, os.X_OK):
        sys.exit(f"no oxprof at {OXPROF} (set OXPROF)")
    if why := may_attach():
        print(f"skipped: {why}")
        sys.exit(SKIPPED)
    outcome = unittest.main(verbosity=2, exit=False).result
    if not outcome.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if outcome.testsRun and len(outcome.skipped) == outcome.testsRun else 0)

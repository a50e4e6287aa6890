# SPDX-License-Identifier: MIT
"""Real programs as targets: start one, put it under load, sample it, judge report and target.

A Service owns its temporary directory, its processes and its loads, and ends them by their own PIDs
whatever happens. Nothing here waits by sleeping: a connect says ready, a deadline ends the wait.
"""
import collections
import glob
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PROGRAMS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "programs")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RATES_HZ = (100, 1000)
SAMPLING_S = 3
TICKS_LEAST = 1000  # of each thread: a server works in few of them, and what it does must be met
READY_S = 20
STOP_S = 10
LOAD_S = 100
SKIPPED = 77


class Skip(Exception):
    """What the test needs is not on this machine."""


class Failure(Exception):
    """The report or the target is not what it should be."""


def need(program, *places):
    """The path of an installed program: the first of places (patterns) that exists, else PATH's."""
    found = [path for place in places for path in sorted(glob.glob(os.path.expanduser(place)))]
    path = found[-1] if found else shutil.which(program)
    if path is None:
        raise Skip(f"{program} is not installed")
    return path


def module_of(program):
    """How a report names the program's file: mappings bear the name behind the symbolic links."""
    return re.escape(os.path.basename(os.path.realpath(program)))


def libc(names):
    """A pattern for functions of libc, which has several symbols for one address."""
    return rf"^(__GI_)?_*(libc_)?({names})(_nocancel)? \(libc"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def step(x):
    x = (x * 69069 + 1) & 0xFFFFFFFF
    return x ^ (x >> 13)


def crunch(n):
    x = n
    for _ in range(n):
        x = step(x)
    return x


def tally(n):
    x = n
    counts = collections.Counter()
    for _ in range(n):
        x = step(x)
        counts[x % 1000] += 1
    return sum(key * count for key, count in counts.items()) & 0xFFFFFFFF


def answer(n):
    """What programs/worker.* must answer; the factor gives both functions a like share there."""
    return crunch(8 * n) ^ tally(n)


# ---- the target as /proc shows it


def read_file(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None


def stat_fields(path):
    """The fields of a stat file from the state on, or None; a name may hold spaces and ')'."""
    text = read_file(path)
    return text[text.rindex(")") + 2 :].split() if text else None


def children(pid):
    found = []
    for entry in os.listdir("/proc"):
        fields = stat_fields(f"/proc/{entry}/stat") if entry.isdigit() else None
        if fields and int(fields[1]) == pid:
            found.append(int(entry))
    return sorted(found)


def start_time(pid):
    fields = stat_fields(f"/proc/{pid}/stat")
    return fields[19] if fields else None


def faults(pid):
    """What is wrong with a target after sampling: stopped or still traced tasks."""
    wrong = []
    for tid in os.listdir(f"/proc/{pid}/task"):
        status = read_file(f"/proc/{pid}/task/{tid}/status")
        if status is None:
            continue
        state = re.search(r"^State:\s+(\S)", status, re.M).group(1)
        tracer = int(re.search(r"^TracerPid:\s+(\d+)", status, re.M).group(1))
        if state in "tTZX" or tracer != 0:
            wrong.append(f"task {tid} of {pid}: state {state}, TracerPid {tracer}")
    return wrong


# ---- loads: bounded, and each says how many errors its clients saw


class CommandLoad:
    """A program that must still run when it is stopped; verdict(output) gives its operations."""

    def __init__(self, service, argv, verdict, stop_signal=signal.SIGINT):
        self.verdict = verdict
        self.stop_signal = stop_signal
        self.path = os.path.join(service.directory, "load.out")
        self.process = service.spawn(argv, self.path)

    def finish(self):
        if self.process.poll() is not None:
            raise Failure(f"the load ended by itself: {read_file(self.path)}")
        self.process.send_signal(self.stop_signal)
        self.process.wait(STOP_S)
        return self.verdict(read_file(self.path))


class ThreadLoad:
    """A client of our own in threads: operation(state) is called until the end, and may raise."""

    def __init__(self, service, connect, operation, clients=2):
        self.connect = connect
        self.operation = operation
        self.ending = threading.Event()
        self.counts = [0] * clients
        self.errors = []
        self.deadline = time.monotonic() + service.load_s
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, index):
        try:
            state = self.connect()
            while not self.ending.is_set() and time.monotonic() < self.deadline:
                self.operation(state)
                self.counts[index] += 1
        except Exception as error:  # any error at all is a finding
            self.errors.append(f"client {index} after {self.counts[index]} operations: {error!r}")

    def finish(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(STOP_S)
        if self.errors or min(self.counts) == 0:
            raise Failure(f"load clients: {self.counts} operations, errors: {self.errors}")
        return sum(self.counts)


def expect_equal(got, wanted):
    if got != wanted:
        raise Failure(f"wrong answer: {got!r} instead of {wanted!r}")


def wrk_verdict(output):
    done = re.search(r"(\d+) requests in", output)
    if done is None or "Socket errors" in output or "Non-2xx" in output:
        raise Failure(f"wrk: {output}")
    return int(done.group(1))


def worker_load(service, sizes):
    """Lines to a programs/worker.*, each answer compared with the one computed here."""
    wanted = {n: answer(n) for n in sizes}

    def connect():
        client = socket.create_connection(("127.0.0.1", service.port), STOP_S)
        return client, client.makefile("rb")

    def operation(state):
        client, lines = state
        for n in sizes:
            client.sendall(b"%d\n" % n)
            expect_equal(lines.readline(), b"%d\n" % wanted[n])

    return ThreadLoad(service, connect, operation)


# ---- the service


class Service:
    """Base: a subclass gives command(), and what it wants of start(), loads() and runs().

    A run is (options of oxprof, PIDs that must outlive it, patterns of functions it must name).
    """

    goal = 0.01  # of the stacks truncated or failed at most; None: shown only
    oxprof = None
    stop_signal = signal.SIGTERM

    def __init__(self, load_s=LOAD_S):
        self.load_s = load_s
        self.directory = None
        self.port = None
        self.process = None
        self.spawned = []
        self.running_loads = []

    def __enter__(self):
        self.directory = tempfile.mkdtemp(prefix="oxprof-service-")
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for load in self.running_loads:
            if isinstance(load, ThreadLoad):
                load.ending.set()
        for process in reversed(self.spawned):
            self.end(process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def command(self):
        raise NotImplementedError

    def loads(self):
        """Starts the loads and returns them."""
        raise NotImplementedError

    def runs(self):
        raise NotImplementedError

    def user(self):
        """The user that the program needs when the tests run as root, or None."""
        return None

    def prepare(self):
        pass

    def start(self):
        self.prepare()
        # Somebody else may take the port between the look and the bind: try another then.
        for _ in range(3):
            self.port = free_port()
            self.process = self.spawn(self.command(), self.log_path(), self.user())
            if self.wait_ready():
                return
        raise Failure(f"does not start: {read_file(self.log_path())}")

    def log_path(self):
        return os.path.join(self.directory, "service.log")

    def spawn(self, argv, output, user=None):
        # The death signal ends everything even if this test is killed with SIGKILL.
        setpriv = shutil.which("setpriv")
        prefix = []
        if user is not None:
            prefix = [need("setpriv"), f"--reuid={user}", "--regid", str(pwd.getpwnam(user).pw_gid),
                      "--clear-groups"]
        elif setpriv:
            prefix = [setpriv]
        prefix += ["--pdeathsig", "TERM", "--"] if prefix else []
        with open(output, "wb") as file:
            process = subprocess.Popen(prefix + argv, stdin=subprocess.DEVNULL, stdout=file,
                                       stderr=subprocess.STDOUT, cwd=self.directory)
        self.spawned.append(process)
        return process

    def connected(self):
        with socket.create_connection(("127.0.0.1", self.port), 1):
            return True

    def wait_ready(self):
        """True once it answers, False if it died; raises at the deadline."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            try:
                return self.connected()
            except OSError:
                pass
            try:
                self.process.wait(0.02)
                return False
            except subprocess.TimeoutExpired:
                pass
        raise Failure(f"not ready after {READY_S} s: {read_file(self.log_path())}")

    def end(self, process):
        if process.poll() is not None:
            return
        process.send_signal(self.stop_signal if process is self.process else signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            print(f"pid {process.pid} had to be killed", file=sys.stderr)
            process.kill()
            process.wait()

    def load(self):
        self.running_loads = self.loads()

    def finish_loads(self):
        loads, self.running_loads = self.running_loads, []
        return [load.finish() for load in loads]

    def judge(self, report):
        """What only this service's reports must say; raises Failure."""

    def check_after(self):
        """What only this service can tell after the runs, its loads still on."""


# ---- the report

Row = collections.namedtuple("Row", "block own total kind function tid")


class Report:
    def __init__(self, text):
        self.text = text
        head = "\n".join(line for line in text.splitlines()[:3] if line.startswith("#"))
        self.samples = self.number(head, r"(\d+) samples?: ")
        self.on_cpu = self.number(head, r"(\d+) on CPU")
        self.waiting = self.number(head, r"(\d+) waiting")
        self.truncated = self.number(head, r"(\d+) stacks? truncated", 0)
        self.torn = sum(map(int, re.findall(r"(\d+) Python stacks? (?:torn|without)", head)))
        losses = re.search(r"\d+ lost \(([^)]*)\)", head)
        self.lost = {reason: int(count) for count, reason in
                     re.findall(r"(\d+) ([^,]+)", losses.group(1) if losses else "")}
        self.rows = list(self.parse_rows())

    def number(self, head, pattern, default=None):
        match = re.search(pattern, head)
        if match is None and default is None:
            raise Failure(f"no '{pattern}' in the report's head:\n{self.text}")
        return int(match.group(1)) if match else default

    def parse_rows(self):
        block = tid = None
        for line in self.text.splitlines():
            if thread := re.match(r"# thread (\d+) ", line):
                tid = int(thread.group(1))
            elif line in ("# on CPU", "# waiting"):
                block = line[2:]
            elif line and not line.startswith("#"):
                own, own_percent, total, total_percent, kind, function = line.split(None, 5)
                float(own_percent)
                float(total_percent)
                yield Row(block, int(own), int(total), kind, function, tid)

    def failed(self):
        rows = sum(row.own for row in self.rows if row.function.startswith("[unwind failed]"))
        return max(rows, self.lost.get("unwind", 0))


def check_sums(report):
    for block, samples in (("on CPU", report.on_cpu), ("waiting", report.waiting)):
        rows = [row for row in report.rows if row.block == block]
        if sum(row.own for row in rows) != samples:
            raise Failure(f"{block}: SELF does not add up to {samples}")
        if any(row.total > samples for row in rows):
            raise Failure(f"{block}: a TOTAL above {samples}")
    if report.on_cpu + report.waiting != report.samples:
        raise Failure("on CPU and waiting do not add up to the samples")


def check_names(report, patterns):
    """Each pattern reads 'BLOCK: REGEX' or 'BLOCK KIND: REGEX', BLOCK being cpu, wait or any."""
    blocks = {"cpu": ["on CPU"], "wait": ["waiting"], "any": ["on CPU", "waiting"]}
    for pattern in patterns:
        where, regex = pattern.split(": ", 1)
        block, _, kind = where.partition(" ")
        if not any(row.total > 0 and row.block in blocks[block] and kind in ("", row.kind)
                   and re.search(regex, row.function) for row in report.rows):
            raise Failure(f"no function {pattern}")


def sampling_s(rate):
    return max(SAMPLING_S, TICKS_LEAST // rate)


FEW = 5  # truncated stacks that are no finding, however few the samples


def check_losses(report, rate, goal):
    # One thread at least was there all the time. Machines are busy: a quarter of its ticks is a
    # floor that only says that sampling went on.
    if report.samples < sampling_s(rate) * rate / 4:
        raise Failure(f"only {report.samples} samples")
    bad = report.truncated + report.failed()
    if goal is not None and bad > max(goal * report.samples, FEW):
        raise Failure(f"{bad} of {report.samples} stacks are truncated or failed")


def check_targets(pids):
    for pid, started in pids.items():
        if started is None or start_time(pid) != started:
            raise Failure(f"target {pid} is gone")
        if faults(pid):
            raise Failure(f"target {pid}: {faults(pid)}")


def sample(oxprof, options, rate):
    argv = [oxprof, *options, "-d", str(sampling_s(rate)), "-r", str(rate)]
    result = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                            encoding="utf-8", errors="replace")
    if result.returncode != 0:
        raise Failure(f"{' '.join(argv)} ended with {result.returncode}\n{result.stderr}")
    return Report(result.stdout)


def check_run(service, oxprof, options, pids, patterns, rate):
    started = {pid: start_time(pid) for pid in pids}
    report = sample(oxprof, options, rate)
    line = (f"{' '.join(options)} -r {rate}: {report.samples} samples, {report.on_cpu} on CPU, "
            f"lost {report.lost}, {report.truncated} truncated, {report.failed()} failed, "
            f"{report.torn} torn: "
            f"{100 * (report.truncated + report.failed()) / max(report.samples, 1):.3f} %")
    print(line, flush=True)
    try:
        check_targets(started)
        check_sums(report)
        check_losses(report, rate, service.goal)
        check_names(report, patterns)
        service.judge(report)
    except Failure as failure:
        raise Failure(f"{line}: {failure}\n{report.text}") from None


def check(service_class, oxprof):
    with service_class() as service:
        service.oxprof = oxprof
        service.load()
        for options, pids, patterns in service.runs():
            for rate in RATES_HZ:
                check_run(service, oxprof, options, pids, patterns, rate)
        service.check_after()
        print(f"load: {service.finish_loads()} operations, 0 errors")


def may_attach():
    scope = read_file("/proc/sys/kernel/yama/ptrace_scope")
    if os.geteuid() != 0 and scope is not None and scope.strip() != "0":
        raise Skip("Yama lets only root attach to a process that is not a child: run as root")


def main(*service_classes):
    """A test's whole life: oxprof is the first argument, or $OXPROF, or build/oxprof."""
    # Without this a timeout's SIGTERM would end us before the services.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    default = os.environ.get("OXPROF", os.path.join(ROOT, "build", "oxprof"))
    oxprof = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else default)
    try:
        may_attach()
        for service_class in service_classes:
            print(f"{service_class.__name__}: {service_class.__doc__}", flush=True)
            check(service_class, oxprof)
    except Skip as skip:
        print(f"SKIPPED: {skip}", file=sys.stderr)
        return SKIPPED
    except (Failure, OSError, subprocess.SubprocessError) as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        return 1
    return 0

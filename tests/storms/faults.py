# SPDX-License-Identifier: MIT
"""Every system call and allocation of oxprof fails in turn. Proved of each: no thread of the target
is left stopped or traced, oxprof ends in time with an exit code of its man page, or, out of memory,
with the abort that is meant for it, it says why it failed, and no process of it remains.

    faults.py                       the storm
    FAULT=pread64:7:EIO faults.py   only this one, in each way of running; 7+: from the seventh on
"""
import collections
import concurrent.futures
import ctypes
import errno
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading

import storms
from harness import (OXPROF, TARGETS, Report, Target, children, faults, main, target_path, with_capture,
                     wait_until)

INJECTOR = os.path.join(os.path.dirname(TARGETS), "storms", "libfault_inject.so")
DEADLINE_S = 15
THREADS = 8
STATUS = 7
CODES = {0, 1, 2, 3, 4, 5}
CASES_PER_TARGET = 60
PER_FUNCTION = storms.size(3, 24)
CASES_MAX = storms.size(66, 1100)
PR_SET_CHILD_SUBREAPER = 36

# What each function of libc can fail with. Left out: those that can't with the arguments that
# oxprof gives them (sigprocmask, clock_gettime, sem_post, ...).
ERRORS = {
    "malloc calloc realloc mmap64": "ENOMEM",
    "open64 openat64 __openat64_2 fopen64": "EMFILE ENOENT EACCES ENOMEM",
    "read pread64": "EIO ESRCH EINTR ENOMEM",
    "write": "EIO EINTR ENOSPC",
    "close closedir": "EIO EINTR",
    "fclose fflush": "ENOSPC EIO",
    "fread fgets readdir64": "EIO",
    "stat64 lstat64 fstat64 access realpath": "EACCES ENOMEM ENOENT",
    "mkostemp64 rename fchmod": "ENOSPC EPERM EIO",
    "fdopen fdopendir getpwuid": "ENOMEM",
    "ioctl": "ENOTTY EINTR ENOMEM ESRCH",
    "ptrace": "ESRCH EPERM EIO",
    "waitid waitpid": "EINTR ECHILD",
    "fork pthread_create": "EAGAIN ENOMEM",
    "pipe2": "EMFILE",
    "kill": "EPERM",
    "poll": "EINTR ENOMEM",
    "prctl": "EINVAL EPERM",
    "setpgid dup2": "EPERM EINTR",
    "sem_wait": "EINTR",
    "sigtimedwait": "EINTR EAGAIN",
    "clock_nanosleep": "EINTR",
    "lseek64 munmap": "EINVAL",
    "getrandom": "EAGAIN ENOSYS",
    "getrlimit64 setrlimit64 getpriority": "EPERM",
    "sched_getscheduler sched_getaffinity": "EPERM ESRCH",
    "sched_setaffinity": "EINVAL EPERM",
    "isatty": "ENOTTY",
    "execvp": "ENOENT EACCES E2BIG",
    "syscall217": "ENOENT ENOMEM EIO",    # getdents64
    "syscall314": "EPERM ENOSYS",         # sched_setattr
    "syscall424": "EPERM",                # pidfd_send_signal
    "syscall434": "EMFILE ENOSYS EPERM",  # pidfd_open
    "syscall437": "ENOSYS EMFILE EACCES",  # openat2
}
ERRORS = {name: errors.split() for names, errors in ERRORS.items() for name in names.split()}
ALLOCATIONS = ("malloc", "calloc", "realloc", "mmap64")
# For good, these lead to a run that ends as it should, only not yet; and so does any EINTR.
NOT_FOR_GOOD = ("sem_wait", "waitpid", "waitid", "close", "sigtimedwait")

# Which calls the processes beside the sampler make: they are ended before they could tell.
BESIDE = {"guardian": "setpgid prctl dup2 poll pread64",
          "command": "close read write execvp"}

# The same from outside, where libc's own system calls fail too; once the dynamic linker is through.
STRACE = ["clone:error=EAGAIN:when=1", "clone3:error=EAGAIN:when=1", "clone3:error=ENOSYS:when=1",
          "mmap:error=ENOMEM:when=110+", "brk:error=ENOMEM:when=2+",
          "rt_sigtimedwait:error=EINTR:when=3+2", "write:error=ENOSPC:when=3",
          "getdents64:error=ENOMEM:when=1+", "pread64:error=EIO:when=80+3",
          "wait4:error=EINTR:when=1", "openat:error=EMFILE:when=80+"]

Case = collections.namedtuple("Case", "way where function n error")
Ending = collections.namedtuple("Ending", "code out err fired")


def spread(last, most):
    """The first five of 1..last, and more at even distances, `most` in all."""
    if last <= most:
        return list(range(1, last + 1))
    first = list(range(1, min(5, most) + 1))
    step = (last - len(first)) / max(most - len(first), 1)
    return sorted({*first, *(round(last - i * step) for i in range(most - len(first)))})


def every(items, most):
    """At most so many of a list, at even distances."""
    return [items[int(i * len(items) / most)] for i in range(most)] if len(items) > most else items


def cases_of(way, where, counts):
    """Of each function: some calls, with its errors in turn; then failures that last."""
    for function, count in sorted(counts.items()):
        errors = ERRORS.get(function, [])
        for i, n in enumerate(spread(count, PER_FUNCTION) if errors else []):
            yield Case(way, where, function, str(n), errors[i % len(errors)])
        if errors and function not in NOT_FOR_GOOD:
            yield from (Case(way, where, function, f"{count // 2 + 1}+", error)
                        for error in [e for e in errors if e != "EINTR"][:storms.size(1, 3)])


class Injection:
    """One target, and oxprof that fails beside it."""

    def __init__(self, target, folder):
        self.target, self.folder = target, folder
        self.fired = os.path.join(folder, "fired")

    def argv(self, way):
        length = ["-r", "1000", "-d", storms.size("100ms", "250ms")]
        arguments = {
            "attach": ["-p", self.target.pid, *length],
            "output": ["-p", self.target.pid, *length, "-o", os.path.join(self.folder, "report")],
            "dump": ["dump", "-p", self.target.pid],
            "launch": ["-r", "1000", "-o", os.path.join(self.folder, "report"), "--", "/bin/sh",
                       "-c", f"{target_path('spin')} 100 >/dev/null; exit {STATUS}"],
        }[way]
        return [OXPROF, *with_capture(list(map(str, arguments)))]

    def start(self, argv, env=()):
        """Runs it until all that it has started has closed its output; None: not in time."""
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                              stderr=subprocess.PIPE, env={**os.environ, **dict(env)}) as process:
            try:
                out, err = process.communicate(timeout=DEADLINE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                return None
        return Ending(process.returncode, out, err, os.path.exists(self.fired))

    def counts(self, way):
        path = os.path.join(self.folder, "counts")
        ending = self.start(self.argv(way), {"LD_PRELOAD": INJECTOR, "FAULT_COUNT": path}.items())
        if ending is None or not os.path.exists(path):
            raise AssertionError(f"no dry run: {ending}")
        with open(path, encoding="ascii") as file:
            return {name: int(count) for name, count in (line.split() for line in file)}

    def run(self, case):
        if os.path.exists(self.fired):
            os.unlink(self.fired)
        return self.start(self.argv(case.way), {
            "LD_PRELOAD": INJECTOR, "FAULT_FIRED": self.fired, "FAULT_IN": case.where,
            "FAULT": f"{case.function}:{case.n}:{case.error}"}.items())


# ---- what may come out


def messages(err):
    progress = r"oxprof: (sampling |\d+ samples in )"
    return [line for line in err.splitlines() if line and not re.match(progress, line)]


def wrong_messages(ending, failed):
    said = messages(ending.err)
    if failed and not said:
        yield "failed without a message"
    for line in said:
        if not line.startswith("oxprof: ") or re.search(r"Success|Unknown error|\(null\)", line):
            yield f"not a message: {line!r}"
    if len(said) > 3:
        yield "more than three messages"


def wrong_report(case, ending):
    """After a 0 there is a whole report of the threads that there are."""
    if case.way == "dump":
        if len(re.findall(r"^# thread ", ending.out, re.M)) != THREADS:
            yield "not all threads shown, and no failure told"
    elif case.way == "attach":
        try:
            report = Report(ending.out)
        except AssertionError as broken:
            yield f"no whole report: {broken}"
            return
        # ESRCH for good: as far as anybody can tell, they have ended
        if case.error != "ESRCH" and report.samples + report.lost < THREADS * (report.ticks - report.missed) * 0.5:
            yield f"silently lost: {report.summary()}"


def wrong_code(way, ending, out_of_memory):
    code = ending.code
    if code == -signal.SIGABRT:
        if not out_of_memory or "oxprof: out of memory" not in ending.err:
            yield "aborted"
    elif code == -signal.SIGKILL:
        if "it was killed so that the target runs on" not in ending.err:
            yield "killed, and not by its guardian"
    elif way == "launch":
        if code not in (STATUS, 125, 126, 127):
            yield "neither the command's status nor a failure to launch"
    elif code not in CODES:
        yield "an exit code that is not documented"


def wrongs(case, ending, target):
    """Everything that broke the rules."""
    if ending is None:
        return ["hung"]
    memory = case.function in ALLOCATIONS or case.error == "ENOMEM"
    wrong = [*wrong_code(case.way, ending, memory),
             *wrong_messages(ending, ending.code not in (0, STATUS))]
    if ending.code == 0:
        wrong += wrong_report(case, ending)
    try:
        wait_until(lambda: not faults(target.pid), "free", 0.1)
    except AssertionError:
        wrong += faults(target.pid)
    return wrong


def tell(case, ending, wrong):
    """One bad outcome, in full."""
    code, err = (ending.code, ending.err) if ending else ("-", "")
    print(f"BAD {case.way}, in {case.where}: FAULT={case.function}:{case.n}:{case.error}: "
          f"exit code {code}: {'; '.join(wrong)}\n    stderr: {err.strip()!r}", flush=True)


class Faults(storms.Case):
    def setUp(self):
        self.oxprof_only()
        with open(OXPROF, "rb") as file:
            if b"__asan_init" in file.read():
                self.skipTest("a sanitizer wants to be loaded first")
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.lock = threading.Lock()
        self.fired = 0
        self.bad = 0

    def judge(self, injection, case, ending):
        wrong = wrongs(case, ending, injection.target)
        with self.lock:
            self.fired += ending is None or ending.fired
            self.bad += bool(wrong)
            if wrong:
                tell(case, ending, wrong)

    def work(self, folder, cases):
        """One of two workers: takes cases until none is left. A target lives for two minutes."""
        while cases:
            with Target("sleepers", THREADS, 1) as target:
                injection = Injection(target, folder)
                for _ in range(CASES_PER_TARGET):
                    with self.lock:
                        case = cases.popleft() if cases else None
                    if case:
                        self.judge(injection, case, injection.run(case))
                target.finish()

    def in_pair(self, cases):
        queue = collections.deque(cases)
        with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other, \
                concurrent.futures.ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(self.work, folder, queue) for folder in (one, other)]:
                done.result()
        self.assert_alone()

    def assert_alone(self):
        """Nothing that oxprof has started runs on."""
        def reap():
            left = children(os.getpid())
            for pid in left:
                os.waitpid(pid, os.WNOHANG)
            return not left
        try:
            wait_until(reap, "the processes that oxprof has started end", 5)
        except AssertionError:
            left = children(os.getpid())
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            self.fail(f"left behind: {left}")

    def all_cases(self):
        cases = []
        with Target("sleepers", THREADS, 1) as target, tempfile.TemporaryDirectory() as folder:
            counts = {way: Injection(target, folder).counts(way)
                      for way in ("attach", "launch", "dump", "output")}
        for way, counted in counts.items():
            found = list(cases_of(way, "main", counted))
            if way == "output":
                found = [case for case in found if case.function in
                         ("stat64", "lstat64", "access", "realpath", "mkostemp64", "fdopen",
                          "fchmod", "rename", "fclose", "fflush")]
            cases += found
        for where, functions in BESIDE.items():
            calls = dict.fromkeys(functions.split(), 2)
            cases += cases_of("launch" if where == "command" else "attach", where, calls)
        return every(cases, CASES_MAX)

    def test_faults(self):
        if wanted := os.environ.get("FAULT"):
            function, n, error = wanted.split(":")
            self.in_pair([Case(way, where, function, n, error)
                          for way, where in (("attach", "main"), ("attach", "guardian"),
                                             ("dump", "main"), ("launch", "main"),
                                             ("launch", "command"))])
        else:
            self.in_pair(self.all_cases())
        self.conclude("B18", self.fired, 1 if wanted else CASES_MAX // 2, self.bad)

    def test_system_calls(self):
        strace = shutil.which("strace")
        if not strace or "FAULT" in os.environ:
            self.skipTest("no strace here, or not asked for")
        cases = every(STRACE, storms.size(4, len(STRACE)))
        with tempfile.TemporaryDirectory() as folder, Target("sleepers", THREADS, 1) as target:
            injection = Injection(target, folder)
            for inject in cases:
                call, error, when = re.match(r"(\w+):error=(\w+):when=(.*)", inject).groups()
                case = Case("attach", "strace", call, when, error)
                ending = injection.start([strace, "-f", "-qq", "-o", "/dev/null", "-e",
                                          f"trace={call}", f"--inject={inject}",
                                          *injection.argv("attach")])
                self.judge(injection, case, ending)
            target.finish()
        self.assert_alone()
        self.conclude("B18-strace", len(cases), len(cases), self.bad)


if __name__ == "__main__":
    assert set(errno.errorcode.values()) > {e for names in ERRORS.values() for e in names}
    main()

# SPDX-License-Identifier: MIT
"""B12: targets that mean harm. Whatever they do, oxprof ends in time with a report, in little
memory; they go on working, untouched; and no report shows what is not theirs.

Root is needed for most of it. A case that can't be made here is named, and not counted.
"""
import ctypes
import os
import re
import shutil
import socket
import threading
import time
import unicodedata

import harness
import hostile_elf
import storms
from harness import Oxprof, Report, Target, faults, parse_folded, parse_tsv, target_path

CANARY = "a_line_of_another_file"
MEMORY_MAX_MIB = 256
GRACE_S = 8
CASES_FLOOR = 30
CAPS_OF_MAP_FILES = (21, 40)  # CAP_SYS_ADMIN, CAP_CHECKPOINT_RESTORE
PR_CAPBSET_DROP = 24


def drop_map_files():
    """oxprof without /proc/PID/map_files: it must open files by their names then."""
    libc = ctypes.CDLL(None, use_errno=True)
    for cap in CAPS_OF_MAP_FILES:
        libc.prctl(PR_CAPBSET_DROP, cap, 0, 0, 0)


def where(pid):
    """What a process that hangs is at, for the message."""
    lines = []
    for tid in harness.tasks(pid):
        texts = [harness.read_proc(f"/proc/{pid}/task/{tid}/{name}") or ""
                 for name in ("comm", "syscall", "stack")]
        state = harness.task_status(pid, tid).get("State", "?")
        lines.append(f"{texts[0].strip()} {state}: syscall {texts[1].strip()}\n{texts[2]}")
    return "\n".join(lines)


def hostile_characters(data):
    """What no output may hold: no report has tabs but tsv, which the caller says."""
    text = data.decode("utf-8", "surrogateescape")
    return [c for c in text if c != "\n" and
            (unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") or c == "\u061c")]


class Pack(storms.Case):
    cases = bad = 0
    skips = []

    def setUp(self):
        self.oxprof_only()
        if os.geteuid() != 0:
            self.skipTest("needs root")

    def case(self, name, problems):
        """One case's outcome."""
        Pack.cases += 1
        Pack.bad += bool(problems)
        print(f"  {name}: {'; '.join(problems) or 'well'}", flush=True)
        return [f"{name}: {problem}" for problem in problems]

    def skip(self, name, why):
        print(f"  SKIPPED {name}: {why}", flush=True)
        Pack.skips.append(name)

    def look(self, pid, *args, seconds=0.5, rate=1000, free=None, **options):
        """(report or None, whole output, problems). free() ends what a hanging oxprof hangs in."""
        problems = []
        seconds *= storms.size(1, 4)
        with Oxprof("-p", pid, "-r", rate, "-d", f"{seconds}s", *args, **options) as profiler:
            deadline = time.monotonic() + seconds + GRACE_S
            while profiler.popen.poll() is None and time.monotonic() < deadline:
                harness.pause(0.01)
            if profiler.popen.poll() is None:
                problems.append(f"hangs at\n{where(profiler.pid)}")
                profiler.popen.kill()
                harness.pause(0.2)
                if not harness.has_ended(profiler.pid):
                    problems.append("not even SIGKILL ends it")
                if pid:
                    problems += faults(pid)
                if free:
                    free()
            code = profiler.wait()
            out, err = profiler.out.rest(), profiler.err.rest()
        if code != 0 and not problems:
            problems.append(f"exit code {code}: {err[-500:]}")
        report = None
        if code == 0 and "-f" not in args:
            report = Report(out)
            memory = float(harness.COST.match(report.text.split("\n")[2])["memory"])
            if memory >= MEMORY_MAX_MIB:
                problems.append(f"{memory} MiB")
            if report.samples == 0:
                problems.append("no samples")
        return report, out + err, problems

    def ends_well(self, target, pid=None, least=20, free=None):
        """The problems of a target, after its end; it must have gone on."""
        problems = faults(pid or target.pid)
        try:
            counters = target.finish()
        except AssertionError as error:
            return problems + [str(error)], {}
        if counters.get("least", least) < least:
            problems.append(f"it hardly worked: {counters}")
        if counters.get("slept_badly"):
            problems.append(f"its waits were disturbed: {counters}")
        return problems, counters


def tearDownModule():  # unittest's name for it
    line = storms.result_line("hostile", Pack.cases, CASES_FLOOR, Pack.bad, skipped=Pack.skips)
    if 0 < Pack.cases < CASES_FLOOR:
        raise AssertionError(f"too little happened to prove anything: {line}")


class Stacks(Pack):
    """Stack pointers at places that are no stacks, and too many mappings."""

    def test_odd(self):
        for args in ((), ("--capture", "nostop")):
            with Target("hostile_pack", "odd") as target:
                report, _, problems = self.look(target.pid, "--threads", *args, seconds=0.6)
                more, counters = self.ends_well(target)
            problems += more
            names = [hits[0] for hits in report.thread_hits.values()] if report else []
            # every kind of place is a case
            missing = counters.get("workers", 16) + 1 - len(names)
            if missing:
                problems.append(f"{missing} threads without a sample: {names}")
            if not counters.get("userfault"):
                self.skip("userfault", "userfaultfd is not allowed")
            failed = self.case(f"odd stacks {args}", problems)
            Pack.cases += max(0, len(names) - 2)
            self.assertEqual(failed, [])

    def test_maps(self):
        with Target("hostile_pack", "maps", 30000) as target:
            _, _, problems = self.look(target.pid, seconds=1, rate=100)
            more, _ = self.ends_well(target, least=5)
        self.assertEqual(self.case("30,000 mappings", problems + more), [])


class Fuse(Pack):
    """A file system that takes a request and never answers."""

    def silent(self, word, what, mount=None, seconds=0.4, **popen):
        folder = self.folder()
        name = f"FUSE without an answer to {word}: {what}"
        with Target("hostile_pack", "fuse", target_path("hostile_pack"), mount or folder, word,
                    what) as target:
            if "not permitted" in target.out.text():
                self.skip(name, target.out.text().split("\n")[0])
                return []
            child = target.counters()["child"]
            _, _, problems = self.look(child, seconds=seconds, free=target.popen.kill, **popen)
            if target.popen.poll() is None:
                wrong = faults(child)
                more, counters = self.ends_well(target)
                problems += wrong + more
                if counters["unanswered"]:
                    problems.append(f"asked the file system: {counters}")
        return self.case(name, problems)

    def test_stack(self):
        self.assertEqual(self.silent("read", "stack"), [])

    def test_stack_replaced(self):
        """Memory that held a stack when it was last looked up is a silent file now."""
        self.assertEqual(self.silent("read", "replaced", seconds=0.8), [])

    def test_library(self):
        failed = []
        for word in ("read", "getattr", "open"):
            failed += self.silent(word, "code")
        self.assertEqual(failed, [])

    def test_library_by_name(self):
        self.assertEqual(self.silent("lookup", "code", preexec_fn=drop_map_files), [])

    def test_perf_map(self):
        failed = self.silent("lookup", "jit", mount="/tmp")
        failed += self.silent("open", "jit", mount="/tmp")
        self.assertEqual(failed, [])


def plain(path, text, secret):
    del secret
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(path, 0o644)


def linked(to):
    def plant(path, text, secret):
        del text
        os.symlink(to.format(secret=secret), path)
    return plant


def hard_link(path, text, secret):
    del text
    os.link(secret, path)


def owned_by_another(path, text, secret):
    plain(path, text, secret)
    os.chown(path, 4242, 4242)


def writable(mode):
    def plant(path, text, secret):
        plain(path, text, secret)
        os.chmod(path, mode)
    return plant


def sparse(path, text, secret):
    plain(path, text, secret)
    os.truncate(path, 100 << 30)


def unix_socket(path, text, secret):
    del text, secret
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)


# how a perf-PID.map is planted: none of them may be read
PLANTS = {
    "absolute link": linked("{secret}"), "/proc/self/root link": linked("/proc/self/root{secret}"),
    "../ link": linked("../../../../..{secret}"), "hard link": hard_link,
    "of another user": owned_by_another, "group-writable": writable(0o664),
    "world-writable": writable(0o646), "sparse 100 GB": sparse,
    "FIFO": lambda path, text, secret: os.mkfifo(path, 0o644),
    "folder": lambda path, text, secret: os.mkdir(path, 0o755), "socket": unix_socket,
    "device": lambda path, text, secret: os.mknod(path, 0o20644, os.makedev(1, 5)),
}


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        os.rmdir(path)
    elif os.path.lexists(path):
        os.unlink(path)


class PerfMap(Pack):
    """Names for code made at run time come from the target's own file, or not at all."""

    def plant_all(self, target, path, secret):
        """The problems with each plant, and with a map that is to be read."""
        failed = []
        jit = target.counters()["jit"]
        self.addCleanup(remove, path)
        line = "{:x} 1000 {}\n".format(jit, "{}")
        with open(secret, "w", encoding="ascii") as file:
            file.write(line.format(CANARY))
        for name, plant in {"a good one": plain, **PLANTS}.items():
            remove(path)
            plant(path, line.format("its_own" if plant is plain else CANARY), secret)
            report, text, problems = self.look(target.pid, seconds=0.05)
            if CANARY in text:
                problems.append("it was read")
            if plant is plain and report and not report.total_of("its_own", "waiting"):
                problems.append("it was not read: nothing is proved")
            failed += self.case(f"perf-PID.map, {name}", problems)
        remove(path)
        return failed

    def test_planted(self):
        secret = os.path.join(self.folder(), "secret")
        with Target("hostile_pack", "jit") as target:
            # the kernel gives hard links only within a file system
            secret = f"/tmp/oxprof-test-secret-{target.pid}"
            self.addCleanup(remove, secret)
            failed = self.plant_all(target, f"/tmp/perf-{target.pid}.map", secret)
            more, _ = self.ends_well(target)
        self.assertEqual(failed + more, [])

    def test_own_root(self):
        """In its own root, out of which links lead; the host's file of that name is not its own."""
        root = self.folder()
        os.mkdir(f"{root}/tmp")
        secret = f"/tmp/oxprof-test-secret-{os.getpid()}"
        self.addCleanup(remove, secret)
        with Target("hostile_pack", "jit", root) as target:
            name = f"/tmp/perf-{target.pid}.map"
            failed = self.plant_all(target, root + name, secret)
            plain(name, f"{target.counters()['jit']:x} 1000 {CANARY}\n", None)
            self.addCleanup(remove, name)
            _, text, problems = self.look(target.pid, seconds=0.1)
            os.rmdir(f"{root}/tmp")
            os.symlink("../../../../../../tmp", f"{root}/tmp")
            _, more, again = self.look(target.pid, seconds=0.1)
            problems += again + ["it was read"] * (CANARY in text + more)
            failed += self.case("perf-PID.map of the host's root", problems)
            more, _ = self.ends_well(target)
        self.assertEqual(failed + more, [])

    def test_blocked_writer(self):
        """Who waits for a reader of his FIFO is not let through by our look at it."""
        went_through = []

        def write():
            os.close(os.open(path, os.O_WRONLY))
            went_through.append(True)

        with Target("hostile_pack", "jit") as target:
            path = f"/tmp/perf-{target.pid}.map"
            os.mkfifo(path, 0o644)
            self.addCleanup(remove, path)
            writer = threading.Thread(target=write, daemon=True)
            writer.start()
            harness.pause(0.1)
            _, _, problems = self.look(target.pid, seconds=0.1)
            if went_through:
                problems.append("the writer went through: the FIFO was opened")
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
            writer.join(5)
            more, _ = self.ends_well(target)
        self.assertEqual(self.case("a FIFO's writer", problems + more), [])


BAD_NAMES = [b"x\x1b]0;pwn\x07", b"a)\n)S 1 2 3", b"\xff\xc3\xe2\x80", "b\u202eidi\u2066".encode(),
             "al\u061cm\u200b".encode(), b"a;b 12", b"\x9b31m\x7f\x01", b"tab\there\rcr"]


class Names(Pack):
    """Names that mean something to a terminal or to a format, in threads, symbols and files."""

    def hostile_image(self, folder):
        """The program with a function of a bad name, in a file of a bad name."""
        with open(target_path("hostile_pack"), "rb") as file:
            image = file.read()
        for old, new in ((b"hostile_middle\0", "\u202ex\u061cy\x1b[m;\x07\0".encode()),
                         (b"hostile_leaf\0", b"\xff;\n\xe2\x80) 7\0")):
            image = image.replace(old, new.ljust(len(old), b"\0"))
        path = os.path.join(os.fsencode(folder), "l\u202eib\u061c\n;\x1b[31m 9".encode())
        with open(path, "wb") as file:
            file.write(image)
        return path

    def check(self, name, target, args):
        with Oxprof(*args, "-v") as profiler:
            code = profiler.wait()
            profiler.out.rest()
            profiler.err.rest()
        problems = [f"exit code {code}"] * (code != 0)
        for data in (profiler.out.data, profiler.err.data):
            found = set(hostile_characters(data)) - ({"\t"} if "tsv" in args else set())
            if found:
                problems.append(f"characters {found}")
        if not profiler.out.data:
            problems.append("no output")
        return self.case(name, problems), profiler.out.data.decode("utf-8", "replace")

    def test_names(self):
        path = self.hostile_image(self.folder())
        failed = []
        with Target("hostile_pack", "code", os.fsdecode(path)) as code, \
                Target("hostile_pack", "names", *map(os.fsdecode, BAD_NAMES)) as names:
            for target in (code, names):
                sampling = ("-p", target.pid, "-r", 500, "-d", "100ms", "--full-paths")
                for args in ((*sampling, "--threads"), (*sampling, "-f", "tsv", "--threads"),
                             (*sampling, "-f", "folded"), ("dump", "-p", target.pid)):
                    more, text = self.check(f"names, {args}", target, args)
                    failed += more
                    if "folded" in args:
                        parse_folded(text)
                    elif "tsv" in args:
                        parse_tsv(text)
            for target in (code, names):
                failed += self.ends_well(target)[0]
        self.assertEqual(failed, [])


class Files(Pack):
    """Files of code that are damaged, replaced, cut or no files at all while they are mapped."""

    def damaged_files(self, seeds):
        folder = self.folder()
        with open(target_path("hostile_pack"), "rb") as file:
            image = file.read()
        for i, (title, change) in enumerate(hostile_elf.changes(seeds)):
            path = os.path.join(folder, f"{i}")
            with open(path, "wb") as file:
                file.write(hostile_elf.damaged(image, change))
            yield title, path

    def test_damaged(self):
        files = list(self.damaged_files(storms.size(4, 60)))
        failed = []
        with Target("hostile_pack", "code", *(path for _, path in files)) as target:
            for args in (("-v",), ("--capture", "nostop", "-v")):
                _, _, problems = self.look(target.pid, *args, rate=300, seconds=0.6)
                failed += self.case(f"{len(files)} damaged files {args}", problems)
            with Oxprof("dump", "-p", target.pid) as dump:
                code = dump.wait()
            failed += self.case("dump of them", [f"exit code {code}"] * (code != 0))
            failed += self.ends_well(target)[0]
        Pack.cases += len(files)
        for title, path in files if failed or storms.FULL else ():
            with Target("hostile_pack", "code", path) as target:
                _, _, problems = self.look(target.pid, rate=300, seconds=0.1)
                failed += self.case(f"damaged: {title}", problems + self.ends_well(target)[0])
        self.assertEqual(failed, [])

    def mapped(self):
        """(path of a copy, where its code ends)"""
        path = os.path.join(self.folder(), "lib")
        shutil.copyfile(target_path("hostile_pack"), path)
        with open(path, "rb") as file:
            return path, hostile_elf.Elf(file.read()).code()[1]

    def while_profiled(self, name, change, **options):
        path, end = self.mapped()
        with Target("hostile_pack", "code", path) as target:
            timer = threading.Timer(0.2, change, (path, end))
            timer.start()
            report, _, problems = self.look(target.pid, seconds=0.4, **options)
            timer.join()
            # and once more, from the beginning
            _, _, more = self.look(target.pid, seconds=0.1, **options)
            problems += more + self.ends_well(target)[0]
        if report and not report.total_of("work", "waiting"):
            problems.append("nothing was seen there")
        return self.case(name, problems)

    def test_changed_while_mapped(self):
        def truncate(path, end):
            os.truncate(path, end)

        def delete(path, end):
            del end
            os.unlink(path)

        def replace(path, end):
            del end
            shutil.copyfile(harness.OXPROF, path + "2")
            os.rename(path + "2", path)

        def to_fifo(path, end):
            del end
            os.unlink(path)
            os.mkfifo(path)

        def to_folder(path, end):
            del end
            os.unlink(path)
            os.mkdir(path)

        failed = []
        for change in (truncate, delete, replace, to_fifo, to_folder):
            failed += self.while_profiled(f"{change.__name__}", change)
            failed += self.while_profiled(f"{change.__name__}, files by name", change,
                                          preexec_fn=drop_map_files)
        self.assertEqual(failed, [])


class Reuse(Pack):
    """A PID that comes again at once, as another process's."""

    def round(self, reuser, child):
        """One process is sampled, killed, and another one is at its place."""
        lines = len(re.findall("swapped|back", reuser.out.text()))
        with Oxprof("-p", child, "-r", 10000, "-d", "20s") as profiler:
            profiler.wait_started()
            harness.pause(0.02 + 0.0003 * (lines % 7))
            reuser.popen.stdin.write(b"x")
            reuser.popen.stdin.flush()
            result = profiler.result()
        problems = [f"exit code {result.code}: {result.err}"] * (result.code not in (0, 5))
        if "foreign" in result.out:
            problems.append(f"a foreign function\n{result.out}")
        harness.wait_until(lambda: len(re.findall("swapped|back", reuser.out.text())) > lines,
                           "another process of that PID")
        problems += faults(child)
        reuser.popen.stdin.write(b"x")
        reuser.popen.stdin.flush()
        harness.wait_until(lambda: len(re.findall("swapped|back", reuser.out.text())) > lines + 1,
                           "the first process again")
        return result, problems

    def test_reuse(self):
        rounds = storms.size(20, 1000)
        failed, seen = [], 0
        with Target("hostile_pack", "reuse", stdin=harness.subprocess.PIPE) as reuser:
            child = reuser.counters()["child"]
            self.assertGreater(child, 1)
            for _ in range(rounds):
                result, problems = self.round(reuser, child)
                failed += problems
                seen += "sampled_work" in result.out
            reuser.popen.stdin.close()
            reuser.wait()
        if seen < rounds * 9 // 10:
            failed.append(f"the first process was seen in {seen} of {rounds} only")
        self.assertEqual(self.case(f"PID reused {rounds} times, seen {seen}", failed), [])


if __name__ == "__main__":
    harness.main()

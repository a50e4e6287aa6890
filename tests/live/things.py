# SPDX-License-Identifier: MIT
"""What threads wait for: files, connections, locks and who holds them, deadlocks."""
import json
import os
import re
import signal
import subprocess
import sys

import harness
from harness import NOBODY, Target, oxprof

HERE = os.path.dirname(os.path.abspath(__file__))
ENDS = os.path.join(HERE, os.pardir, "targets", "python_ends.py")
CONVOY = """
import sys, threading
def crunch():
    x = 0
    while True:
        x += 1
for i in range(3):
    thread = threading.Thread(target=crunch, name=f"cruncher-{i}", daemon=True)
    thread.start()
    print(thread.name, thread.native_id)
print("ready 0 0", flush=True)
sys.stdin.read()
"""
THREAD = re.compile(r"^# thread (\d+) \((.*)\): .*\n    (.*)$", re.M)
TRIES = 8
HELD = re.compile(r"held by (.*) \(tid (\d+)\)$")


def leaves(dump):
    """Of each thread by its name: the innermost line of its stack."""
    return {name: leaf for _, name, leaf in THREAD.findall(dump)}


def numbers(dump):
    return {name: tid for tid, name, _ in THREAD.findall(dump)}


class Things(harness.Case):
    def dump(self, pid, **options):
        result = oxprof("dump", "-p", pid, **options)
        self.assertEqual(result.code, 0, result.err)
        return result.out

    def waits(self, pid, *args):
        """{(reason, thing): (hits, threads)} of a run, and its report."""
        result = oxprof("-q", "-p", pid, "--waits", "-f", "json", *args)
        self.assertEqual(result.code, 0, result.err)
        rows = json.loads(result.out)["waits"]
        return {(row["reason"], row["thing"]): (row["hits"], row["threads"]) for row in rows}


    def holders(self, pid, reason, start):
        """{"NAME (tid N)"} of those that were found to hold what others wait for. Where many
        programs want the CPU, it is mostly nobody: who was woken has not got the CPU yet."""
        found = set()
        for _ in range(TRIES):
            for (what, thing), _ in self.waits(pid, "-d", "500ms").items():
                if what == reason and thing and thing.startswith(start):
                    found.add(HELD.search(thing).groups())
            if len(found) > 1:
                break
        self.assertGreater(len(found), 1, f"who holds it, in {TRIES} runs")
        return found


class Locks(Things):
    def check_held(self, dump):
        holder = numbers(dump)["holder"]
        wanted = {f"[futex: {what} holder (tid {holder})]": names for what, names in (
            ("mutex held by", ("normal", "recursive", "errorcheck", "robust", "inherit", "again")),
            ("rwlock held by", ("reader", "writer")),
            ("join of", ("joiner",)))}
        got = leaves(dump)
        for leaf, names in wanted.items():
            for name in names:
                self.assertEqual(got[name], leaf, f"{name}\n{dump}")
        self.assertEqual(got["writer-2"], "[futex: rwlock held by readers]", dump)
        self.assertNotIn("deadlock", dump)

    def test_held(self):
        """Each kind of lock names its holder."""
        with Target("locks", "held") as target:
            self.check_held(self.dump(target.pid))
            target.finish()

    def test_held_without_privileges(self):
        """Another user's right to his own processes suffices."""
        if os.geteuid() != 0:
            self.skipTest("needs root to become another user")
        copies = [self.for_everybody(path) for path in (harness.OXPROF,
                                                        harness.target_path("locks"))]
        who = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        with Target("locks", "held", path=copies[1], **who) as target:
            self.check_held(self.dump(target.pid, program=copies[0], **who))
            target.finish()

    def test_saved(self):
        """dump --save keeps what was waited for."""
        path = os.path.join(self.folder(), "stacks.oxsnap")
        with Target("locks", "held") as target:
            result = oxprof("dump", "-p", target.pid, "--save", path)
            target.finish()
        self.assertEqual(result.code, 0, result.err)
        replayed = oxprof("dump", "--replay", path)
        self.assertEqual(replayed.out.partition("\n")[2], result.out.partition("\n")[2])

    def test_decoys(self):
        """Memory that looks like a mutex is none: no holder is made up."""
        with Target("locks", "decoys") as target:
            dump = self.dump(target.pid)
            target.finish()
        got = leaves(dump)
        self.assertLessEqual({"raw", "bitset", "semaphore", "condition"}, set(got), dump)
        self.assertNotIn("[futex: ", dump)

    def test_convoy(self):
        """Who has the mutex is one of those that take turns, under its own name."""
        with Target("locks", "convoy") as target:
            names = {str(tid): name for tid, name in harness.task_names(target.pid).items()}
            for name, tid in self.holders(target.pid, "futex", "mutex held by "):
                self.assertEqual(names[tid], name)
                self.assertRegex(name, r"^turn-\d$")
            target.finish()

    def test_deadlock(self):
        """Three threads in a ring, one alone; whoever waits for one of them is in no ring."""
        with Target("locks", "deadlock") as target:
            dump = self.dump(target.pid)
            target.finish()
        tids = numbers(dump)
        ring = [("first", "second"), ("second", "third"), ("third", "first")]
        links = re.findall(r"^# (?:deadlock:|         ) (\S+) \(tid (\d+)\) waits for the mutex at "
                           r"0x[0-9a-f]+ held by (.+)$", dump, re.M)
        self.assertEqual(sorted(links), sorted(
            [(a, tids[a], f"{b} (tid {tids[b]})") for a, b in ring] +
            [("self", tids["self"], "itself")]), dump)
        self.assertEqual(dump.count("# deadlock: "), 2, dump)
        self.assertEqual(leaves(dump)["bystander"],
                         f"[futex: mutex held by first (tid {tids['first']})]")


FAULTER = """
import ctypes, fcntl, mmap, struct, sys, threading
libc = ctypes.CDLL(None)
fd = libc.syscall(323, 0o2000000)  # userfaultfd
if fd < 0:
    sys.exit("no userfaultfd")
fcntl.ioctl(fd, 0xc018aa3f, bytearray(struct.pack("QQQ", 0xaa, 0, 0)))
page = mmap.mmap(-1, 4096)
addr = ctypes.addressof(ctypes.c_char.from_buffer(page))
fcntl.ioctl(fd, 0xc020aa00, bytearray(struct.pack("QQQQ", addr, 4096, 1, 0)))
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
threading.Thread(target=libc.memset, args=(addr, 1, 1), name="faulter", daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""


class WithoutCall(Things):
    """Waits that are no system call."""

    def wait_for_leaf(self, pid, wanted):
        for _ in range(TRIES):
            dump = self.dump(pid)
            if wanted in leaves(dump).values():
                return
        self.assertIn(wanted, leaves(dump).values(), dump)

    def test_stopped(self):
        with Target("spin") as target:
            target.send(signal.SIGSTOP)
            self.wait_for_leaf(target.pid, "[stopped]")
            target.send(signal.SIGCONT)
            target.finish()

    def test_page_fault(self):
        """A page that another process is to bring, and never does."""
        with harness.Process([sys.executable, "-c", FAULTER], stdin=subprocess.PIPE) as python:
            if not python.out.wait_for(r"^ready$"):
                self.skipTest(python.texts())
            self.wait_for_leaf(python.pid, "[page fault]")


class Ends(Things):
    def run_python(self, *args):
        """A program of Python's that says when it is ready, and ends with its input."""
        python = harness.Process([sys.executable, *args], stdin=subprocess.PIPE)
        self.addCleanup(python.__exit__)
        match = python.out.wait_for(r"^ready (\d+) (\d+)\n")
        self.assertTrue(match, python.texts())
        return python, match.groups()

    def run_numbers(self, python):
        """{name: TID}, as the program itself says."""
        return dict(re.findall(r"^(cruncher-\d) (\d+)$", python.out.text(), re.M))

    def check_ends(self, got, folder, tcp, udp):
        """{name: leaf or thing} of each end."""
        wanted = {
            "accept": f"accept4: 127.0.0.1:{tcp}", "made": f"recv: 127.0.0.1:{tcp}",
            "accepted": f"recv: clients of :{tcp}", "polled": f"poll: 127.0.0.1:{tcp}",
            "udp": f"recv: udp 127.0.0.1:{udp}", "unix-accept": f"accept4: {folder}/app.sock",
            "unix-accepted": f"recv: clients of {folder}/app.sock",
            "fifo": f"read: {folder}/data.db", "pipe": "read: pipe", "eventfd": "read: eventfd",
            "flock": f"flock: {folder}/lock"}
        for name, wait in wanted.items():
            self.assertEqual(got[name], f"[{wait}]", got)
        self.assertRegex(got["made-6"], r"^\[recv: \[::1\]:\d+\]$")
        self.assertRegex(got["sender"], r"^\[send: 127.0.0.1:\d+\]$")
        self.assertRegex(got["hostile"], r"^\[read: \.\.\.(ong-|long-)+end\]$")
        return wanted

    def test_ends(self):
        """Files by their paths, connections by the other end; dump, a run and its saved profile."""
        folder = self.folder()
        python, ports = self.run_python(ENDS, folder)
        dump = self.dump(python.pid)
        got = {name.rpartition(": ")[2]: leaf for name, leaf in leaves(dump).items()}
        wanted = self.check_ends(got, folder, *ports)
        path = os.path.join(folder, "waits.pb.gz")
        saved = oxprof("record", "-q", "-p", python.pid, "-d", "500ms", "-o", path)
        self.assertEqual(saved.code, 0, saved.err)
        table = oxprof("report", path, "--waits", "-f", "tsv").out
        for wait in set(wanted.values()):
            reason, _, thing = wait.partition(": ")
            self.assertRegex(table, rf"(?m)^\d+\t\d+\t{reason}\t{re.escape(thing)}\t$")
        python.popen.stdin.close()
        self.assertEqual(python.wait(), 0, python.texts())

    def test_gil_convoy(self):
        """Those that want the GIL name who has it, by Python's name and its own number."""
        python, _ = self.run_python("-c", CONVOY)
        tids = self.run_numbers(python)
        for name, tid in self.holders(python.pid, "waiting for the GIL", "held by "):
            self.assertRegex(name, r": cruncher-\d$")
            self.assertEqual(tids[name.rpartition(": ")[2]], tid, "the number is that of the name")
        python.popen.stdin.close()
        python.wait()


if __name__ == "__main__":
    harness.main()

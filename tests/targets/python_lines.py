# SPDX-License-Identifier: MIT
"""Spins on known lines, in one function after the other, some milliseconds in each.

A function that begins with spin_ runs all that while on the lines that say "# here", for a while on
every one of them, and those that say "# perhaps"; for a microsecond of its 10 ms on those that say
"# edge". Runs on every CPython from 3.8 on.
"""
import signal
import time

SLICE_S = 0.01
BLOB = bytes(range(256)) * 40
FAR = 700  # lines from a function's first line to its loop: more than one byte of a line table holds
going = True


def spin_one_line(n):  # edge
    while n: n -= 1  # here


def spin_for(n):  # edge
    total = 0  # edge
    for i in range(n):  # here
        total += i  # here
        total ^= i  # here
    return total  # edge


def spin_spread(n):  # edge
    total = 0  # edge
    while n:  # here

        n -= 1  # here



        total = (  # perhaps
            total +  # here
            n)  # perhaps


def spin_back_and_forth(n):  # edge
    return [i + 1  # here
            for i in range(n)  # here
            if i % 3]  # here


def spin_c_call(n):  # edge
    for _ in range(n // 100):  # perhaps
        BLOB.count(  # here
            b"\x07\x09")  # perhaps


class Spinner:
    def spin_method(self, n):  # edge
        self.left = n  # edge
        while self.left > 0:  # here
            self.left -= 1  # here


def spin_generator(n):  # edge
    for i in range(n):  # here
        yield i  # here


def spin_closure_of(n):
    def spin_closure():  # edge
        nonlocal n
        while n:  # here
            n -= 1  # here
    spin_closure()


def make_spin_far():
    source = "def spin_far(n):\n" + "\n" * FAR + "    while n: n -= 1\n"
    space = {}
    exec(compile(source, "far.py", "exec"), space)
    return space["spin_far"]


def exhaust(steps):
    for _ in steps:
        pass


SPINS = [spin_one_line, spin_for, spin_spread, spin_back_and_forth, spin_c_call,
         Spinner().spin_method, lambda n: exhaust(spin_generator(n)), spin_closure_of,
         make_spin_far()]


def time_of(spin, n):
    begin = time.thread_time()
    spin(n)
    return time.thread_time() - begin


def count_of(spin):
    """How large a number takes it about SLICE_S; of several, as another machine may be on ours."""
    return int(20000 * SLICE_S / min(time_of(spin, 20000) for _ in range(5)))


def stop(*_):
    global going
    going = False


def main():
    signal.signal(signal.SIGTERM, stop)
    counts = [count_of(spin) for spin in SPINS]
    print("ready", flush=True)
    while going:
        for spin, n in zip(SPINS, counts):
            spin(n)


main()

# SPDX-License-Identifier: MIT
"""Threads that wait in places worth reading. Prints what the interpreter itself says of them.

Each line: the thread's ident, then its frames, innermost first, as NAME FILE LINE, with tabs
between; then, for each, "thread", the ident and the thread's name. Runs on every CPython from 3.8 on. Ends when its standard input does.
"""
import os
import sys
import threading
import time

gate = threading.Event()


class Shop:
    def serve(self, depth):
        if depth:
            return self.serve(depth - 1)
        gate.wait()

    @classmethod
    def open(cls):
        (
            cls()
            .serve(
                3
            )
        )


def numbers():
    yield 1
    gate.wait()
    yield 2


def in_generator():
    return sum(number for number in numbers())


async def innermost():
    gate.wait()


async def outermost():
    await innermost()


def in_coroutine():
    try:
        outermost().send(None)
    except StopIteration:
        pass


def in_sort():
    def key_of(value):
        if value == 2:
            gate.wait()
        return -value

    return sorted([1, 2, 3], key=key_of)


def in_lambda():
    return [(lambda: gate.wait())() for _ in range(1)]


def größe_日本():
    gate.wait()


def in_exec():
    # a table with long jumps, and names outside of the basic plane
    source = "def \U00020000():\n" + " x = 1\n" * 300 + "\n" * 700 + " gate.wait()\n"
    source += "\n" * 70000 + "\U00020000()\n"
    exec(compile(source, "<made \U0001f600>", "exec"), {"gate": gate})


def deep(n):
    if n:
        deep(n - 1)
    else:
        gate.wait()


def deep_150():
    deep(150)


class Meta(type):
    def __call__(cls):
        gate.wait()


class Called(metaclass=Meta):
    pass


def in_type_call():
    Called()


PLACES = [Shop.open, in_generator, in_coroutine, in_sort, in_lambda, größe_日本, in_exec, deep_150,
          in_type_call]


def frames_of(frame):
    while frame:
        code = frame.f_code
        yield (getattr(code, "co_qualname", code.co_name) + "\t"
               + os.path.basename(code.co_filename) + "\t" + str(frame.f_lineno))
        frame = frame.f_back


def all_wait(idents):
    """As far as one can tell: every one of them has Event.wait or Condition.wait on top."""
    frames = sys._current_frames()
    return all(ident in frames and frames[ident].f_code.co_name == "wait"
               and frames[ident].f_back.f_code.co_name == "wait" for ident in idents)


def main():
    threads = [threading.Thread(target=place, daemon=True, name="the " + place.__name__)
               for place in PLACES]
    for thread in threads:
        thread.start()
    idents = [thread.ident for thread in threads]
    while not all_wait(idents):
        time.sleep(0.01)
    time.sleep(0.1)
    out = open(1, "w", encoding="utf-8", closefd=False)
    for ident, frame in sys._current_frames().items():
        if ident in idents:
            print(ident, *frames_of(frame), sep="\t", file=out)
    for thread in threads:
        print("thread", thread.ident, thread.name, sep="\t", file=out)
    print("ready", file=out)
    out.flush()
    sys.stdin.read()
    gate.set()


main()

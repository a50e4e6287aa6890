# SPDX-License-Identifier: MIT
"""Spends its CPU time in known shares; prints what they really were when it is told to end.

With a number as argument that many further threads do the same, in turn with the first as the GIL
lets them, and one sleeps. Runs on every CPython from 3.8 on.
"""
import asyncio
import json
import signal
import sys
import threading
import time
import zlib

DATA = bytes(range(256)) * 1024  # a long call: few of its system calls for memory
TREE = {"items": [{"name": f"item {i}", "tags": ["a", "b"], "size": i * 1.5} for i in range(60)]}
SLICE_S = 0.002


def spin(n):
    total = 0
    for i in range(n):
        total += i * i
    return total


def share_plain():
    spin(200)


def descend(depth):
    if depth:
        return descend(depth - 1)
    return spin(150)


def share_recursion():
    descend(12)


def numbers(n):
    for i in range(n):
        yield spin(20)


def share_generator():
    return sum(numbers(10))


def share_zlib():
    zlib.compress(DATA, 6)


def share_json():
    json.loads(json.dumps(TREE))


def key_of(value):
    return -value


def share_sort():
    sorted(range(100), key=key_of)


async def step():
    spin(3000)  # far more than the loop's own system call
    await asyncio.sleep(0)


async def steps():
    for _ in range(3):
        await step()


def share_asyncio(loop):
    loop.run_until_complete(steps())


class Comparable:
    def __init__(self, value):
        self.value = value

    def __lt__(self, other):
        return self.value < other.value


def share_slots():
    max([Comparable(i) for i in range(40)])


SHARES = {"plain": 4, "recursion": 3, "generator": 2, "zlib": 3, "json": 3, "sort": 2,
          "asyncio": 2, "slots": 1}
spent = dict.fromkeys(SHARES, 0.0)
going = True


def repeat(work, args, times):
    for _ in range(times):
        work(*args)


def batch_of(work, args):
    """How often to call it between two looks at the clock, which is a system call."""
    begin = time.thread_time()
    repeat(work, args, 10)
    took = time.thread_time() - begin
    return max(1, int(10 * SLICE_S / took))


def one_slice(work, args, batch, seconds):
    begin = now = time.thread_time()
    while now - begin < seconds:
        repeat(work, args, batch)
        now = time.thread_time()
    return now - begin


def run(count):
    """Slices of a few milliseconds, as long as their shares."""
    loop = asyncio.new_event_loop()
    works = {name: (globals()["share_" + name], (loop,) if name == "asyncio" else ())
             for name in SHARES}
    batches = {name: batch_of(*works[name]) for name in SHARES}
    while going:
        for name, weight in SHARES.items():
            took = one_slice(*works[name], batches[name], weight * SLICE_S)
            if count:
                spent[name] += took
    loop.close()


def sleep_well():
    while going:
        time.sleep(0.05)


def stop(*_):
    global going
    going = False


def main():
    signal.signal(signal.SIGTERM, stop)
    threads = [threading.Thread(target=run, args=(False,), daemon=True, name=f"worker {i}")
               for i in range(int(sys.argv[1]) if len(sys.argv) > 1 else 0)]
    threads.append(threading.Thread(target=sleep_well, daemon=True, name="sleeper"))
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    run(True)
    total = sum(spent.values())
    for name, seconds in spent.items():
        print(f"{name}={seconds / total:.6f}")


main()

# SPDX-License-Identifier: MIT
"""Functions whose names say who calls them: f3_f7 is called by any f7_*, and by nobody else.

They are plain functions, methods, generators and callbacks of C code, made anew all the time, some
for each call, so that code objects come to lie where others lay; garbage is collected meanwhile. A name that was read
wrongly, or a frame that was missed, shows in any one sample. Two threads run at once.
"""
import functools
import gc
import itertools
import random
import signal
import sys
import threading
import types

KINDS = 9
going = True

SHAPES = [
    # a plain call
    "def {me}(calls, rand, depth):\n"
    "    for _ in range(rand.randrange(30)): pass\n"
    "    if depth: return calls['{a}'][rand.randrange({kinds})](calls, rand, depth - 1)\n",
    # a generator, run by C code
    "def {me}(calls, rand, depth):\n"
    "    return sum({me}_steps(calls, rand, depth))\n"
    "def {me}_steps(calls, rand, depth):\n"
    "    for i in range(2):\n"
    "        if depth: calls['{a}'][rand.randrange({kinds})](calls, rand, depth // 2)\n"
    "        yield i\n",
    # called back by a sort
    "def {me}(calls, rand, depth):\n"
    "    def {me}_key(value):\n"
    "        if depth: calls['{a}'][rand.randrange({kinds})](calls, rand, depth // 3)\n"
    "        return -value\n"
    "    sorted([1, 2], key={me}_key)\n",
    # through a class's constructor
    "class {me}:\n"
    "    def {me}_init(self, calls, rand, depth):\n"
    "        self.self = self\n"
    "        if depth: calls['{a}'][rand.randrange({kinds})](calls, rand, depth - 1)\n"
    "    __init__ = {me}_init\n",
    # through functools
    "def {me}_inner(calls, rand, depth):\n"
    "    if depth: calls['{a}'][rand.randrange({kinds})](calls, rand, depth - 1)\n"
    "{me} = functools.partial({me}_inner)\n",
]


def make(me, caller, rand):
    name = f"f{me}_f{caller}"
    space = {"functools": functools}
    source = rand.choice(SHAPES).format(me=name, a=f"f{me}", kinds=KINDS)
    exec(compile(source, f"<{name}>", "exec"), space)
    return space[name]


def make_all(rand):
    """For each caller the functions that it may call."""
    return {f"f{caller}": [make(me, caller, rand) for me in range(KINDS)]
            for caller in range(KINDS)}


def f0_main(calls, rand):
    calls["f0"][rand.randrange(KINDS)](calls, rand, rand.randrange(1, 14))


def renamed(rand, me, caller):
    """A copy of the code below under another name, alike in all else: freed after its one call, it
    leaves its place to the next."""
    name = f"f{me}_f{caller}"
    names = {"co_name": name, "co_qualname": name} if sys.version_info >= (3, 11) else {"co_name": name}
    return types.FunctionType(calls_renamed.__code__.replace(**names), globals())


def calls_renamed(rand, me, depth):
    for _ in range(rand.randrange(30)): pass
    if depth:
        callee = rand.randrange(KINDS)
        renamed(rand, callee, me)(rand, callee, depth - 1)


def f0_main_renamed(rand):
    me = rand.randrange(KINDS)
    renamed(rand, me, 0)(rand, me, rand.randrange(1, 14))


def churn(seed):
    rand = random.Random(seed)
    calls = make_all(rand)
    for turn in itertools.count():
        if not going:
            return
        f0_main(calls, rand)
        f0_main_renamed(rand)
        if turn % 4 == 0:
            caller = rand.randrange(KINDS)
            calls[f"f{caller}"][turn // 4 % KINDS] = make(turn // 4 % KINDS, caller, rand)


def stop(*_):
    global going
    going = False


def main():
    signal.signal(signal.SIGTERM, stop)
    gc.set_threshold(200)
    thread = threading.Thread(target=churn, args=(1,))
    thread.start()
    print("ready", flush=True)
    churn(2)
    thread.join()


main()

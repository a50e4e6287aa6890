# SPDX-License-Identifier: MIT
"""What profilers say of stacks, read into one form, and judged in one way for all.

Stacks are a Counter of tuples of function names, the outermost first. Whole is a stack of which one
of the three outermost frames is a first function: the program's (_start, or main, where debuggers
end), a thread's, a goroutine's. Three, as names of _start and of clone's first frame are often
stripped, and their callees' are not.
"""
import collections
import re

OUTERMOST = 3
FIRST_FUNCTION = re.compile(
    r"_?_?(libc_)?start(_c|_main|_thread|_call_main)?(_impl)?$|__libc_start_\w+"
    r"|main$|_*(GI_)?_*clone3?$|thread_start$|runtime\.(goexit|mstart0?|rt0_go|mcall|systemstack"
    r"|sigreturn)|_rt0_amd64|(std::)?rt::lang_start|<module>|_PyRun_|_dl_start")
CLEAN = re.compile(r"(@@?GLIBC\S*|\.abi0|\+0x[0-9a-f]+|\+\d+)$")


def plain(name):
    """A function's name without version, offset and what marks inlined ones."""
    name = name.removesuffix(" (inlined)").strip()
    previous = None
    while previous != name:
        previous, name = name, CLEAN.sub("", name)
    return name


def is_whole(stack):
    return any(FIRST_FUNCTION.match(plain(name)) for name in stack[:OUTERMOST])


def is_stack(stack):
    """No stack is what says only in which state a thread was: [waiting for a CPU]."""
    return not (len(stack) == 1 and stack[0].startswith("[waiting"))


def truncated(stacks):
    """Of all hits, those whose stack is not whole."""
    return sum(count for stack, count in stacks.items()
               if is_stack(stack) and not is_whole(stack))


def tally(stacks, functions):
    """Hits below each of the functions, which don't call each other: a list. A function is met
    whatever stands before its name and after: shop::Alpha::turn(shop::State&) is Alpha::turn."""
    counts = [0] * len(functions)
    patterns = [re.compile(rf"(^|::){re.escape(function)}\b") for function in functions]
    for stack, count in stacks.items():
        for n, pattern in enumerate(patterns):
            if any(pattern.search(name) for name in stack):
                counts[n] += count
                break
    return counts


# ---- the profilers' outputs

def of_folded(text):
    stacks = collections.Counter()
    for line in text.splitlines():
        names, _, count = line.rpartition(" ")
        if names and count.isdigit():
            stacks[tuple(names.split(";"))] += int(count)
    return stacks


PERF_FRAME = re.compile(r"\s+([0-9a-f]+) (.*?)(?: \(([^()]*(?:\([^()]*\))?[^()]*)\))?$")


def of_perf(text):
    """perf script's text."""
    stacks, frames = collections.Counter(), None
    for line in text.splitlines():
        if not line:
            if frames is not None:
                stacks[tuple(reversed(frames))] += 1
            frames = None
        elif not line[0].isspace():
            frames = []
        elif frames is not None and (frame := PERF_FRAME.match(line)):
            frames.append(frame.group(2))
    if frames:
        stacks[tuple(reversed(frames))] += 1
    return stacks


def of_debugger(text):
    """gdb's 'thread apply all bt' and eu-stack's text."""
    stacks, frames = collections.Counter(), []
    for line in text.splitlines():
        frame = re.match(r"#(\d+)\s+(?:0x[0-9a-f]+(?: in)?)?\s*(?:- \d+\s*)?(.*)", line)
        if not frame:
            continue
        if frame.group(1) == "0" and frames:
            stacks[tuple(reversed(frames))] += 1
            frames = []
        frames.append(re.sub(r" \(.*", "", frame.group(2)) or "??")
    if frames:
        stacks[tuple(reversed(frames))] += 1
    return stacks


def of_bpftrace(text):
    """A map of ustack(perf) and tid: (stacks, seconds between @begin and @end)."""
    stacks, frames = collections.Counter(), None
    for line in text.splitlines():
        if lost := re.match(r"@\[, \d+\]: (\d+)$", line):  # the kernel had no room for the stack
            stacks["[lost]",] += int(lost.group(1))
        elif line.startswith("@["):
            frames = []
        elif frames is not None and (end := re.match(r"[^\t]*, \d+\]: (\d+)$", line)):
            stacks[tuple(reversed(frames))] += int(end.group(1))
            frames = None
        elif frames is not None and (frame := re.match(r"\s+[0-9a-f]+ (.*) \(.*\)$", line)):
            frames.append(frame.group(1))
    marks = [int(re.search(rf"^{mark} (\d+)$", text, re.M).group(1)) for mark in ("begin", "end")]
    return stacks, (marks[1] - marks[0]) / 1e9

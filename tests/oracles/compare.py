#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Our unwinder, libunwind's and elfutils' on the same snapshots of real programs under load.

usage: compare.py [PROGRAM...]; ORACLES=full takes 100,000 snapshots and more instead of thousands.
The paths of tests/services and the programs' places come by the environment: see meson.build.
"""
import os
import re
import subprocess
import sys
import time

import go
import nginx
import node
import postgres
import python
import redis
import rust
import service

COMPARE = os.environ["COMPARE"]
TARGETS = os.environ["TARGETS"]
FULL = os.environ.get("ORACLES") == "full"
SNAPSHOTS, SECONDS = (14000, 240) if FULL else (500, 20)
LEAST = SNAPSHOTS // 20  # a busy machine gives fewer; none at all would prove nothing
AGREE = 0.999
ORACLES = ("libunwind", "elfutils")


class Thrower(service.Service):
    """a C++ program that throws and catches in two threads, and sleeps in two"""

    def command(self):
        return [os.path.join(TARGETS, "thrower")]

    def wait_ready(self):
        # its address space is what we need; it is complete once it has said that it is ready
        while "ready" not in (service.read_file(self.log_path()) or ""):
            try:
                self.process.wait(0.02)
                return False
            except subprocess.TimeoutExpired:
                pass
        return True

    def loads(self):
        return []


PROGRAMS = {"redis": redis.Redis, "nginx": nginx.Nginx, "postgres": postgres.Postgres,
            "python": python.Python, "node": node.Node, "go": go.Go, "rust": rust.Rust,
            "c++": Thrower}


def pids_of(target):
    """The service's process and its children, but for those that it may end at any moment."""
    return [target.process.pid, *service.children(target.process.pid)][:12]


def compare(pids):
    argv = [COMPARE, str(SNAPSHOTS), str(SECONDS), *map(str, pids)]
    result = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                            timeout=SECONDS + 60, check=True)
    *classes, last = result.stdout.splitlines()
    return classes, {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", last)}


def run(name):
    """The counts of one program, its differences shown; None where it is not installed."""
    starts = time.monotonic()
    try:
        with PROGRAMS[name](load_s=SECONDS + 60) as target:
            began = time.monotonic()
            target.load()
            if name == "postgres":
                target.backend()
            pids = pids_of(target)
            classes, counts = compare(pids)
            wrong = [fault for pid in pids[:1] for fault in service.faults(pid)]
            # what its clients got is the matter of tests/services
    except service.Skip as skip:
        print(f"{name}: skipped: {skip}", flush=True)
        return None
    print(f"{name}: {began - starts:.1f} s to start, {time.monotonic() - began:.1f} s to compare")
    print(f"{name}: {' '.join(f'{key}={value}' for key, value in counts.items())}")
    print("\n".join(classes), flush=True)
    if wrong:
        raise service.Failure(f"{name}: {wrong}")
    return counts


def judge(name, counts):
    """What may not be, of one program."""
    wrong = []
    if counts["snapshots"] < LEAST:
        wrong.append(f"{name}: only {counts['snapshots']} snapshots")
    if counts["as_asleep_different"]:
        wrong.append(f"{name}: {counts['as_asleep_different']} stacks differ when seen asleep")
    return wrong


def agreement(total):
    """Of all programs: the share that is equal or explained, for each oracle."""
    for oracle in ORACLES:
        different, n = total[f"{oracle}_different"], total["snapshots"]
        print(f"{oracle}: {total[f'{oracle}_equal']} of {n} equal, "
              f"{total[f'{oracle}_explained']} explained, {total[f'{oracle}_known']} known, "
              f"{different} not")
        if different > (1 - AGREE) * n:
            yield f"{oracle}: {different} of {n} stacks differ without explanation"


def main(names):
    total, wrong = {}, []
    for name in names or PROGRAMS:
        counts = run(name)
        if counts is None:
            continue
        wrong += judge(name, counts)
        for key, value in counts.items():
            total[key] = total.get(key, 0) + value
    if not total:
        return 77
    wrong += agreement(total)
    print("\n".join(wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

# SPDX-License-Identifier: MIT
"""spin.py PROGRESS-FILE SECONDS: computes in Python, a score of calls deep, and counts its rounds.

Methods, a generator, a callback of C code: what a service does between two requests. The file is
progress.h's struct.
"""
import mmap
import struct
import sys
import time


class Account:
    def __init__(self, balance):
        self.balance = balance

    def add(self, amount):
        self.balance = (self.balance * 31 + amount) & 0xFFFFFF
        return self.balance


def amounts(n):
    for i in range(n):
        yield i * 7 % 13


def settle(account):
    for amount in amounts(40):
        account.add(amount)


def descend(depth, account):
    if depth:
        descend(depth - 1, account)
    else:
        settle(account)
        sorted(range(20), key=account.add)


def main():
    end = time.monotonic() + float(sys.argv[2])
    account = Account(1)
    with open(sys.argv[1], "r+b") as file:
        page = mmap.mmap(file.fileno(), 4096)
    rounds, last = 0, time.monotonic_ns()
    while rounds % 1024 or time.monotonic() < end:
        descend(16, account)
        rounds += 1
        struct.pack_into("=Q", page, 0, rounds)
        now = time.monotonic_ns()
        if now - last > struct.unpack_from("=Q", page, 8)[0]:
            struct.pack_into("=Q", page, 8, now - last)
        last = now


main()

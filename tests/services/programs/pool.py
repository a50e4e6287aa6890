# SPDX-License-Identifier: MIT
"""A multiprocessing pool that computes the same again and again; prints a line for each round whose
answers are right, and ends at one that is not."""
import multiprocessing
import sys

from worker import crunch, tally

WORKERS = 3
SIZES = [15000, 20000, 25000] * 2


def answer(n):
    return crunch(8 * n) ^ tally(n)


def main():
    wanted = [answer(n) for n in SIZES]
    with multiprocessing.Pool(WORKERS) as pool:
        while True:
            if pool.map(answer, SIZES, chunksize=1) != wanted:
                sys.exit("wrong answers")
            print("round", flush=True)


if __name__ == "__main__":
    main()

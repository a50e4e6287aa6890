# SPDX-License-Identifier: MIT
"""Interleaved runs: a window without any profiler, one with the first, one without, the second, ...

What a profiler costs is said against the mean of the windows before and after its own, so that the
machine's drift falls out; the order of the profilers is another in each round.
"""
import dataclasses
import os
import random
import signal
import subprocess
import time

import peers
import service
import targets

OFTEN_ENOUGH = 50  # rounds


@dataclasses.dataclass
class Row:
    """A profiler on a target: its figures of each round, or why there are none."""
    name: str
    figures: list
    why: str = None


def throughput(progress, seconds, look=None, period=None):
    """Units a second; with look() called once a period meanwhile, or as soon as it has returned."""
    begin, done = time.monotonic(), progress.work()
    due = begin
    while (now := time.monotonic()) < begin + seconds:
        if look and now >= due:
            look()
            due = max(due + period, time.monotonic())
        time.sleep(max(0, min(begin + seconds, due if look else begin + seconds)
                       - time.monotonic()))
    return (progress.work() - done) / (time.monotonic() - begin)


class Rounds:
    """Of all profilers on one running target."""

    def __init__(self, target, running, rows, options):
        self.target, self.running, self.options = target, running, options
        self.peers = {row.name: row for row in rows}
        self.rows = {name: Row(name, []) for name in self.peers}
        self.windows = []  # without a profiler, one before and after each
        self.random = random.Random(1)

    def bare(self):
        """A window without a profiler."""
        self.running.progress.begin_gap()
        figures = peers.Figures(throughput(self.running.progress, self.options.seconds))
        figures.pause_ms = self.running.progress.longest_ms()
        self.running.alive()
        return figures

    def beside(self, name):
        """A window with one; where it failed, what was measured before, or None."""
        progress = self.running.progress
        progress.begin_gap()

        def window(look=None, period=None):
            return throughput(progress, self.options.seconds, look, period)

        try:
            return self.peers[name].measure(self.target, self.running, self.options.folder,
                                            self.options.build, window)
        except peers.Failed as why:
            self.rows[name].why = str(why)
            self.let_run()
            return why.figures
        except (OSError, ValueError, LookupError, AttributeError) as why:
            self.rows[name].why = f"its output was not understood: {why!r}"[:200]
        return None

    def let_run(self):
        """A debugger that was killed may leave the target stopped."""
        for pid in self.running.pids:
            os.kill(pid, signal.SIGCONT)

    def one(self):
        names = [name for name, row in self.rows.items() if not row.why]
        self.random.shuffle(names)
        self.windows.append(self.bare())
        for name in names:
            figures = self.beside(name)
            self.windows.append(self.bare())
            if figures:
                figures.lost = lost(figures, *self.windows[-2:])
                self.rows[name].figures.append(figures)

    def all_rows(self):
        """With that of nobody: each window without a profiler against its neighbours."""
        for before, here, after in zip(self.windows, self.windows[1:], self.windows[2:]):
            here.lost = lost(here, before, after)
        return [Row(peers.NOBODY, self.windows[1:-1]), *self.rows.values()]

    def until(self, deadline):
        """As many rounds as there is time for, at least one."""
        for n in range(OFTEN_ENOUGH):
            begin = time.monotonic()
            self.one()
            took = time.monotonic() - begin
            if self.options.rounds == n + 1 or time.monotonic() + took > deadline:
                break


def lost(figures, before, after):
    usual = (before.throughput + after.throughput) / 2
    return 1 - figures.throughput / usual if usual else None


def on_target(target, rows, options, deadline):
    """(rows, why not): all of a target's rows, its server started and ended. Where the target fails
    in between, what was measured before."""
    rounds = None
    try:
        with targets.running(target, options.build) as running:
            rounds = Rounds(target, running, rows, options)
            rounds.until(deadline)
            why = None
    except (service.Skip, service.Failure, OSError, subprocess.SubprocessError) as failure:
        why = str(failure)[:300]
    return rounds.all_rows() if rounds else [], why


def shares_of_time(chosen, seconds):
    """[(target, deadline)] lazily: what one leaves over is the others'. A major one has thrice."""
    weights = [3 if target.major else 1 for target in chosen]
    end = time.monotonic() + seconds
    for n, target in enumerate(chosen):
        now = time.monotonic()
        yield target, now + max(0, end - now) * weights[n] / sum(weights[n:])

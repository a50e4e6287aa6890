# SPDX-License-Identifier: MIT
"""B11: every reported stack is one that the thread really had: none mixes two moments, and none is
credited to a time at which its thread was elsewhere.

The walkers of stamped_stacks go down a path that a counter decides, sleep for some hundred
microseconds and come back, so they wake while they are copied; each stack says which moment it is
of, at every frame. The slow ones sleep at eight places in turn and say how long: a hit that was
credited without a look may not make a place longer than it was.
"""
import re

import harness
import storms
from harness import Oxprof, Report, Target, parse_folded

LEAF = re.compile(r"^leaf")
STAGE = re.compile(r"^stage([0-7])$")
MOMENTS = 64
# threads, rate, the mean of a walker's sleep, more options
RUNS = ((24, 1000, 300, ()), (6, 10000, 150, ()), (24, 1000, 300, ("--capture", "nostop")))


def depth_of(moment):
    return 6 + moment % 5 + moment // 8


def path_of(moment):
    bits = (moment % 8, moment // 8)
    return tuple((bits[at % 2] + at) % 8 for at in range(depth_of(moment)))


PATHS = [path_of(moment) for moment in range(MOMENTS)]
WHOLE = set(PATHS)
PREFIXES = {path[:n] for path in PATHS for n in range(len(path) + 1)}
PIECES = {path[i:n] for path in PATHS for n in range(len(path) + 1) for i in range(n + 1)}


def judge(frames):
    """"whole", "prefix" (on its way down or up), "piece" (its root is missing), "torn", or None
    where it is no walker's stack."""
    names = [frame.split(" ")[0] for frame in frames]
    walks = [int(name[1]) for name in names if re.fullmatch(r"f[0-7]", name)]
    walk = tuple(walks)
    slept = any(LEAF.match(name) for name in names)
    if "walker" not in names:
        if not walk and not slept:
            return None
        return "piece" if walk in PIECES else "torn"
    places = [i for i, name in enumerate(names) if re.fullmatch(r"f[0-7]", name)]
    if places != list(range(names.index("walker") + 1, names.index("walker") + 1 + len(places))):
        return "torn"
    if slept:
        return "whole" if walk in WHOLE else "torn"
    return "prefix" if walk in PREFIXES else "torn"


class Torn(storms.Case):
    def setUp(self):
        self.oxprof_only()

    def folded(self, target, rate, seconds, args):
        with Oxprof("-p", target.pid, "-r", rate, "-d", f"{seconds}s", "-f", "folded",
                    *args) as profiler:
            result = profiler.result(seconds + harness.END_S)
        self.assertEqual(result.code, 0, result.err)
        return parse_folded(result.out)

    def losses(self, target, rate, args):
        """A folded report has no head: what is lost and cut at this rate."""
        with Oxprof("-p", target.pid, "-r", rate, "-d", "300ms", *args) as profiler:
            return Report(profiler.result().out).summary()

    def walk(self, threads, rate, mean_us, args, floor):
        """Rounds of sampling until so many stacks of walkers have been judged."""
        counts = dict.fromkeys(("whole", "prefix", "piece", "torn", "failed"), 0)
        examples = []
        accepted = 0
        with Target("stamped_stacks", threads, 0, mean_us) as target:
            print(f"  {self.losses(target, rate, args)}", flush=True)
            for _ in range(storms.size(4, 400)):
                for frames, hits in self.folded(target, rate, storms.size(1.2, 20), args):
                    verdict = "failed" if frames == ["[unwind failed]"] else judge(frames)
                    if verdict:
                        counts[verdict] += hits
                    if verdict in ("torn", "piece") and len(examples) < 8:
                        examples.append((verdict, ";".join(frames), hits))
                accepted = sum(counts[kind] for kind in ("whole", "prefix", "piece", "torn"))
                if accepted >= floor:
                    break
            done = target.finish()
        self.assertEqual(done["wrong"], 0, f"waits with another result: {done}")
        self.assertGreater(done["walks"], accepted // 8, "the walkers hardly walked")
        print(f"  {threads} walkers at {rate} Hz {' '.join(args)}: {counts}, walks "
              f"{done['walks']}", *examples, sep="\n    ", flush=True)
        return accepted, counts

    def test_mixed_moments(self):
        floor = storms.size(36000, 1000000)
        n = bad = whole = 0
        for threads, rate, mean_us, args in RUNS:
            accepted, counts = self.walk(threads, rate, mean_us, args, floor // len(RUNS))
            n += accepted
            # what a torn copy mostly looks like: no root, or no stack at all
            bad += counts["torn"] + counts["piece"] + counts["failed"]
            whole += counts["whole"]
        self.assertGreater(whole, n // 2, "few were taken asleep: little was proved")
        self.conclude("torn", n, storms.size(30000, 1000000), bad, whole=whole)


class Reuse(storms.Case):
    def setUp(self):
        self.oxprof_only()

    def test_credit(self):
        """Many sleepers, so that they are looked at rarely; the time at each place is a bound."""
        rate, threads, stage_ms = 1000, 400, 100
        seconds = storms.size(4, 40)
        hits = [0] * 8
        illegal = 0
        with Target("stamped_stacks", 0, threads, 1, stage_ms) as target:
            with Oxprof("-p", target.pid, "-r", rate, "-d", f"{seconds}s", "-f", "tsv") as profiler:
                result = profiler.result(seconds + harness.END_S)
            done = target.finish()
        self.assertEqual(result.code, 0, result.err)
        for row in harness.parse_tsv(result.out):
            match = STAGE.match(row["function"])
            if match:
                hits[int(match.group(1))] += row["total"]
        # a visit may begin just before a tick and end just after one: one hit more than its time;
        # of those that have not ended the target knows nothing yet
        unended = threads * rate * 3 * stage_ms // 1000 // 8
        over = []
        for stage, got in enumerate(hits):
            most = done[f"ns{stage}"] * rate / 1e9 + done[f"visits{stage}"] + unended
            over.append(max(0, got - most))
        n = sum(hits)
        shares = [round(100 * got / n, 2) for got in hits]
        print(f"  hits {hits}\n  shares {shares} %, of the time 18.75 and 6.25", flush=True)
        for stage, got in enumerate(hits):
            illegal += over[stage] > 0
            self.assert_share(got, n, 0.0625 if stage % 2 else 0.1875, f"stage{stage}", points=5)
        self.conclude("wrong-reuse", n, threads * rate * seconds // 2, illegal, shares=shares)


if __name__ == "__main__":
    harness.main()

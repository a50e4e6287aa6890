# SPDX-License-Identifier: MIT
"""What is claimed of oxprof beside its peers, held against the figures of one result."""
import table

NOT_MEASURED = "not measured"
HITS_LEAST = 50  # of a peer whose shares count: with few, chance may bring it anywhere


def claim(text, figure=None, bound="", holds=None):
    verdict = NOT_MEASURED if holds is None else "holds" if holds else "does not hold"
    return {"claim": text, "figure": figure or "-", "bound": bound, "verdict": verdict,
            "class": "" if holds is None else "good" if holds else "bad"}


def row(result, target, profiler):
    return next((row for part in result["targets"] if part["name"] == target
                 for row in part["rows"] if row["name"] == profiler and row["figures"]), None)


def rows(result, begins):
    return [row for part in result["targets"] for row in part["rows"]
            if row["name"].startswith(begins) and row["figures"]]


def percent(value):
    return f"{100 * value:.2f} %"


# ---- one profiler beside another on one target

def no_more(result, text, target, ours, theirs, key, factor=1.0):
    """ours <= factor x theirs, of the medians of a figure; lost throughput is at least 0."""
    pair = [row(result, target, name) for name in (ours, theirs)]
    values = [table.median(it, key) if it else None for it in pair]
    text = f"{text}: {target}"
    if None in values:
        return claim(text)
    form = percent if key == "lost" else table.three_digits
    bound = f"{factor:g} x {form(values[1])}" if factor != 1 else form(values[1])
    return claim(text, form(values[0]), bound, max(values[0], 0) <= factor * max(values[1], 0))


def lost(result):
    for target in ("cpu", "redis", "nginx"):
        yield no_more(result, "oxprof (perf) at 1,000 Hz loses no more than perf, DWARF", target,
                      "oxprof (perf) 1000 Hz", "perf, DWARF 1000 Hz", "lost")
    for target in ("cpu", "half", "redis", "nginx"):
        for peer in ("eu-stack 100 Hz", "gdb 100 Hz"):
            yield no_more(result, f"oxprof (stop) at 100 Hz loses a fifth of {peer.split()[0]} at "
                          "the rate that it reaches", target, "oxprof (stop) 100 Hz", peer,
                          "lost", 0.2)


def noise(result):
    """At 100 Hz the throughput lost is inside of what two equal windows differ."""
    for target in ("cpu", "redis", "nginx"):
        text = f"oxprof (perf) at 100 Hz loses no more than the noise: {target}"
        ours, nobody = (row(result, target, name) for name in ("oxprof (perf) 100 Hz", "nobody"))
        between = table.quartiles(nobody) if nobody else None
        if ours and between:
            value = table.median(ours, "lost")
            yield claim(text, percent(value), percent(between[1]), value <= between[1])
        else:
            yield claim(text)


def pauses(result):
    for target in ("cpu", "half", "redis", "nginx"):
        yield no_more(result, "oxprof (perf): longest pause in ms as without a profiler", target,
                      "oxprof (perf) 100 Hz", "nobody", "pause_ms", 1.1)


def costs(result):
    for how in ("perf", "stop"):
        for target in ("cpu", "redis", "nginx"):
            yield no_more(result, f"oxprof ({how}): CPU time in s, report included, is half of "
                          "perf's", target, f"oxprof ({how}) 1000 Hz", "perf, DWARF 1000 Hz",
                          "all_cpu_s", 0.5)
            yield no_more(result, f"oxprof ({how}): KiB on disk are a hundredth of perf's", target,
                          f"oxprof ({how}) 1000 Hz", "perf, DWARF 1000 Hz", "disk_kib", 0.01)


# ---- over all targets

def cut_share(found):
    got = sum(sum(table.values(it, "got")) for it in found)
    cut = sum(sum(table.values(it, "truncated")) for it in found)
    return cut / got if got else None


def cut(result):
    text = "oxprof ({}): stacks that are cut are a tenth of perf's, DWARF, all targets together"
    theirs = cut_share(rows(result, "perf, DWARF"))
    for how in ("perf", "stop"):
        ours = cut_share(rows(result, f"oxprof ({how})"))
        if ours is None or theirs is None:
            yield claim(text.format(how))
        else:
            yield claim(text.format(how), percent(ours), f"0.1 x {percent(theirs)}",
                        ours <= theirs / 10)


def distances(result):
    """To the known shares: of each way of oxprof beside the best of the peers."""
    for part in result["targets"]:
        for key, time in (("wall_time", "wall-clock"), ("cpu_time", "CPU")):
            found = {it["name"]: table.distance(it, key) for it in part["rows"] if it["figures"]}
            found = {name: value for name, value in found.items() if value is not None}
            peers = [value for name, value in found.items() if not name.startswith("oxprof")
                     and sum(table.values(row(result, part["name"], name), "got")) >= HITS_LEAST]
            for name, value in found.items():
                if name.startswith("oxprof") and name.endswith("1000 Hz"):
                    yield claim(f"{name} is as near to the known shares of {time} time as the best "
                                f"peer: {part['name']}", percent(value),
                                percent(min(peers)) if peers else "",
                                value <= min(peers) if peers else None)


# ---- of the small benchmarks

def lines_of(result, name):
    return next((part["lines"] for part in result["micro"] if part["name"] == name), [])


def small(result):
    stops = [float(line[1]) for line in lines_of(result, "A stop")]
    for text, at in (("as oxprof sees it", 0), ("as the target sees it", 2)):
        text = f"A stop takes at most 1.3 times the bare system calls, {text}, us"
        if len(stops) > at + 1:
            yield claim(text, f"{stops[at]:.1f}", f"1.3 x {stops[at + 1]:.1f}",
                        stops[at] <= 1.3 * stops[at + 1])
        else:
            yield claim(text)
    used = {line[0]: float(line[1]) for line in lines_of(result, "Threads") if len(line) > 1}
    for threads, most in (("2000", 3), ("10000", 10)):
        text = f"{int(threads):,} threads, all but ten asleep, at 100 Hz: per cent of a core"
        if threads in used:
            yield claim(text, f"{used[threads]:.1f}", f"{most}", used[threads] <= most)
        else:
            yield claim(text)


def check(result):
    return [it for part in (lost, noise, pauses, costs, cut, distances, small)
            for it in part(result)]

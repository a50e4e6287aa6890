#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What profiling costs, and what it gives: oxprof and its peers beside each other, in one table.

Targets are listed in targets.py, profilers in peers.py; they are run in interleaved windows
(runs.py). Figures only: nothing passes or fails here, but --quick where a row of oxprof has none.

Ends within --minutes on two CPUs. Leaves results.json, table.md and page.html in a folder; --from
results.json writes the others again. --docs puts the table into docs/benchmarks.md.
"""
import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import re
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent / "services"))
import claims  # noqa: E402
import micro  # noqa: E402
import page  # noqa: E402
import peers  # noqa: E402
import runs  # noqa: E402
import table  # noqa: E402
import targets  # noqa: E402

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
LAST_RUN = "## The last run\n"
QUICK_TARGETS, QUICK_PEERS = ("half",), ("oxprof", "perf, frame", "eu-stack")


def machine():
    """In words, without names that tell whose it is."""
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text())
    kernel = re.match(r"\d+\.\d+", platform.release()).group(0)
    virtual = " (virtual)" if "hypervisor" in pathlib.Path("/proc/cpuinfo").read_text() else ""
    return (f"{os.cpu_count()} CPUs{virtual}, {cpu.group(1) if cpu else platform.machine()}, "
            f"{int(memory.group(1)) / 2 ** 20:.1f} GiB, Linux {kernel}, "
            f"{platform.libc_ver()[0]} {platform.libc_ver()[1]}")


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [target.name for target in targets.TARGETS]
    parser.add_argument("target", nargs="*", metavar="TARGET",
                        help=f"one or more of {', '.join(names)}, micro; all if none is named")
    parser.add_argument("--build", default="build", help="the build folder")
    parser.add_argument("--oxprof", help="the program, if not BUILD/oxprof")
    parser.add_argument("--minutes", type=float, default=27, help="for all (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1.2, help="of one window (%(default)s)")
    parser.add_argument("--rounds", type=int, help="at most so many on each target")
    parser.add_argument("--peer", action="append", metavar="WORD",
                        help="only profilers whose name has it; may be repeated")
    parser.add_argument("--out", help="a folder, if not BUILD/bench-results")
    parser.add_argument("--from", dest="old", metavar="JSON", help="no runs: of an earlier result")
    parser.add_argument("--docs", action="store_true", help="the table into docs/benchmarks.md")
    parser.add_argument("--quick", action="store_true",
                        help="does it all still work? In 20 s, without telling figures")
    args = parser.parse_args()
    for name in set(args.target) - {*names, "micro"}:
        parser.error(f"no target {name}; there are {', '.join(names)}, micro")
    if args.quick:
        args.seconds, args.rounds, args.minutes = 0.3, 1, 0.2
        args.target, args.peer = args.target or QUICK_TARGETS, args.peer or QUICK_PEERS
    args.build = os.path.abspath(args.build)
    args.out = args.out or f"{args.build}/bench-results"
    args.oxprof = os.path.abspath(args.oxprof or f"{args.build}/oxprof")
    return args


def chosen_peers(args):
    """(those that are run, [(name, why not)] of the others)."""
    asked = [peer for peer in peers.all_peers(args.oxprof)
             if not args.peer or any(word in peer.name for word in args.peer)]
    reasons = [(peer.name, peers.missing(peer)) for peer in asked]
    present = [peer for peer, (_, why) in zip(asked, reasons) if why is None]
    return present, [pair for pair in reasons if pair[1]]


def measure_target(target, present, args, deadline):
    why = targets.missing(target)
    rows = []
    if not why:
        rows, why = runs.on_target(target, peers.rows_for(target, present), args, deadline)
    return {"name": target.name, "about": target.about, "why": why,
            "rows": [dataclasses.asdict(row) for row in rows]}


def settings(args):
    return (f"windows of {args.seconds:g} s, load average before it began "
            f"{os.getloadavg()[0]:.1f}")


def chosen_targets(args):
    chosen = [target for target in targets.TARGETS if not args.target or target.name in args.target]
    return [dataclasses.replace(target, major=target.major and not args.quick)
            for target in chosen]


def measure(args):
    end = time.monotonic() + args.minutes * 60
    present, absent = chosen_peers(args)
    result = {"date": datetime.date.today().isoformat(), "machine": machine(),
              "settings": settings(args), "targets": [], "missing": absent, "micro": []}
    print(f"# {result['date']}; {result['machine']}; {result['settings']}\n{table.meanings()}")
    for name, why in absent:
        print(f"# {name}: {why}")
    if not args.quick and (not args.target or "micro" in args.target):
        result["micro"] = micro.run(args, lambda part: print("\n" + table.part_text(part)))
    for target, deadline in runs.shares_of_time(chosen_targets(args), end - time.monotonic()):
        result["targets"].append(measure_target(target, present, args, deadline))
        print(table.target_text(result["targets"][-1]), flush=True)
        write(result, args.out)
    return result


def write_docs(result):
    """In place of the last run's table, at the page's end."""
    text = DOCS.read_text(encoding="utf-8")
    head, mark, _ = text.partition(LAST_RUN)
    DOCS.write_text(f"{head}{mark}\n{table.markdown(result)}", encoding="utf-8")


def write(result, folder):
    result["claims"] = claims.check(result)
    os.makedirs(folder, exist_ok=True)
    for name, content in (("results.json", json.dumps(result)),
                          ("table.md", table.markdown(result)),
                          ("page.html", page.html(result))):
        path = pathlib.Path(folder, name)
        path.with_suffix(".new").write_text(content, encoding="utf-8")
        path.with_suffix(".new").replace(path)


def holes(result):
    """Rows of oxprof without figures."""
    rows = [row for target in result["targets"] for row in target["rows"]
            if row["name"].startswith("oxprof")]
    wrong = [f"{row['name']}: {row['why']}" for row in rows if not row["figures"]]
    wrong += [f"{row['name']}: no stacks" for row in rows
              if row["figures"] and not sum(table.values(row, "got"))]
    wrong += [f"{target['name']}: {target['why']}" for target in result["targets"] if target["why"]]
    return wrong if rows else ["no row of oxprof"]


def finish(result, args):
    write(result, args.out)
    if args.docs:
        write_docs(result)
    print(f"\n{table.claims_text(result)}\n\n# {args.out}/results.json, table.md, page.html")
    wrong = holes(result) if args.quick else []
    for line in wrong:
        print(f"bench: {line}", file=sys.stderr)
    return 1 if wrong else 0


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    args = parse_args()
    if args.old:
        result = json.loads(pathlib.Path(args.old).read_text(encoding="utf-8"))
        print(table.text(result))
        return finish(result, args)
    with tempfile.TemporaryDirectory(prefix="oxprof-bench-out-") as args.folder:
        return finish(measure(args), args)


if __name__ == "__main__":
    sys.exit(main())

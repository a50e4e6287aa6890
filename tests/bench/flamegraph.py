#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The flame graph of many distinct stacks: its size, and how soon it is seen and zoomed.

Measured by the page itself, in headless Chromium: "drawn" is the time from the start of its loading
until the graph has been drawn, "zoom" and "search" until the frame that shows it has been, "rebuild"
a change of the selection (both states, split by thread). Figures only: nothing passes or fails here.

usage: flamegraph.py [--build DIR] [--stacks N] [--runs N]
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "browser"))
import chromium  # noqa: E402

# Milliseconds from an action until its frame has been handed to the screen.
UNTIL_SHOWN = """(action => new Promise(done => {
    const start = performance.now();
    action();
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - start)));
}))"""
ACTIONS = {
    "zoom in": "() => oxprof.zoom(Math.min(3, oxprof.view.n - 1))",
    "zoom out": "() => oxprof.zoom(0)",
    "search": """() => { document.getElementById("search").value = "handler<1.*event";
                         oxprof.search(); }""",
    "redraw": "() => oxprof.chart.draw()",
    "rebuild": """() => { Object.assign(oxprof.selection, {state: "both", split: "thread"});
                          oxprof.rebuild(); }""",
}


def write_page(build, stacks, path):
    start = time.monotonic()
    with open(path, "wb") as file:
        subprocess.run([build / "tests/profiles", str(stacks), "flamegraph"], stdout=file,
                       check=True)
    return time.monotonic() - start


def measure(path):
    """{what: milliseconds} of one visit, with a browser of its own: nothing is warm."""
    with chromium.Browser() as browser:
        browser.screen(1920, 1080)
        browser.open(path)
        browser.settle()
        figures = {
            "first paint": browser.run("performance.getEntriesByType('paint')[0].startTime"),
            "drawn": browser.run("oxprof.timing.drawn_ms"),
        }
        for what, action in ACTIONS.items():
            figures[what] = browser.run(f"{UNTIL_SHOWN}({action})")
        return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--build", type=pathlib.Path, default="build")
    parser.add_argument("--stacks", type=int, default=100000)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    if not chromium.program():
        sys.exit("no chromium here: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "many.html")
        seconds = write_page(args.build, args.stacks, path)
        print(f"{args.stacks} distinct stacks: {os.path.getsize(path) / 1e6:.1f} MB, made and "
              f"written in {seconds:.2f} s")
        runs = [measure(path) for _ in range(args.runs)]
    for what in runs[0]:
        values = [run[what] for run in runs]
        print(f"  {what:12} {statistics.median(values):7.1f} ms "
              f"({min(values):.1f} to {max(values):.1f})")


if __name__ == "__main__":
    main()

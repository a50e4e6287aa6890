#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Checks every #include of lib/ and cmd/ against the table in docs/architecture.md, and its walks;
and that the tests that docs/live.md names exist.

usage: includes_test.py SOURCE-ROOT
"""
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)
# | `lib/unwind` | a snapshot becomes addresses | base, target |
ROW = re.compile(r"^\|\s*`(lib/)?(\w+)`\s*\|[^|]*\|\s*([^|]*?)\s*\|\s*$", re.MULTILINE)

# | `lib/unwind/unwind.c: unwinder_walk` | ...
STEP = re.compile(r"^\| `([\w/.]+): (\w+)` \|", re.MULTILINE)


def read_table(page):
    """room -> the rooms that it may include"""
    table = {}
    for _, room, allowed in ROW.findall(page):
        if allowed == "all":
            table[room] = None
        else:
            table[room] = {name for name in re.findall(r"\w+", allowed)}
    others = set(table)
    return {room: others - {room} if allowed is None else allowed
            for room, allowed in table.items()}


def cycle_in(table):
    """The rooms that can't be laid in an order: [] where there is no cycle."""
    left = {room: set(allowed) for room, allowed in table.items()}
    while True:
        ready = [room for room, allowed in left.items() if not allowed & set(left)]
        if not ready:
            return sorted(left)
        for room in ready:
            del left[room]


def sources(root):
    for top in ("lib", "cmd"):
        yield from sorted(p for p in (root / top).rglob("*") if p.suffix in (".c", ".h"))


def room_of(root, path):
    parts = path.relative_to(root).parts
    return parts[1] if parts[0] == "lib" else parts[0]


def complaint(table, room, include):
    """Why this #include is wrong, or None."""
    if "/" not in include:
        return "names no room: write \"room/file.h\""
    wanted = include.split("/")[0]
    if wanted not in table:
        return f"'{wanted}' is no room of the table"
    if wanted != room and wanted not in table[room]:
        return f"'{room}' may not include '{wanted}'"
    return None


def check_includes(root, table):
    """(number of includes looked at, complaints)"""
    seen, bad = 0, []
    for path in sources(root):
        room = room_of(root, path)
        if room not in table:
            bad.append(f"{path.relative_to(root)}: '{room}' is no room of the table")
            continue
        for include in INCLUDE.findall(path.read_text(encoding="utf-8")):
            seen += 1
            why = complaint(table, room, include)
            if why:
                bad.append(f"{path.relative_to(root)}: \"{include}\": {why}")
    return seen, bad


def missing_folders(root, table):
    return [f"{room}: in the table, but there is no such folder" for room in table
            if not (root / "lib" / room).is_dir() and not (root / room).is_dir()]


def lost_steps(root, steps):
    """Steps of the walks whose function is not defined in their file."""
    for name, function in steps:
        path = root / name
        defined = re.compile(rf"^[a-z_][^\n;=]*\b{function}\(", re.MULTILINE)
        if not path.is_file() or not defined.search(path.read_text(encoding="utf-8")):
            yield f"{name}: no {function}()"


# `tests/live/lines.py: test_libc`
NAMED_TEST = re.compile(r"`(tests/[\w/.]+): (\w+)`")


def lost_tests(root, tests):
    """Tests of a page of docs/ that are not in their file."""
    for name, test in tests:
        path = root / name
        defined = re.compile(rf"def {test}\(|^Test\(\w+, {test}\b", re.MULTILINE)
        if not path.is_file() or not defined.search(path.read_text(encoding="utf-8")):
            yield f"{name}: no {test}"


def report(number, name, bad):
    print(f"{'not ok' if bad else 'ok'} {number} - {name}")
    for line in bad:
        print(f"# {line}")
    return bool(bad)


def main():
    root = pathlib.Path(sys.argv[1])
    page = (root / "docs/architecture.md").read_text(encoding="utf-8")
    table, steps = read_table(page), STEP.findall(page)
    unknown = [f"{room}: '{name}' is no room of the table" for room, allowed in table.items()
               for name in allowed - set(table)]
    seen, bad = check_includes(root, table) if table else (0, [])
    tests = NAMED_TEST.findall((root / "docs/live.md").read_text(encoding="utf-8"))
    print("1..6")
    failed = report(1, "there is a table, and there are includes to check",
                    [] if table and seen else [f"{len(table)} rooms, {seen} includes"])
    failed |= report(2, "the table names rooms that exist", unknown + missing_folders(root, table))
    failed |= report(3, "the table has no cycle", [f"among {', '.join(cycle_in(table))}"]
                     if cycle_in(table) else [])
    failed |= report(4, f"{seen} includes are allowed by the table", bad)
    failed |= report(5, f"the walks' {len(steps)} functions are where they are said to be",
                     list(lost_steps(root, steps)) if steps else ["there are no walks"])
    failed |= report(6, f"the {len(tests)} tests that docs/live.md names are there",
                     list(lost_tests(root, tests)) if tests else ["it names none"])
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

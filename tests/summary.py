#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Reads meson's testlog.json and closes a test run: what was skipped, what failed, how many.

usage: summary.py MESON-STATUS TESTLOG

A program that prints TAP or unittest's last lines counts with each of its cases, any other as one.
Ends with status 1 where anything failed, meson failed, or nothing has run.
"""
import json
import re
import sys

FINE = {"OK", "EXPECTEDFAIL"}
TAP = re.compile(r"^(not )?ok\b(.*)$", re.MULTILINE)
TAP_SKIP = re.compile(r"#\s*skip", re.IGNORECASE)
UNITTEST_RAN = re.compile(r"^Ran (\d+) tests?\b", re.MULTILINE)
UNITTEST_SKIPPED = re.compile(r"^(?:OK|FAILED) \(.*?skipped=(\d+)", re.MULTILINE)
UNITTEST_FAILED = re.compile(r"^FAILED \(.*\)$", re.MULTILINE)
UNITTEST_BAD = re.compile(r"(?:failures|errors)=(\d+)")
SKIP_LINE = re.compile(r"^.*(?:#\s*skip|\.\.\. skipped).*$", re.IGNORECASE | re.MULTILINE)


def tap_cases(text):
    cases = TAP.findall(text)
    skipped = sum(1 for _, rest in cases if TAP_SKIP.search(rest))
    failed = sum(1 for bad, rest in cases if bad and not re.search("# *todo", rest, re.I))
    return len(cases) - skipped - failed, failed, skipped


def unittest_cases(text):
    ran = int(UNITTEST_RAN.search(text).group(1))
    skipped = sum(int(n) for n in UNITTEST_SKIPPED.findall(text))
    failed = sum(int(n) for line in UNITTEST_FAILED.findall(text)
                 for n in UNITTEST_BAD.findall(line))
    return ran - skipped - failed, failed, skipped


def cases_of(entry):
    """(passed, failed, skipped) of one program."""
    text = entry.get("stdout", "") + "\n" + entry.get("stderr", "")
    result = entry["result"]
    if result == "SKIP":
        return 0, 0, 1
    if UNITTEST_RAN.search(text):
        counts = unittest_cases(text)
    elif TAP.search(text):
        counts = tap_cases(text)
    else:
        counts = (1, 0, 0)
    passed, failed, skipped = counts
    if result not in FINE and failed == 0:
        return max(passed - 1, 0), 1, skipped
    return passed, failed, skipped


def read_log(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as log:
            return [json.loads(line) for line in log if line.strip()]
    except FileNotFoundError:
        return []


def tell(entry, counts):
    text = entry.get("stdout", "") + "\n" + entry.get("stderr", "")
    if counts[2]:
        print(f"SKIPPED {counts[2]} in {entry['name']}")
        for line in SKIP_LINE.findall(text)[:20]:
            print(f"    {line.strip()}")
    if counts[1]:
        print(f"FAILED  {counts[1]} in {entry['name']} ({entry['result']})")


def main():
    entries = read_log(sys.argv[2])
    totals = [0, 0, 0]
    for entry in entries:
        counts = cases_of(entry)
        tell(entry, counts)
        totals = [a + b for a, b in zip(totals, counts)]
    passed, failed, skipped = totals
    if passed + failed == 0:
        print("no test has run")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or passed == 0 or int(sys.argv[1]) else 0


if __name__ == "__main__":
    sys.exit(main())

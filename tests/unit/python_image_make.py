#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes NAME.image and NAME.expected of an interpreter, for tests/unit/python_test.c.

usage: python_image_make.py SAVER PYTHON NAME

SAVER is build/tests/unit/python_image_save. Needs nm(1).
"""
import os
import re
import subprocess
import sys

BLOCKED = os.path.join(os.path.dirname(__file__), "../targets/python_blocked.py")


def mapped_files(pid):
    """(lowest address, path) of the interpreter's own files."""
    lowest = {}
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        for line in maps:
            fields = line.split(None, 5)
            if len(fields) == 6 and "python" in os.path.basename(fields[5]):
                lowest.setdefault(fields[5].strip(), int(fields[0].split("-")[0], 16))
    return [(addr, path) for path, addr in lowest.items()]


def runtime_address(pid):
    for base, path in mapped_files(pid):
        text = subprocess.run(["nm", "-D", path], capture_output=True, text=True).stdout
        match = re.search(r"^([0-9a-f]+) [A-Z] _PyRuntime$", text, re.M)
        if match:
            with open(path, "rb") as file:
                position_independent = file.read(17)[16] == 3  # e_type: ET_DYN
            return int(match.group(1), 16) + (base if position_independent else 0)
    sys.exit("no _PyRuntime")


def main(saver, python, name):
    minor = subprocess.run([python, "-c", "import sys; print(sys.version_info[1])"],
                           capture_output=True, text=True, check=True).stdout.strip()
    with subprocess.Popen([python, BLOCKED], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True, encoding="utf-8") as blocked:
        expected = list(iter(blocked.stdout.readline, "ready\n"))
        with open(name + ".image", "wb") as image:
            subprocess.run([saver, str(blocked.pid), f"{runtime_address(blocked.pid):x}", minor],
                           stdout=image, check=True)
        with open(name + ".expected", "w", encoding="utf-8") as file:
            file.writelines(expected)
        blocked.stdin.close()


main(*sys.argv[1:])

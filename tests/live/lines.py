#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Inlined functions and lines are those that eu-addr2line -i -f finds, an implementation that
shares nothing with ours.

usage: lines.py [-v] [-n ADDRESSES] [FILE...]

Takes random code addresses of each file. Without files: libc.so.6 with libc6-dbg, and oxprof itself
(short, as a test). In the names of outermost functions aliases of the symbol table count as equal.
"""
import argparse
import bisect
import collections
import os
import pathlib
import random
import re
import struct
import subprocess
import sys
import time

LINES_OF = os.environ.get("LINES_OF", "build/tests/live/lines_of")
ADDR2LINE = "eu-addr2line"
SHT_SYMTAB, SHT_DYNSYM, STT_FUNC, STT_GNU_IFUNC = 2, 11, 2, 10
SHF_EXECINSTR = 4
SUFFIX = re.compile(r"(\.(cold|isra|part|constprop|lto_priv|llvm|localalias)(\.\d+)*|\.\d+)+$")


class Elf:
    """Sections and symbols, as far as the check needs them."""

    def __init__(self, path):
        self.data = pathlib.Path(path).read_bytes()
        off, = struct.unpack_from("<Q", self.data, 0x28)
        n, self.names = struct.unpack_from("<HH", self.data, 0x3c)
        self.sections = [struct.unpack_from("<IIQQQQIIQQ", self.data, off + 64 * i)
                         for i in range(n)]

    def name(self, section):
        at = self.sections[self.names][4] + section[0]
        return self.data[at:self.data.index(b"\0", at)].decode()

    def named(self, name):
        return next((s for s in self.sections if self.name(s) == name), None)

    def code(self):
        """[(first address, size)] of the executable sections that compilers fill"""
        return [(s[3], s[5]) for s in self.sections
                if s[2] & SHF_EXECINSTR and s[1] == 1 and ".plt" not in self.name(s)]

    def build_id(self):
        note = self.named(".note.gnu.build-id")
        return self.data[note[4] + 16:note[4] + note[5]].hex() if note else ""

    def symbols(self):
        """name -> addresses"""
        found = collections.defaultdict(set)
        for section in self.sections:
            if section[1] not in (SHT_SYMTAB, SHT_DYNSYM):
                continue
            strings = self.sections[section[6]][4]
            table = self.data[section[4]:section[4] + section[5]]
            for name, info, _, where, value, _ in struct.iter_unpack("<IBBHQQ", table):
                if where and name:
                    at = strings + name
                    text = self.data[at:self.data.index(b"\0", at)].decode(errors="replace")
                    found[text.split("@")[0]].add(value)
        return found


def aliases_of(path):
    """name -> addresses, from the file and its separate debug file"""
    elf = Elf(path)
    build_id = elf.build_id()
    apart = pathlib.Path(f"/usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug")
    found = elf.symbols()
    if build_id and apart.exists():
        for name, addresses in Elf(apart).symbols().items():
            found[name] |= addresses
    return found


def random_addresses(path, count, seed=1):
    generator = random.Random(seed)
    ranges = Elf(path).code()
    ends, total = [], 0
    for _, size in ranges:
        total += size
        ends.append(total)
    chosen = set()
    while len(chosen) < min(count, total // 2):
        at = generator.randrange(total)
        i = bisect.bisect_right(ends, at)
        chosen.add(ranges[i][0] + at - (ends[i - 1] if i else 0))
    return sorted(chosen)


def pair(name, place):
    path, _, line = place.rpartition(":")
    return name, os.path.normpath(path), int(line)


def ask(command, addresses):
    """The lines of each address's answer; and the last ones that begin with #."""
    done = subprocess.run(command, input="\n".join(map(hex, addresses)) + "\n",
                          capture_output=True, text=True, check=False)
    answers, notes = [], []
    for line in done.stdout.split("\n"):
        if re.fullmatch("0x[0-9a-f]{16}", line):
            answers.append([])
        elif line.startswith("# "):
            notes.append(line)
        elif line:
            answers[-1].append(line)
    if len(answers) != len(addresses):
        raise SystemExit(f"{command}: {len(addresses)} asked, {len(answers)} answered, exit code "
                         f"{done.returncode}\n{done.stderr}")
    return answers, notes


def pairs(lines):
    return [pair(*lines[i:i + 2]) for i in range(0, len(lines), 2)]


def ours(path, addresses):
    """[[(name, path, line)...]...], and what it says of itself"""
    begin = time.monotonic()
    answers, notes = ask([LINES_OF, path], addresses)
    notes.append(f"{time.monotonic() - begin:.2f} s")
    return [pairs(lines) for lines in answers], notes


def theirs(path, addresses):
    """The same of eu-addr2line, which exits 1 where it knows nothing of some."""
    answers, _ = ask([ADDR2LINE, "-a", "-i", "-f", "-e", path], addresses)
    return [pairs([re.sub(r"(:\d+):\d+$", r"\1", re.sub(r" \(.*\)$", "", line)) if i % 2
                   else line.split(" inlined at ")[0] for i, line in enumerate(lines)])
            for lines in answers]


def same_function(one, other, aliases):
    if one == other or SUFFIX.sub("", one) == SUFFIX.sub("", other):
        return True
    return bool(aliases.get(one, set()) & aliases.get(other, set()))


def same_name(one, other):
    """C++ entries without a linkage name: ours are qualified."""
    return SUFFIX.sub("", one) == SUFFIX.sub("", other) or \
        one.split("::")[-1].split(".")[-1] == other


def classify(mine, their, aliases):
    """'' where both say the same, else the class of the difference"""
    if not mine or not their:
        return "we know nothing" if not mine and their[0][0] != "??" else ""
    if their[0][0] == "??" and len(their) == 1 and their[0][2] == 0:
        return "" if not mine[0][2] else "they know nothing"
    if len(mine) != len(their):
        return "chain"
    for (name, _, _), (other, _, _) in zip(mine[:-1], their[:-1]):
        if not same_name(name, other):
            return "inlined name"
    if not same_function(mine[-1][0], their[-1][0], aliases):
        return "outermost name"
    if [place[2] for place in mine] != [place[2] for place in their]:
        return "line"
    paths = [(a[1], b[1]) for a, b in zip(mine, their) if a[1] != b[1]]
    if any(os.path.basename(a) != os.path.basename(b) for a, b in paths):
        return "file"
    return "path" if paths else ""


def compare(path, count, verbose):
    addresses = random_addresses(path, count)
    mine, notes = ours(path, addresses)
    their = theirs(path, addresses)
    aliases = aliases_of(path)
    classes = collections.defaultdict(list)
    for address, a, b in zip(addresses, mine, their):
        classes[classify(a, b, aliases)].append((address, a, b))
    inlined = sum(len(chain) > 1 for chain in mine)
    lines = sum(bool(chain) and chain[0][2] > 0 for chain in mine)
    counts = {name or "same": len(cases) for name, cases in classes.items()}
    print(f"# {path}: {len(addresses)} addresses, {lines} with lines, {inlined} inlined: {counts}; "
          + ", ".join(notes), flush=True)
    for name, cases in classes.items() if verbose else ():
        for address, a, b in random.Random(1).sample(cases, min(len(cases), 5)) if name else ():
            print(f"#   {name} {address:#x}\n#     {a}\n#     {b}")
    return counts, inlined


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-v", action="store_true")
    parser.add_argument("-n", type=int, default=2000)
    parser.add_argument("files", nargs="*")
    args = parser.parse_args()
    for path in args.files:
        compare(path, args.n, args.v)
    return 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Inlined functions and lines are those that eu-addr2line -i -f finds, an implementation that
shares nothing with ours.

Where the two differ, binutils' addr2line and LLVM's symbolizer are asked as well: a difference in which
one of them says what we say is eu-addr2line's own. Known of 0.188: without .debug_aranges (clang) it
finds no lines; inlined functions whose origin is in another unit (LTO) and lambdas in them are left
out; of several blocks that claim an address it takes the last.

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
import shutil
import struct
import subprocess
import sys
import time
import unittest

LINES_OF = os.environ.get("LINES_OF", "build/tests/live/lines_of")
ADDR2LINE = "eu-addr2line"
SHORT = 1000  # addresses of each file in the test
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


def debug_file(path):
    """The separate one by build-id, or None"""
    build_id = Elf(path).build_id()
    apart = pathlib.Path(f"/usr/lib/debug/.build-id/{build_id[:2]}/{build_id[2:]}.debug")
    return apart if build_id and apart.exists() else None


def aliases_of(path):
    """name -> addresses, from the file and its separate debug file; names without suffixes too"""
    found = collections.defaultdict(set)
    for file in filter(None, (path, debug_file(path))):
        for name, addresses in Elf(file).symbols().items():
            found[name] |= addresses
            found[SUFFIX.sub("", name)] |= addresses
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
    return name, os.path.normpath(path), int(line) if line.isdigit() else 0


def ask(command, addresses):
    """The lines of each address's answer; and the last ones that begin with #."""
    done = subprocess.run(command, input="\n".join(map(hex, addresses)) + "\n",
                          capture_output=True, text=True, check=False)
    answers, notes = [], []
    for line in done.stdout.split("\n"):
        if re.fullmatch("0x[0-9a-f]{1,16}", line):
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
    """[[(name, path, line)...]...], what it says of itself, (name, line of its declaration)..."""
    begin = time.monotonic()
    answers, notes = ask([LINES_OF, path], addresses)
    declared = {(line.split()[2], int(line.split()[3])) for line in notes if "# declared" in line}
    notes = [line for line in notes if "# declared" not in line]
    notes.append(f"{time.monotonic() - begin:.2f} s")
    return [pairs(lines) for lines in answers], notes, declared


def chains_of(answers):
    """FILE:LINE may have a column or a remark, a function what it is inlined in."""
    return [pairs([re.sub(r"(:\d+):\d+$", r"\1", re.sub(r" \(.*\)$", "", line)) if i % 2
                   else line.split(" inlined at ")[0] for i, line in enumerate(lines)])
            for lines in answers]


def theirs(path, addresses):
    """The same of eu-addr2line, which exits 1 where it knows nothing of some."""
    return chains_of(ask([ADDR2LINE, "-a", "-i", "-f", "-e", path], addresses)[0])


def arbiters(path):
    """Who is asked where the two differ. Both look into one file only."""
    file = str(debug_file(path) or path)
    commands = {"binutils": ["addr2line", "-a", "-i", "-f", "-e", file],
                "LLVM": ["llvm-symbolizer", "-a", "-i", "--functions=linkage", "--no-demangle",
                         "--output-style=GNU", f"--obj={file}"]}
    return {name: command for name, command in commands.items() if shutil.which(command[0])}


def bare(name):
    """Without what compilers append, template arguments, parameters and what it stands in"""
    name = SUFFIX.sub("", name).replace("(anonymous namespace)", "{anonymous}")
    name = name.replace("operator<", "operator").replace("operator()", "operator")
    for opening, closing in ("<>", "()"):
        while opening in name and closing in name:
            cut = re.sub(rf"\{opening}[^{opening}{closing}]*\{closing}", "", name)
            if cut == name:
                break
            name = cut
    return re.sub(r"\[abi:\w+\]| const$", "", name).split("::")[-1].split(" ")[-1]


def same_function(one, other, aliases):
    one, other = SUFFIX.sub("", one), SUFFIX.sub("", other)
    return one == other or bool(aliases[one] & aliases[other])


def same_name(one, other, demangled):
    """Entries without a linkage name: only the plain one can be compared."""
    if SUFFIX.sub("", one) == SUFFIX.sub("", other):
        return True
    return bare(demangled(one)) == bare(demangled(other))


def joined(chain, aliases, declared):
    """What calls itself from where it is declared was split by gcc: it is one frame, at the inner
    line. So is an outermost function that was inlined in itself under another of its names."""
    whole = chain[:1]
    for inner, outer in zip(chain, chain[1:]):
        places = {(name, outer[2]) for name in {outer[0]} | aliases[outer[0]]}
        if inner[0] != outer[0] or not places & declared:
            whole.append(outer)
    if len(whole) > 1 and whole[-2][0] != whole[-1][0] and \
            aliases[whole[-2][0]] & aliases[whole[-1][0]]:
        return whole[:-1]
    return whole


def classify(mine, their, aliases, declared, demangled):
    """'' where both say the same, else the class of the difference"""
    their = joined(their, aliases, declared)
    if not mine:
        # the line of what fills the gaps between functions is nobody's
        return "" if their[0][0] == "??" else "we know nothing"
    if their[0][0] == "??" and len(their) == 1 and not mine[0][2]:
        return ""
    if len(mine) != len(their):
        return "chain"
    if not all(same_name(a[0], b[0], demangled) for a, b in zip(mine[:-1], their[:-1])):
        return "inlined name"
    if not same_function(mine[-1][0], their[-1][0], aliases) and \
            not same_name(mine[-1][0], their[-1][0], demangled):
        return "outermost name"
    if [place[2] for place in mine] != [place[2] for place in their]:
        return "line"
    paths = [(a[1], b[1]) for a, b in zip(mine, their) if "<artificial>" not in b[1]]
    return "file" if any(os.path.basename(a) != os.path.basename(b) for a, b in paths) else ""


class Demangled:
    """One c++filt for all names."""

    def __init__(self, names):
        names = sorted(names)
        out = subprocess.run(["c++filt"], input="\n".join(names) + "\n", capture_output=True,
                             text=True, check=True).stdout.split("\n")
        self.names = dict(zip(names, out))

    def __call__(self, name):
        return self.names[name]


def names_of(*answers):
    return {SUFFIX.sub("", frame[0]) for chains in answers for chain in chains for frame in chain} \
        | {frame[0] for chains in answers for chain in chains for frame in chain}


def classes_of(addresses, mine, their, aliases, declared):
    demangled = Demangled(names_of(mine, their))
    found = collections.defaultdict(list)
    for address, a, b in zip(addresses, mine, their):
        found[classify(a, b, aliases, declared, demangled)].append((address, a, b))
    return found


def settle(path, classes, aliases, declared):
    """Cases in which another one says what we say go to a class of their own."""
    left = dict(classes)
    left["same"] = left.pop("", [])
    for who, command in arbiters(path).items():
        for name in [name for name in left if name != "same" and " as we" not in name]:
            addresses = [case[0] for case in left[name]]
            again = chains_of(ask(command, addresses)[0])
            agreed = classes_of(addresses, [case[1] for case in left[name]], again, aliases,
                                declared)
            right = {case[0] for case in agreed[""]}
            left[f"{name}, {who} as we"] = [case for case in left[name] if case[0] in right]
            left[name] = [case for case in left[name] if case[0] not in right]
    return {name: cases for name, cases in left.items() if cases}


def compare(path, count, verbose):
    """class -> how many; prints them"""
    addresses = random_addresses(path, count)
    (mine, notes, declared), aliases = ours(path, addresses), aliases_of(path)
    declared |= {(place, line) for name, line in declared for place in aliases[name]}
    classes = classes_of(addresses, mine, theirs(path, addresses), aliases, declared)
    classes = settle(path, classes, aliases, declared)
    inlined = sum(len(chain) > 1 for chain in mine)
    lines = sum(bool(chain) and chain[0][2] > 0 for chain in mine)
    counts = {name: len(cases) for name, cases in classes.items()}
    print(f"# {path}: {len(addresses)} addresses, {lines} with lines, {inlined} inlined: {counts}; "
          + ", ".join(notes), flush=True)
    for name, cases in classes.items() if verbose else ():
        for address, a, b in random.Random(1).sample(cases, min(len(cases), 5)):
            if name != "same":
                print(f"#   {name} {address:#x}\n#     {a}\n#     {b}")
    return counts, inlined


def unexplained(counts):
    return {name: count for name, count in counts.items()
            if name != "same" and not name.endswith(" as we")}


@unittest.skipUnless(shutil.which(ADDR2LINE) and shutil.which("c++filt"),
                     "no eu-addr2line (elfutils), no c++filt (binutils)")
class Lines(unittest.TestCase):
    def check_file(self, path, least_inlined):
        counts, inlined = compare(path, SHORT, verbose=True)
        self.assertEqual(unexplained(counts), {})
        self.assertGreater(inlined, least_inlined, "there was something to compare")

    def test_ourselves(self):
        """A program with its DWARF inside: at -O2 more than a tenth of the code is inlined."""
        self.check_file(os.environ.get("OXPROF", "build/oxprof"), 1)

    def test_libc(self):
        """A library with a separate debug file, which dwz has been over in some releases."""
        path = "/lib/x86_64-linux-gnu/libc.so.6"
        if not os.path.exists(path) or not debug_file(path):
            self.skipTest("no libc6-dbg")
        self.check_file(path, SHORT // 20)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-v", action="store_true")
    parser.add_argument("-n", type=int, default=20000)
    parser.add_argument("files", nargs="*")
    args = parser.parse_args()
    for path in args.files:
        compare(path, args.n, args.v)
    if not args.files:
        unittest.main(argv=sys.argv[:1], verbosity=2)


if __name__ == "__main__":
    main()

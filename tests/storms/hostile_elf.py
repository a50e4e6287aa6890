# SPDX-License-Identifier: MIT
"""Damaged copies of an x86-64 ELF program whose code is whole: only its readers are to suffer.

Every copy is made from a seed or a name, so that a failure can be made again.
"""
import random
import struct

EHDR = {"e_phoff": (32, "Q"), "e_shoff": (40, "Q"), "e_phentsize": (54, "H"), "e_phnum": (56, "H"),
        "e_shentsize": (58, "H"), "e_shnum": (60, "H"), "e_shstrndx": (62, "H"),
        "e_type": (16, "H"), "e_machine": (18, "H"), "class": (4, "B")}
PHDR = {"p_type": (0, "I"), "p_flags": (4, "I"), "p_offset": (8, "Q"), "p_vaddr": (16, "Q"),
        "p_filesz": (32, "Q"), "p_memsz": (40, "Q"), "p_align": (48, "Q")}
SHDR = {"sh_name": (0, "I"), "sh_type": (4, "I"), "sh_flags": (8, "Q"), "sh_addr": (16, "Q"),
        "sh_offset": (24, "Q"), "sh_size": (32, "Q"), "sh_link": (40, "I"), "sh_info": (44, "I"),
        "sh_entsize": (56, "Q")}
PT_LOAD, PT_NOTE, PT_GNU_EH_FRAME, PF_X = 1, 4, 0x6474e550, 1
SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_DYNSYM = 2, 3, 4, 11
WRAP = 2**64 - 1
# Call frame programs that take long, loop, or lead nowhere. DWARF 5, 6.4.2 and 2.5.1.
PROGRAMS = {
    "the CFA does not grow": b"\x0c\x07\x00",                          # def_cfa rsp+0
    "the CFA shrinks": b"\x12\x07\x7f",                                # def_cfa_sf rsp-8
    "an expression jumps to itself": b"\x0f\x03\x2f\xfd\xff",          # skip -3
    "an expression of no end": b"\x0f\xff\xff\xff\xff\x0f",            # 2^32 bytes long
    "an expression without a value": b"\x0f\x01\x06",                  # deref of nothing
    "an expression that grows": b"\x0f\x05\x12\x12\x2f\xfb\xff",       # dup, dup, skip -5
    "remembers without end": b"\x0a" * 7,
    "restores what was never kept": b"\x0b\x0b\x0b",
    "a number of no end": b"\x0c" + b"\xff" * 6,
    "an unknown instruction": b"\x3f\x3e\x3d",
}


class Elf:
    """The bytes of a file, and where its parts lie."""

    def __init__(self, data):
        self.data = bytearray(data)
        self.phoff, self.shoff = self.get(EHDR, 0, "e_phoff"), self.get(EHDR, 0, "e_shoff")
        self.phnum, self.shnum = self.get(EHDR, 0, "e_phnum"), self.get(EHDR, 0, "e_shnum")

    def get(self, table, base, name):
        off, code = table[name]
        return struct.unpack_from("<" + code, self.data, base + off)[0]

    def put(self, table, base, name, value):
        off, code = table[name]
        size = struct.calcsize(code)
        struct.pack_into("<" + code, self.data, base + off, value & (2 ** (8 * size) - 1))

    def segments(self, kind, flags=0):
        bases = [self.phoff + 56 * i for i in range(self.phnum)]
        return [base for base in bases if self.get(PHDR, base, "p_type") == kind
                and self.get(PHDR, base, "p_flags") & flags == flags]

    def sections(self, kind):
        bases = [self.shoff + 64 * i for i in range(self.shnum)]
        return [base for base in bases if self.get(SHDR, base, "sh_type") == kind]

    def code(self):
        """The bytes of the file that run: they stay as they are."""
        base = self.segments(PT_LOAD, PF_X)[0]
        start = self.get(PHDR, base, "p_offset")
        return start, start + self.get(PHDR, base, "p_filesz")

    def symbol(self, name):
        """The address of a function."""
        table = self.sections(SHT_SYMTAB)[0]
        strings = self.shoff + 64 * self.get(SHDR, table, "sh_link")
        names = self.get(SHDR, strings, "sh_offset")
        first = self.get(SHDR, table, "sh_offset")
        for at in range(first, first + self.get(SHDR, table, "sh_size"), 24):
            start = names + struct.unpack_from("<I", self.data, at)[0]
            if self.data[start:self.data.index(0, start)] == name.encode():
                return struct.unpack_from("<Q", self.data, at + 8)[0]
        raise ValueError(f"no {name}")

    def frame_table(self):
        """Where .eh_frame_hdr lies in the file, its address, and how many rows it has. Its rows of
        two 4-byte offsets from itself begin 12 bytes in (LSB 5.0, 10.6.2)."""
        base = self.segments(PT_GNU_EH_FRAME)[0]
        off, vaddr = self.get(PHDR, base, "p_offset"), self.get(PHDR, base, "p_vaddr")
        return off, vaddr, struct.unpack_from("<I", self.data, off + 8)[0]

    def frame_program(self, function):
        """Where the call frame instructions of a function lie, and how many bytes they have."""
        off, vaddr, rows = self.frame_table()
        for i in range(rows):
            start, fde = struct.unpack_from("<ii", self.data, off + 12 + 8 * i)
            if vaddr + start == function:
                at = off + fde
                length = struct.unpack_from("<I", self.data, at)[0]
                return at + 17, length - 13
        raise ValueError("no such entry")


def set_header(name, value):
    return f"{name} = {value:#x}", lambda elf: elf.put(EHDR, 0, name, value)


def set_segment(kind, name, value):
    def change(elf):
        for base in elf.segments(kind):
            elf.put(PHDR, base, name, value)
    return f"{name} = {value:#x} of segments {kind:#x}", change


def set_section(kind, name, value):
    def change(elf):
        for base in elf.sections(kind):
            elf.put(SHDR, base, name, value)
    return f"{name} = {value:#x} of sections {kind}", change


def set_program(title, code):
    def change(elf):
        for function in ("hostile_leaf", "hostile_middle", "hostile_work_here"):
            at, room = elf.frame_program(elf.symbol(function))
            code_here = (code + bytes(room))[:room]
            elf.data[at:at + room] = code_here
    return title, change


def set_frame_table(title, at, value):
    def change(elf):
        struct.pack_into("<I", elf.data, elf.frame_table()[0] + at, value & 0xffffffff)
    return title, change


def sections_in_zero(elf):
    """As many sections as section 0 says (gABI, e_shnum)."""
    elf.put(EHDR, 0, "e_shnum", 0)
    elf.put(SHDR, elf.shoff, "sh_size", WRAP // 64)


def rows_in_circles(elf):
    off, _, rows = elf.frame_table()
    for i in range(rows):
        struct.pack_into("<i", elf.data, off + 16 + 8 * i, 0)


def lengths(value):
    def change(elf):
        off, _, rows = elf.frame_table()
        for i in range(rows):
            fde = struct.unpack_from("<i", elf.data, off + 16 + 8 * i)[0]
            struct.pack_into("<I", elf.data, off + fde, value)
    return f"entries {value:#x} long", change


def cut(share):
    """Off at a share of what follows the code."""
    def change(elf):
        end = elf.code()[1]
        del elf.data[end + int((len(elf.data) - end) * share):]
    return f"cut at {share} of what follows the code", change


def noise(seed, share):
    """Bytes all over the file, but not in its code, are replaced."""
    def change(elf):
        rng = random.Random(seed)
        start, end = elf.code()
        for _ in range(int(len(elf.data) * share)):
            at = rng.randrange(len(elf.data))
            if not start <= at < end:
                elf.data[at] = rng.randrange(256)
    return f"noise {seed}, {share}", change


def tables_noise(seed):
    """The headers only, and densely."""
    def change(elf):
        rng = random.Random(seed)
        places = list(range(16, 64)) + list(range(elf.phoff, elf.phoff + 56 * elf.phnum))
        places += range(elf.shoff, elf.shoff + 64 * elf.shnum)
        for at in rng.sample(places, 12):
            elf.data[at] = rng.choice((0, 1, 0x7f, 0x80, 0xff))
    return f"headers' noise {seed}", change


def changes(seeds):
    """(title, change) of every copy."""
    fixed = [set_header("e_phoff", value) for value in (0, WRAP, WRAP - 55, 2**63, 1)]
    fixed += [set_header("e_shoff", value) for value in (WRAP, WRAP - 63, 2**63, 3)]
    fixed += [set_header("e_phnum", 0), set_header("e_phnum", 0xffff),
              set_header("e_shnum", 0xffff), set_header("e_phentsize", 0),
              set_header("e_shentsize", 0),
              set_header("e_shstrndx", 0xffff), set_header("e_type", 7), set_header("class", 1),
              ("as many sections as section 0 says", sections_in_zero)]
    fixed += [set_segment(PT_LOAD, "p_offset", WRAP), set_segment(PT_LOAD, "p_filesz", WRAP),
              set_segment(PT_LOAD, "p_vaddr", WRAP - 4095), set_segment(PT_LOAD, "p_filesz", 0),
              set_segment(PT_NOTE, "p_filesz", 2**62), set_segment(PT_NOTE, "p_align", WRAP),
              set_segment(PT_GNU_EH_FRAME, "p_vaddr", 2**63),
              set_segment(PT_GNU_EH_FRAME, "p_filesz", 0), set_segment(PT_LOAD, "p_type", 0)]
    fixed += [set_section(SHT_SYMTAB, name, value) for name, value in
              (("sh_size", 2**63), ("sh_size", WRAP), ("sh_link", 0xffffffff), ("sh_entsize", 0),
               ("sh_offset", WRAP - 23), ("sh_info", WRAP))]
    fixed += [set_section(SHT_STRTAB, "sh_size", 0), set_section(SHT_STRTAB, "sh_size", WRAP),
              set_section(SHT_STRTAB, "sh_offset", WRAP), set_section(SHT_RELA, "sh_size", WRAP),
              set_section(SHT_DYNSYM, "sh_size", 2**40)]
    fixed += [set_program(title, code) for title, code in PROGRAMS.items()]
    fixed += [set_frame_table("2^32 rows", 8, 0xffffffff), set_frame_table("no rows", 8, 0),
              set_frame_table("frames elsewhere", 4, 0x7fffffff),
              set_frame_table("encodings", 0, 0xffffffff),
              ("rows to the table itself", rows_in_circles),
              lengths(0), lengths(0xffffffff),
              lengths(0xfffffff0), lengths(4)]
    fixed += [cut(share) for share in (0, 0.02, 0.3, 0.7, 0.99)]
    return fixed + [noise(seed, 0.01) for seed in range(seeds)] + \
        [noise(seed, 0.2) for seed in range(100, 100 + seeds)] + \
        [tables_noise(seed) for seed in range(200, 200 + seeds)]


def damaged(data, change):
    elf = Elf(data)
    change(elf)
    return bytes(elf.data)

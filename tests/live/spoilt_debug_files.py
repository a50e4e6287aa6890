# SPDX-License-Identifier: MIT
"""Debug files that mean harm: names are looked up by a process beside oxprof, which may hang or die.

oxprof gets a /usr/lib/debug of its own, in a mount namespace: root is needed.
"""
import ctypes
import os
import random
import shutil
import struct
import time

import harness
from harness import Oxprof, Target, has_ended, target_path, wait_until

DEBUG_DIR = "/usr/lib/debug"
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 1 << 18  # linux/sched.h, linux/mount.h
SPIN = "spin_here"
NAMER_S = 2 * 4  # NAMER_PATIENCE_MS, NAMER_HANGS_MAX
VARIANTS = 24

LIBC = ctypes.CDLL(None, use_errno=True)


def check(rc, what):
    if rc != 0:
        raise OSError(ctypes.get_errno(), what)


def enter_namespace_of(pid):
    """For preexec_fn: oxprof sees the files that a process sees."""
    def enter():
        fd = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        check(LIBC.setns(fd, CLONE_NEWNS), "setns")
    return enter


def with_debug_file(name, image):
    """For preexec_fn: the only debug file is this one, and only oxprof sees it."""
    def enter():
        check(LIBC.unshare(CLONE_NEWNS), "unshare")
        check(LIBC.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "mount /")
        check(LIBC.mount(b"none", DEBUG_DIR.encode(), b"tmpfs", 0, None), "mount a tmpfs")
        path = os.path.join(DEBUG_DIR, name)
        os.makedirs(os.path.dirname(path))
        with open(path, "wb") as file:
            file.write(image)
    return enter


def build_id(image):
    """From the note of an ELF file, as hexadecimal digits."""
    at = image.index(b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0")
    return image[at + 16:at + 36].hex()


def section_headers(image):
    """Where each begins: e_shoff, e_shentsize, e_shnum."""
    at, = struct.unpack_from("<Q", image, 40)
    size, count = struct.unpack_from("<HH", image, 58)
    return [at + i * size for i in range(count)]


def without_symbols(image):
    """Its symbol table is something else: SHT_SYMTAB becomes SHT_PROGBITS."""
    image = bytearray(image)
    for at in section_headers(image):
        if struct.unpack_from("<I", image, at + 4)[0] == 2:
            struct.pack_into("<I", image, at + 4, 1)
    return bytes(image)


def spoil(image, moments):
    """Some of it is overwritten: the headers of sections, their contents, or the end is missing."""
    image = bytearray(image)
    sections_at = section_headers(image)[0]
    kind = moments.randrange(4)
    if kind == 0:
        del image[moments.randrange(64, len(image)):]
        return bytes(image)
    low, high = ((sections_at, len(image)), (len(image) // 4, len(image)), (0, 64))[kind - 1]
    for _ in range(moments.choice((1, 10, 1000))):
        at = moments.randrange(low, high)
        image[at] = moments.choice((0, 1, 0x7f, 0xff, moments.randrange(256)))
    return bytes(image)


def namers():
    """Processes of any oxprof that look up names."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        if (harness.read_proc(f"/proc/{entry}/comm") or "").strip() == "oxprof-names":
            found.append(int(entry))
    return found


class DebugFiles(harness.Case):
    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        if not os.path.isdir(DEBUG_DIR):
            self.skipTest(f"there is no {DEBUG_DIR}")
        self.before = set(namers())

    def none_left(self):
        return not [pid for pid in set(namers()) - self.before if not has_ended(pid)]

    def stripped_spin(self):
        """A target without symbols, and what its debug file is to be."""
        path = os.path.join(self.folder(), "spin")
        with open(target_path("spin"), "rb") as file:
            image = file.read()
        with open(path, "wb") as file:
            file.write(without_symbols(image))
        shutil.copymode(target_path("spin"), path)
        digits = build_id(image)
        return path, f".build-id/{digits[:2]}/{digits[2:]}.debug", image

    def sample_with(self, target, name, image):
        with Oxprof("-p", target.pid, "-r", 200, "--samples", 20, "-d", "10s",
                    preexec_fn=with_debug_file(name, image)) as profiler:
            return self.report(profiler.result())

    def test_spoilt(self):
        """Whatever is wrong with a debug file, there is a report, and nothing is left."""
        seed = random.randrange(1 << 32)
        print(f"  seed {seed}", flush=True)
        moments = random.Random(seed)
        path, name, image = self.stripped_spin()
        named = 0
        with Target("spin", path=path) as target:
            report = self.sample_with(target, name, image)
            self.assertGreater(report.total_of(SPIN), 0, f"the file itself serves\n{report.text}")
            for _ in range(VARIANTS):
                report = self.sample_with(target, name, spoil(image, moments))
                self.assertGreater(report.samples, 0)
                named += report.total_of(SPIN) > 0
                self.assert_untouched(target.pid)
            target.finish()
        print(f"  {named} of {VARIANTS} still had the name", flush=True)
        wait_until(self.none_left, "nothing is left")

    def sample_in(self, file_system, target):
        """What oxprof says where /usr/lib/debug is that file system."""
        begin = time.monotonic()
        with Oxprof("-p", target.pid, "-r", 200, "-d", "0.5s",
                    preexec_fn=enter_namespace_of(file_system.pid)) as profiler:
            result = profiler.result()
        took_s = time.monotonic() - begin
        print(f"  {took_s:.1f} s: {result.err!r}", flush=True)
        self.assertLess(took_s, 0.5 + 2 * NAMER_S, result.err)
        return result

    def test_hanging(self):
        """A file system that takes a look-up and never answers: what it was to name has the names of
        its own file, and oxprof says so. Nobody waits for what can't be killed."""
        with Target("hostile_pack", "fuse", target_path("hostile_pack"), DEBUG_DIR, "lookup",
                    "jit") as file_system, Target("spin") as target:
            if "not permitted" in file_system.out.text():
                self.skipTest(file_system.out.text().split("\n")[0])
            result = self.sample_in(file_system, target)
            report = self.report(result)
            self.assertRegex(result.err, r"no names but the file's own for libc\.so\.6: .* took over 2 s")
            self.assertGreater(report.total_of("__libc_start_main"), 0, report.text)
            self.assertGreater(report.total_of(SPIN), 0, report.text)
            self.assertFalse(self.none_left(), "the file system does hold one")
            target.finish()
            file_system.finish()
        wait_until(self.none_left, "it ends when its file system does")


if __name__ == "__main__":
    harness.main()

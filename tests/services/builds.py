# SPDX-License-Identifier: MIT
"""The same small program in several builds, and a C++ program that throws: are stacks whole?"""
import os
import subprocess
import sys

import service


class Waits(service.Service):
    """programs/waits.c as gcc -O2 makes it"""

    compiler = "gcc"
    flags = ["-O2"]

    def prepare(self):
        build = [service.need(self.compiler), *self.flags, "-pthread", "-o", "waits",
                 os.path.join(service.PROGRAMS, "waits.c")]
        subprocess.run(build, cwd=self.directory, check=True, timeout=60)

    def command(self):
        return [os.path.join(self.directory, "waits"), str(self.port)]

    def loads(self):
        return []

    def names(self):
        return [r"cpu: ^crunch \(waits\)$", r"cpu: ^compute \(waits\)$",
                r"wait: ^nap \(waits\)$", r"wait: ^wait_often \(waits\)$"]

    def runs(self):
        yield ["-p", str(self.process.pid)], [self.process.pid], self.names()


class FramePointers(Waits):
    """the same with frame pointers, waiting in libc, which has none"""

    flags = ["-O2", "-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer"]


class OwnCalls(Waits):
    """the same with a system call of its own: where a sleeper's RBP is must be learnt"""

    flags = [*FramePointers.flags, "-DOWN_CALLS"]


class NoOptimization(Waits):
    """the same without optimization: CFAs by RBP throughout"""

    flags = ["-O0"]


class Stripped(Waits):
    """the same stripped: no symbols, no debug information, no section headers that tell"""

    flags = ["-O2", "-s", "-Wl,--build-id=none"]

    def names(self):
        return [r"cpu: \(waits\)$", r"wait: \(waits\)$"]


class MuslStatic(Waits):
    """the same with musl, static: Debian's musl has no CFI"""

    compiler = "musl-gcc"
    flags = ["-O2", "-static"]
    goal = None

    def names(self):
        return [r"cpu: ^crunch \(waits\)$", r"cpu: ^compute \(waits\)$"]


class StrippedCxx(Waits):
    """a stripped C++ program that throws and catches all the time"""

    def prepare(self):
        path = os.path.join(service.ROOT, "tests", "targets", "thrower.cc")
        build = [service.need("g++"), "-O2", "-s", "-fomit-frame-pointer", "-pthread", "-o",
                 "waits", path]
        subprocess.run(build, cwd=self.directory, check=True, timeout=60)

    def wait_ready(self):
        while "ready" not in (service.read_file(self.log_path()) or ""):
            try:
                self.process.wait(0.02)
                return False
            except subprocess.TimeoutExpired:
                pass
        return True

    def names(self):
        return [r"cpu: \(waits\)$", r"cpu: \(libgcc_s"]


if __name__ == "__main__":
    sys.exit(service.main(Waits, FramePointers, OwnCalls, NoOptimization, Stripped, StrippedCxx,
                          MuslStatic))

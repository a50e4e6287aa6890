# SPDX-License-Identifier: MIT
"""Names that mean something to a terminal or to a format come out as plain text."""
import os
import shutil
import subprocess
import unicodedata

import harness
from harness import Oxprof, Report, Target, parse_folded, parse_tsv, target_path

PLACEHOLDER = b"placeholder_for_a_hostile_name"
FUNCTION = b"we;ird\t<b>\x1b]0;pwn\x07\n9 9 \xff\xc3 z 7"
FILE = b"hos\n\x1b[31mtile;\tx\x07 12"


def dangerous(data):
    """The characters that no output may hold."""
    text = data.decode("utf-8", "backslashreplace")
    found = [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c not in "\n\t"]
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        found.append(str(error))
    return found


class Names(harness.Case):
    def setUp(self):
        path = os.path.join(os.fsencode(self.folder()), FILE)
        with open(target_path("hostile"), "rb") as file:
            image = file.read()
        worse = FUNCTION.ljust(len(PLACEHOLDER), b"7")
        self.assertEqual(len(worse), len(PLACEHOLDER), "names of one length")
        self.assertIn(PLACEHOLDER, image)
        with open(path, "wb") as file:
            file.write(image.replace(PLACEHOLDER, worse))
        shutil.copymode(target_path("hostile"), path)
        self.target = Target("hostile", path=os.fsdecode(path))
        self.addCleanup(self.target.__exit__)

    def run_oxprof(self, *args):
        with Oxprof(*args) as profiler:
            code = profiler.wait()
            profiler.out.rest()
            profiler.err.rest()
        out, err = profiler.out.data, profiler.err.data
        self.assertEqual(code, 0, err)
        self.assertEqual(dangerous(out), [], f"in {out!r}")
        self.assertEqual(dangerous(err), [], f"in {err!r}")
        self.target.finish()
        return out.decode()

    def sample_as(self, *args):
        return self.run_oxprof("-p", self.target.pid, "-r", 200, "-d", "1s", *args)

    def test_text(self):
        out = self.sample_as("--threads")
        self.assertNotIn("\t", out)
        report = Report(out)
        self.assertGreater(report.self_of(r"^we;ird.*<b>"), 50, out)
        self.assertEqual(sum(row.self for row in report.rows), report.samples, out)
        self.assertEqual(len(report.thread_hits), 2, f"two threads with names of one line\n{out}")

    def test_tsv(self):
        rows = parse_tsv(self.sample_as("-f", "tsv"))
        self.assertGreater(sum(row["self"] for row in rows if row["function"].startswith("we;ird")),
                           50, rows)

    def test_folded(self):
        stacks = parse_folded(self.sample_as("-f", "folded"))
        self.assertEqual([frames for frames, hits in stacks if hits <= 0 or "" in frames], [])
        named = [frames for frames, _ in stacks if any("ird" in frame for frame in frames)]
        self.assertGreater(len(named), 0, stacks)
        for frames in named:
            self.assertRegex(frames[-1], r"^we.ird", "the name is one frame, and the last")
            self.assertNotRegex(frames[-1], r" [\d.]+$", "readers would take the end for a count")

    def test_dump(self):
        out = self.run_oxprof("dump", "-p", self.target.pid)
        self.assertRegex(out, r"we;ird")


class Aliases(harness.Case):
    def test_one_function_has_one_name(self):
        """glibc's debug information has read() inlined in itself, under another of its names."""
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as cat:
            harness.wait_until(lambda: harness.read_proc(f"/proc/{cat.pid}/syscall").startswith("0 "),
                               "cat that reads")
            result = harness.oxprof("dump", "-p", cat.pid)
            cat.stdin.close()
        self.assertEqual(result.code, 0, result.err)
        stack = [line.split()[0] for line in result.out.splitlines() if line.startswith("    ")]
        self.assertEqual(stack[:2], ["[read:", "read"], result.out)
        self.assertNotIn("read", stack[2:], result.out)


if __name__ == "__main__":
    harness.main()

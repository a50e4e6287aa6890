# SPDX-License-Identifier: MIT
"""Wrong command lines, and the words that explain themselves."""
import os
import re

import harness
from harness import oxprof

WRONG = [
    (["-p", "1abc"], "1abc"),
    (["-p", ""], None),
    (["-p", "-5"], None),
    (["-p", "0"], None),
    (["-p", "99999999999999999999"], "99999999999999999999"),
    (["-p", "1,,2"], None),
    (["-p", "1 2"], None),
    (["-p"], None),
    (["--no-such-option"], "--no-such-option"),
    (["-p", "1", "-r", "0"], None),
    (["-p", "1", "-r", "fast"], "fast"),
    (["-p", "1", "-r", "nan"], "nan"),
    (["-p", "1", "-i", "1us"], "1us"),
    (["-p", "1", "-i", "11s"], "11s"),
    (["-p", "1", "-d", "5x"], "5x"),
    (["-p", "1", "-d", "-1"], "-1"),
    (["-p", "1", "--samples", "0"], None),
    (["-p", "1", "--samples", "many"], "many"),
    (["-p", "1", "--sort", "colour"], "colour"),
    (["-p", "1", "--focus", "a(b"], "a(b"),
    (["-p", "1", "--ignore", "x", "--ignore", "y"], "A|B"),
    (["-p", "1", "-f", "poem"], "poem"),
    (["-p", "1", "-N", "-1"], None),
    (["-p", "1", "--min-percent", "lots"], "lots"),
    (["-p", "1", "--mode", "sideways"], "sideways"),
    (["-p", "1", "--capture", "gently"], "gently"),
    (["-p", "1", "--color", "blue"], "blue"),
    (["-p", "1", "--", "true"], None),
    (["-p", "1", "stray"], "stray"),
    (["--"], None),
    (["-d", "1s"], None),
    (["dump"], None),
    (["dump", "-p", "1abc"], "1abc"),
    (["help", "no-such-command"], None),
]


class Usage(harness.Case):
    def test_wrong(self):
        for args, named in WRONG:
            with self.subTest(args=args):
                result = oxprof(*args)
                self.assertEqual(result.code, 2, f"{args}: {result.err}{result.out}")
                self.assertEqual(result.out, "", f"stdout of {args}")
                self.assertRegex(result.err, r"\Aoxprof", f"stderr of {args}")
                self.assertLessEqual(len(result.err.splitlines()), 4, f"{args}: {result.err}")
                if named:
                    self.assertIn(named, result.err, f"{args}: what was wrong is not named")

    def test_control_characters_are_escaped(self):
        result = oxprof("-p", "\033]0;pwn\a")
        self.assertEqual(result.code, 2, result.err)
        self.assertNotIn("\033", result.err)

    def test_no_arguments(self):
        result = oxprof()
        self.assertEqual((result.code, result.out), (2, ""), result.err)
        self.assertRegex(result.err, r"(?i)usage: *oxprof")

    def test_unknown_command(self):
        result = oxprof("myprog")
        self.assertEqual((result.code, result.out), (2, ""))
        self.assertEqual(result.err.splitlines()[0],
                         "oxprof: unknown command 'myprog' (to run a program: oxprof -- myprog)")

    def test_help(self):
        texts = [oxprof(word) for word in ("-h", "--help")]
        self.assertEqual(texts[0], texts[1])
        self.assertEqual((texts[0].code, texts[0].err), (0, ""))
        lines = texts[0].out.splitlines()
        self.assertLessEqual(max(map(len, lines)), 100, "columns")
        self.assertLessEqual(len(lines), 40, "a screenful")
        for word in ("--pid", "--rate", "--duration", "--children", "--output", "dump"):
            self.assertIn(word, texts[0].out)
        examples = [line for line in lines if line.lstrip(" $").startswith("oxprof ")]
        self.assertGreaterEqual(len(examples), 3, f"examples\n{texts[0].out}")

    def test_formats_are_the_same_everywhere(self):
        """What a wrong -f offers, the help, the manual page and the completion."""
        offered = re.search(r"want (.*)", oxprof("-f", "nonsense").err)[1]
        formats = re.split(r", | or ", offered)
        self.assertGreaterEqual(len(formats), 10, formats)
        root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
        for name in ("man/oxprof.1", "completions/oxprof"):
            with open(os.path.join(root, name), encoding="utf-8") as file:
                self.assert_words(formats, file.read(), name)
        self.assert_words(formats, oxprof("--help").out, "help")
        self.assert_words(set(formats) - {"firefox"}, oxprof("report", "--help").out, "report")

    def assert_words(self, words, text, where):
        for word in words:
            self.assertRegex(text, rf"\b{word}\b", where)

    def test_version(self):
        for word in ("-V", "--version"):
            result = oxprof(word)
            self.assertEqual((result.code, result.err), (0, ""))
            self.assertRegex(result.out, r"\Aoxprof \d+\.\d+\.\d+\b")

    def test_help_of_a_command(self):
        result = oxprof("help", "dump")
        self.assertEqual(result.code, 0, result.err)
        self.assertIn("dump", result.out)


if __name__ == "__main__":
    harness.main()

# SPDX-License-Identifier: MIT
"""The programs that people open profiles with read what oxprof writes, and find the same numbers.

go and callgrind_annotate are Debian's. The others come from npm, into the build directory, where
`./dev test` puts them; nothing is downloaded from here.
"""
import base64
import json
import os
import re
import shutil
import socket
import subprocess
import unittest

import chromium
import harness
from harness import Target, oxprof, parse_tsv

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = os.environ.get("READERS", os.path.join(HERE, "node_modules"))
PROFILER_CLI = os.path.join(MODULES, "@firefox-devtools/profiler-cli/dist/profiler-cli.js")
SPEEDSCOPE = os.path.join(MODULES, "speedscope/dist/release")
LOAD_S = 60
NODE_FIRST = 20  # that profiler-cli runs with
HOSTILE = '</script><img onerror=x>;"\\ 1'
HARMLESS = "hostile_function".ljust(len(HOSTILE), "_")


WAIT_FOR = """new Promise((done, fail) => {
    const end = Date.now() + 30000, look = () => {
        if (%s) done(true);
        else if (Date.now() > end) fail(new Error("it does not show"));
        else setTimeout(look, 50);
    };
    look();
})"""
ROWS = """[...document.querySelectorAll("table tr")].map(
    row => [...row.querySelectorAll("td")].map(cell => cell.innerText.trim()))"""


def needs(program):
    return unittest.skipUnless(shutil.which(program), f"no {program}")


def run(*argv, seconds=120, **options):
    return subprocess.run([str(arg) for arg in argv], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=seconds,
                          check=False, encoding="utf-8", **options)


def node_version():
    text = run("node", "--version").stdout if shutil.which("node") else ""
    return int(re.match(r"v(\d+)", text).group(1)) if text else 0


def needs_npm(*packages):
    missing = [name for name in packages if not os.path.isdir(os.path.join(MODULES, name))]
    if node_version() < NODE_FIRST:
        return unittest.skip(f"no node {NODE_FIRST} or later")
    return unittest.skipIf(missing, f"no {', '.join(missing)} from npm (./dev test fetches them)")


def plain(text):
    """A row of the tsv escapes backslashes."""
    return text.replace("\\x5c", "\\")


class Readers(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.shared = harness.tempfile.mkdtemp(prefix="oxprof-test-")
        cls.addClassCleanup(shutil.rmtree, cls.shared)
        program = cls.file("hostile_names")
        with open(harness.target_path("hostile_names"), "rb") as file:
            code = file.read()
        with open(program, "wb") as file:
            file.write(code.replace(HARMLESS.encode(), HOSTILE.encode()))
        os.chmod(program, 0o755)
        with Target("hostile_names", path=program) as target:
            for name in ("p.pb.gz", "p.firefox.json"):
                result = oxprof("record", "-q", "-d", "1500ms", "-r", 200, "-o", cls.file(name),
                                "-p", target.pid)
                if result.code != 0:
                    raise AssertionError(result)
            target.finish()
        for name in ("p.tsv", "p.callgrind", "p.perf", "p.folded", "p.speedscope.json"):
            if oxprof("report", cls.file("p.pb.gz"), "-o", cls.file(name)).code != 0:
                raise AssertionError(name)
        cls.self_hits, cls.total = {}, 0
        with open(cls.file("p.tsv"), encoding="utf-8") as file:
            for row in parse_tsv(file.read()):
                name = plain(row["function"])
                cls.total += row["self"]
                if row["self"]:
                    cls.self_hits[name] = cls.self_hits.get(name, 0) + row["self"]

    @classmethod
    def file(cls, name):
        return os.path.join(cls.shared, name)

    def check_numbers(self, total, self_hits):
        self.assertEqual(total, self.total)
        self.assertEqual(self_hits, self.self_hits)

    def test_there_is_something_to_read(self):
        self.assertGreater(self.self_hits[HOSTILE], 20, self.self_hits)
        self.assertTrue(any("fold<int>" in name for name in self.self_hits), self.self_hits)

    def pprof(self, *args):
        env = {**os.environ, "PPROF_TMPDIR": self.shared, "HOME": self.shared,
               "PPROF_BINARY_PATH": "/nonexistent"}
        result = run("go", "tool", "pprof", *args, self.file("p.pb.gz"), env=env)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result

    @needs("go")
    def test_go_tool_pprof(self):
        """The total, SELF of each function; no warning, nothing to be named again."""
        result = self.pprof("-top", "-nodecount=100000")
        self.assertEqual(result.stderr, "")
        self.assertRegex(result.stdout, r"(?m)^File: hostile_names$")
        total = int(re.search(r"Total samples = (\d+) *$", result.stdout, re.M).group(1))
        rows = re.findall(r"^ *(\d+) +[\d.]+% +[\d.]+% +\d+ +[\d.]+%  (.*)$", result.stdout, re.M)
        # it takes the parameters off
        found = {name.replace(" (inline)", ""): int(hits) for hits, name in rows if int(hits)}
        self.assertEqual(total, self.total)
        self.assertEqual(sum(found.values()), self.total)
        self.assertEqual(found[HOSTILE], self.self_hits[HOSTILE])

    @needs("go")
    def test_go_tool_pprof_in_all_views(self):
        for view in ("-traces", "-tree", "-peek=.", "-raw", "-dot", "-callgrind", "-tags"):
            self.assertTrue(self.pprof("-symbolize=none", view, "-output=/dev/stdout").stdout, view)
        tags = self.pprof("-tags").stdout
        for label in ("thread", "tid", "pid", "state"):
            self.assertRegex(tags, rf"(?m)^ *{label}: Total {self.total}")

    def annotate(self, inclusive):
        result = run("callgrind_annotate", "--auto=no", "--threshold=100", "--show-percs=no",
                     f"--inclusive={inclusive}", self.file("p.callgrind"))
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        rows = re.findall(r"^ *([\d,]+) +[\d,.]+ +[\d,.]+  (\S*?):(.*) \[[^]]*\]$", result.stdout,
                          re.M)
        total = re.search(r"^ *([\d,]+) .*PROGRAM TOTALS", result.stdout, re.M).group(1)
        return int(total.replace(",", "")), [(name, int(hits.replace(",", "")))
                                             for hits, _, name in rows]

    @needs("callgrind_annotate")
    def test_callgrind_annotate(self):
        """It exits 0 on malformed files: the costs must add up, none above the total."""
        total, rows = self.annotate("no")
        found = {}
        for name, hits in rows:
            name = re.sub(r"'\d+$", "", name)  # where it is called again
            found[name] = found.get(name, 0) + hits
        self.check_numbers(total, {name: hits for name, hits in found.items() if hits})
        total, rows = self.annotate("yes")
        self.assertEqual(max(hits for _, hits in rows), total - self.self_hits_of_idle())

    def self_hits_of_idle(self):
        """All but the idler's stacks begin at _start."""
        stacks = oxprof("report", self.file("p.pb.gz"), "-f", "folded").out.splitlines()
        sums = {}
        for line in stacks:
            root, hits = line.split(";")[0], int(line.rsplit(" ", 1)[1])
            sums[root] = sums.get(root, 0) + hits
        return self.total - max(sums.values())

    @needs_npm("pprof-format")
    def test_npm_pprof_format(self):
        result = run("node", os.path.join(HERE, "pprof.mjs"), MODULES, self.file("p.pb.gz"))
        self.assertEqual(result.returncode, 0, result.stderr)
        read = json.loads(result.stdout)
        self.check_numbers(read["total"], read["self"])

    @needs_npm("speedscope", "ajv")
    def test_speedscope_schema(self):
        result = run("node", os.path.join(HERE, "schema.mjs"), MODULES,
                     os.path.join(SPEEDSCOPE, "file-format-schema.json"),
                     self.file("p.speedscope.json"))
        self.assertEqual(result.returncode, 0, result.stderr)

    def speedscope(self, browser, name):
        """{function: [total, self, function]} as its table of the first profile shows them."""
        with open(self.file(name), "rb") as file:
            data = base64.b64encode(file.read()).decode()
        script = self.file("profile.js")
        with open(script, "w", encoding="ascii") as file:
            file.write(f"speedscope.loadFileFromBase64({json.dumps(name)}, {json.dumps(data)})")
        # a query of its own: where only the part behind # differs, nothing is loaded
        browser.open(f"{SPEEDSCOPE}/index.html?{name}#localProfilePath={script}")
        browser.run(WAIT_FOR % "/Time Order/.test(document.body.innerText)")
        browser.press("3", "3")
        browser.run(WAIT_FOR % "document.querySelector('table tr td')")
        self.assertEqual(browser.happened("Page.javascriptDialogOpening"), [])
        self.assertEqual(browser.happened("Runtime.exceptionThrown"), [])
        return {row[2]: row for row in browser.run(ROWS) if len(row) == 3}

    @needs_npm("speedscope")
    @unittest.skipUnless(chromium.program(), "no chromium")
    def test_speedscope(self):
        """Its own application reads each format that it knows; the first thread's numbers."""
        browser = self.enterContext(chromium.Browser("--allow-file-access-from-files"))
        for name in ("p.speedscope.json", "p.perf", "p.folded", "p.pb.gz"):
            rows = self.speedscope(browser, name)
            if name == "p.speedscope.json":
                self.assertEqual(int(rows[HOSTILE][1].split()[0]), self.self_hits[HOSTILE])
            self.assertTrue(any("img onerror=x" in function for function in rows), rows)

    def profiler_cli(self, *args):
        env = {**os.environ, "PROFILER_CLI_SESSION_DIR": self.shared}
        return run("node", PROFILER_CLI, *args, "--session", "s", env=env)

    def load(self, path):
        """Its daemon, started by ourselves: `load` gives it half a second, which busy machines don't
        always keep."""
        daemon = subprocess.Popen(
            ["node", PROFILER_CLI, "--daemon", path, "--session", "s"], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "PROFILER_CLI_SESSION_DIR": self.shared})
        self.addCleanup(daemon.wait)
        self.addCleanup(daemon.kill)
        harness.wait_until(lambda: daemon.poll() is not None or self.is_reachable(),
                           "profiler-cli's daemon", LOAD_S)
        answer = self.profiler_cli("profile", "info", "--json")
        self.assertEqual(answer.returncode, 0, f"it does not load: {answer.stderr}")
        return daemon

    def is_reachable(self):
        """A client that finds the daemon's description but not yet its socket deletes the former."""
        try:
            with open(os.path.join(self.shared, "s.json"), encoding="utf-8") as file, \
                    socket.socket(socket.AF_UNIX) as client:
                client.connect(json.load(file)["socketPath"])
            return True
        except (OSError, ValueError):
            return False

    def functions_of(self, thread):
        answer = self.profiler_cli("thread", "functions", "--thread", thread, "--include-idle",
                                   "--json", "--limit", "0")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        return {function["name"]: function["selfSamples"]
                for function in json.loads(answer.stdout)["functions"] if function["selfSamples"]}

    @needs_npm("@firefox-devtools/profiler-cli")
    def test_firefox_profiler(self):
        """Mozilla's loader reads the timed profile, and perf's text: hits of each thread."""
        with open(self.file("p.firefox.json"), encoding="utf-8") as file:
            written = json.load(file)["threads"]
        daemon = self.load(self.file("p.firefox.json"))
        for i, thread in enumerate(written):
            self.assertEqual(sum(self.functions_of(f"t-{i}").values()),
                             sum(thread["samples"]["weight"]))
        self.profiler_cli("stop")
        daemon.wait(harness.END_S)
        self.load(self.file("p.perf"))
        self.assertEqual(sum(sum(self.functions_of(f"t-{i}").values()) for i in range(2)),
                         self.total)


if __name__ == "__main__":
    harness.main()

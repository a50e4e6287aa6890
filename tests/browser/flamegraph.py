# SPDX-License-Identifier: MIT
"""The flame graph in headless Chromium: what it shows is what the other formats say.

PROFILES names the program that prints made-up profiles in any format. Skipped where there is no
Chromium (apt-get install chromium).
"""
import collections
import os
import re
import subprocess
import unittest

import chromium
import harness
from harness import Target, oxprof

PROFILES = os.environ.get("PROFILES", "build/tests/browser/profiles")
ROW = re.compile(r"^ *(\d+) +([\d.]+) +(\d+) +([\d.]+) +(\S+) +(.*)$")
DIFF_ROW = re.compile(r"^ *([\d.]+) +([\d.]+) +([-+][\d.]+) +([\d.]+) +(\S+) +(.*)$")
MANY = "3000"
MIXED_CPU, MIXED_ALL = 748, 2760
CHANGED_CPU = 1540
HOSTILE_NAME = '</script><img onerror=x>;"\\ 1'
CONTRAST_AA = 4.5

# The cells of each row, all rows shown; the last one as function and place.
TABLE = """(() => {
    for (const more = document.getElementById("more"); !more.hidden;) more.click();
    return [...document.querySelectorAll("#table tbody tr")].map(tr => [
        ...[...tr.cells].slice(0, -1).map(td => td.textContent),
        tr.lastChild.querySelector("button").textContent,
        (tr.lastChild.querySelector(".place") || {textContent: ""}).textContent]);
})()"""

# The same of two profiles, as the text report writes them; the last cell: whether it is coloured.
DIFF_TABLE = """[...document.querySelectorAll("#table tbody tr")].map(tr => {
    const plain = i => tr.cells[i].textContent.replace(/[%\u00b1]/g, "").replace("\u2212", "-");
    const place = tr.querySelector(".place");
    return [plain(0), plain(1), plain(2), plain(3), plain(4), tr.querySelector("button").textContent +
        (place ? ` (${place.textContent})` : ""), /gained|lost/.test(tr.cells[2].className)];
})"""

# Every stack with samples of its own, root first.
STACKS = """(() => {
    const {view, chart} = oxprof, stacks = [], path = [];
    for (let i = 1; i < view.n; i++) {
        path.length = view.depth[i] - 1;
        path.push(chart.nameOf(i));
        if (view.self[i]) stacks.push([path.join(";"), view.self[i]]);
    }
    return stacks;
})()"""

# The middle of the first block of this name, in the window.
BLOCK = """(name => {
    const {view, chart} = oxprof, frame = document.getElementById("chart");
    const {left, top} = frame.getBoundingClientRect();
    for (let depth = 0; depth < chart.rows.length; depth++)
        for (const box of chart.rows[depth])
            if (box.i >= 0 && chart.nameOf(box.i) === name)
                return [left + box.x + box.w / 2, top + chart.top(depth) + 10 - frame.scrollTop];
    return null;
})"""

# The least contrast of a block's text, in each theme; WCAG 2.1, relative luminance.
CONTRASTS = """(() => {
    const ctx = Object.assign(document.createElement("canvas"), {width: 1, height: 1})
        .getContext("2d", {willReadFrequently: true});
    const light = color => {
        ctx.fillStyle = color;
        ctx.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...ctx.getImageData(0, 0, 1, 1).data].map(v => v / 255).map(
            v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const contrast = (a, b) => (Math.max(light(a), light(b)) + 0.05) /
        (Math.min(light(a), light(b)) + 0.05);
    const styles = getComputedStyle(document.documentElement);
    const of = name => styles.getPropertyValue(name);
    const least = {};
    for (const [name, theme] of Object.entries(THEMES))
        least[name] = Math.min(contrast(theme.match, theme.matchText),
            contrast(theme.all, theme.text),
            ...[-1, -0.8, -0.1, 0, 0.1, 0.8, 1].map(
                change => contrast(diffColor(name, change), theme.text)),
            ...oxprof.model.functions.map(f => contrast(colorOf(f, theme), theme.text)),
            ...oxprof.model.functions.map(f => contrast(theme.ground, theme.text)));
    for (const name of ["--text", "--quiet", "--accent", "--wrong", "--gained-text", "--lost-text"])
        for (const ground of ["--ground", "--raised"])
            least[`${name} on ${ground}`] = contrast(of(name), of(ground));
    least["--accent on --pressed"] = contrast(of("--accent"), of("--pressed"));
    return least;
})()"""


def printed(profile, form):
    return subprocess.run([PROFILES, profile, form], check=True, capture_output=True,
                          timeout=harness.END_S).stdout.decode()


def report_blocks(text, row=ROW):
    """{"on CPU": rows, "waiting": rows} of a text report, its columns as they stand there."""
    blocks, rows = {}, None
    for line in text.splitlines():
        title = re.match("# (on CPU|waiting)(:|$)", line)
        if title:
            rows = blocks.setdefault(title[1], [])
        elif not line.startswith("#"):
            rows.append(row.match(line).groups())
    return blocks


@unittest.skipUnless(chromium.program(), "no chromium here: apt-get install chromium")
class FlameGraph(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.browser = cls.enterClassContext(chromium.Browser())

    def show(self, profile, width=1280, height=900, dark=False):
        path = os.path.join(self.folder(), "profile.html")
        with open(path, "w", encoding="utf-8") as file:
            file.write(printed(profile, "flamegraph"))
        self.open(path, width, height, dark)

    def open(self, path, width=1280, height=900, dark=False):
        self.browser.screen(width, height, dark)
        self.browser.open(path)
        self.browser.settle()

    def tearDown(self):
        self.assertEqual(self.browser.complaints(), [], "script errors, or refused by the policy")
        requests = self.browser.requests()
        self.assertEqual(len(requests), 1, requests)
        self.assertTrue(requests[0].startswith("file://"), requests)

    # ---- what a person does and sees

    def text(self, name):
        return self.browser.run(f"document.getElementById('{name}').innerText")

    def choose(self, name, value):
        """A radio button or an entry of a list."""
        self.browser.run(f"""(() => {{
            const control = document.getElementById("{name}");
            if (control.tagName !== "SELECT")
                return control.querySelector('[value="{value}"]').click();
            control.value = "{value}";
            control.dispatchEvent(new Event("change", {{bubbles: true}}));
        }})()""")
        self.browser.settle()

    def point_of(self, name):
        point = self.browser.run(f"{BLOCK}({name!r})")
        self.assertIsNotNone(point, f"no block '{name}' on the screen")
        return point

    def click(self, name):
        self.browser.click(*self.point_of(name))

    def search(self, text):
        self.browser.press("/", "/")
        self.browser.type(text)

    def table(self):
        """Rows as (self, self %, total, total %, kind, "function (place)")."""
        return [(own.replace(",", ""), own_share[:-1], total.replace(",", ""), share[:-1], kind,
                 f"{name} ({place})" if place else name)
                for own, own_share, total, share, kind, name, place in self.browser.run(TABLE)]

    def stacks(self):
        return collections.Counter(dict(self.browser.run(STACKS)))

    # ---- the same numbers

    def test_table_is_the_text_report(self):
        """Row for row, in its order, percentages included, both states."""
        for profile in ("mixed", "hostile", MANY):
            self.show(profile)
            blocks = report_blocks(printed(profile, "text"))
            for state, title in (("cpu", "on CPU"), ("wait", "waiting")):
                self.choose("state", state)
                with self.subTest(profile=profile, state=state):
                    self.assertEqual(self.table(), blocks[title])

    def test_differences_are_those_of_the_text(self):
        """The functions that the text shows, with its figures, and no others as news."""
        self.show("diff")
        blocks = report_blocks(printed("diff", "text"), DIFF_ROW)
        for state, title in (("cpu", "on CPU"), ("wait", "waiting")):
            self.choose("state", state)
            news = [tuple(cells) for *cells, said in self.browser.run(DIFF_TABLE) if said]
            with self.subTest(state=state):
                self.assertEqual(news, blocks[title])

    def test_gained_and_lost(self):
        """Blocks as wide as the mean of their shares; two colours, and one for what is no news."""
        self.show("diff")
        self.assertEqual(self.text("title"), "pid 4242 (app) \u2192 pid 5151 (app)")
        colors = {name: self.browser.run(f"""(() => {{ const {{view, chart}} = oxprof;
            const all = chart.rows.flat().filter(b => b.i >= 0 && chart.nameOf(b.i) === {name!r});
            const sum = all.reduce((n, b) => n + view.total[b.i], 0);
            return [chart.fill(all[0]), sum / view.total[0]]; }})()""")
            for name in ("crunch", "polish", "main", "work(int, std::vector<int> const&)")}
        hue = {name: re.match(r"hsl\((\d+)", color) for name, (color, _) in colors.items()}
        self.assertEqual((hue["crunch"][1], hue["polish"][1]), ("212", "14"))
        self.assertIsNone(hue["main"])
        self.assertIsNone(hue["work(int, std::vector<int> const&)"])
        self.assertAlmostEqual(colors["crunch"][1], (230 / MIXED_CPU + 0) / 2)
        self.assertAlmostEqual(colors["polish"][1], (0 + 390 / CHANGED_CPU) / 2)

    def test_hover_and_search_tell_both_sides(self):
        self.show("diff")
        self.browser.hover(*self.point_of("<listcomp>"))
        rows = [row.split() for row in self.text("tip").split("\n")[-2:]]
        self.assertEqual(rows, [[what, "161", "21.52%", "640", "41.56%", "+20.03", "\u00b16.07"]
                                for what in ("total", "self")])
        self.search("polish|crunch")
        self.assertEqual(self.text("matched"), "30.75% \u2192 25.32%")
        self.browser.press("Escape")
        self.click("parse")
        self.assertEqual(self.text("zoomed"), "total 44.65% before, 51.95% after, "
                         "difference +7.30 \u00b16.66")
        self.browser.run("document.getElementById('chart').focus({focusVisible: true})")
        self.browser.press("ArrowDown")
        self.browser.press("ArrowDown")
        self.assertEqual(self.text("said").split(", ")[0], "<listcomp>")

    def test_blocks_are_the_folded_stacks(self):
        """Both states, each process by itself: what the format "folded" writes."""
        self.show("mixed")
        self.choose("state", "both")
        self.choose("split", "process")
        folded = collections.Counter()
        for frames, hits in harness.parse_folded(printed("mixed", "folded")):
            folded[";".join(re.sub(r" \(/srv/.*\)$", "", frame) for frame in frames)] += hits
        self.assertEqual(self.stacks(), folded)

    def test_many_stacks(self):
        """The graph's own samples add up, and no block is wider than its caller."""
        self.show(MANY)
        stacks = harness.parse_folded(printed(MANY, "folded"))
        self.choose("state", "both")
        self.assertEqual(sum(self.stacks().values()), sum(hits for _, hits in stacks))
        self.assertTrue(self.browser.run("""(() => { const v = oxprof.view;
            for (let i = 1; i < v.n; i++)
                if (v.start[i] < v.start[v.parent[i]] || v.start[i] + v.total[i] >
                    v.start[v.parent[i]] + v.total[v.parent[i]]) return false;
            return v.n > 3000; })()"""))

    def test_head_is_the_report_s(self):
        self.show("mixed")
        report = harness.Report(printed("mixed", "text"))
        self.assertEqual(self.text("title"), report.title)
        facts = re.sub(r"\s+", " ", self.text("facts")).replace(",", "")
        for fact in (f"Samples {report.samples}", f"{report.cpu} on CPU ({report.busy} CPUs busy)",
                     f"{report.waiting} waiting", f"Lost {report.lost}", "3 unwind",
                     "1 thread gone", "3 stacks truncated (2 took too much to unwind) 1 Python stack "
                     "without its place", "Cost 0.14%", "412 stops 17 \u00b5s mean 61 \u00b5s max",
                     "0 system calls disturbed", "oxprof 0.9% of a CPU 14 MiB"):
            self.assertIn(fact, facts)

    def test_real_run(self):
        """oxprof itself writes it, by the suffix of the file; what it counted is in it."""
        path = os.path.join(self.folder(), "run.html")
        with Target("spin") as target:
            result = oxprof("-p", target.pid, "-r", 200, "-d", "500ms", "-o", path)
        self.assertEqual(result.code, 0, result.err)
        self.open(path)
        rows = self.table()
        self.assertTrue(rows)
        samples = self.browser.run("oxprof.model.counts.samples.cpu")
        self.assertEqual(sum(int(row[0]) for row in rows), samples)
        self.assertGreater(samples, 30)
        self.assertIn(str(target.pid), self.text("title"))

    # ---- zoom, search, hover, keys

    def test_click_zooms_and_escape_resets(self):
        self.show("mixed")
        self.assertEqual(self.text("zoomed"), f"{MIXED_CPU} samples")
        self.click("parse")
        self.assertEqual(self.text("path").split("\n"), ["all", "main", "parse"])
        self.assertEqual(self.text("zoomed"),
                         "total 334 samples, 44.65% of on CPU, 12.10% of all, self 77")
        self.assertEqual(self.table()[0], ("161", "48.20", "161", "48.20", "python",
                                           "<listcomp> (/srv/tokens.py:5)"))
        self.click("main")
        self.assertEqual(self.text("path").split("\n"), ["all", "main"])
        self.browser.press("Escape")
        self.assertEqual(self.text("path"), "all")

    def test_crumbs_lead_back(self):
        self.show("mixed")
        self.click("crunch")
        self.browser.run("document.querySelectorAll('#path button')[2].click()")
        self.assertEqual(self.text("path").split("\n"), ["all", "main", "run"])

    def test_hover_tells(self):
        self.show("mixed")
        self.click("run")
        self.browser.hover(*self.point_of("work(int, std::vector<int> const&)"))
        self.assertEqual(self.text("tip-name"), "work(int, std::vector<int> const&)")
        self.assertEqual(self.text("tip-place"), "native \u00b7 app \u00b7 /src/work.cc:12")
        rows = [row.split() for row in self.text("tip").split("\n")[-2:]]
        self.assertEqual(rows, [["total", "331", "44.25%", "11.99%", "80.54%"],
                                ["self", "119", "15.91%", "4.31%", "28.95%"]])

    def test_search(self):
        """Matched samples count once, whether a caller, a callee or both match."""
        self.show("mixed")
        self.search("FIB|work")
        self.assertEqual(self.text("matched"), "384 of 748: 51.34%")
        self.assertEqual([row[5] for row in self.table()],
                         ["work(int, std::vector<int> const&) (app)", "fib (app)"])
        self.browser.press("Escape")
        self.assertEqual((self.text("matched"), len(self.table())), ("", 12))
        self.search("(")
        self.assertIn("not a pattern", self.text("matched"))
        self.assertEqual(len(self.table()), 12)

    def test_keys(self):
        """Down to the widest callee, aside, back up; each is said; Enter, Backspace, Escape."""
        self.show("mixed")
        self.browser.run("document.getElementById('chart').focus({focusVisible: true})")
        for key, said in (("ArrowDown", "all"), ("ArrowDown", "main"), ("ArrowDown", "run"),
                          ("ArrowRight", "parse"), ("ArrowDown", "<listcomp>"),
                          ("ArrowRight", "LazyCompile:*render"), ("ArrowLeft", "<listcomp>"),
                          ("ArrowUp", "parse")):
            self.browser.press(key)
            self.assertEqual(self.text("said").split(", ")[0], said, key)
        self.assertIn("total 334 samples, 44.65% of on CPU", self.text("said"))
        self.browser.press("Enter")
        self.assertEqual(self.text("path").split("\n"), ["all", "main", "parse"])
        self.browser.press("Backspace")
        self.assertEqual(self.text("path").split("\n"), ["all", "main"])
        self.browser.press("Escape")
        self.assertEqual(self.text("path"), "all")

    def test_every_control_is_reached_by_tab(self):
        self.show("mixed")
        active = "document.activeElement.name || document.activeElement.id"
        reached = set()
        for _ in range(20):
            self.browser.press("Tab")
            reached.add(self.browser.run(active))
        wanted = {"state", "thread", "split", "order", "grow", "search", "chart"}
        self.assertLessEqual(wanted, reached)

    def test_stacks_grow_up(self):
        self.show("mixed")
        down = self.point_of("main")[1] - self.point_of("run")[1]
        self.choose("grow", "flame")
        self.assertEqual(self.point_of("main")[1] - self.point_of("run")[1], -down)
        self.click("parse")
        self.assertEqual(self.text("path").split("\n"), ["all", "main", "parse"])

    # ---- states and threads

    def test_states_apart_and_together(self):
        self.show("mixed")
        for state, samples in (("cpu", MIXED_CPU), ("wait", 2012), ("both", MIXED_ALL)):
            self.choose("state", state)
            self.assertEqual(self.browser.run("oxprof.view.total[0]"), samples)

    def test_one_thread(self):
        self.show("mixed")
        names = self.browser.run("[...document.getElementById('thread').options].map(o => o.text)")
        self.assertEqual(names, ["all 3 threads", "app (4242)", "worker (4243)", "helper (4300)"])
        self.choose("thread", names.index("worker (4243)") - 1)
        self.assertEqual(self.text("zoomed"), "334 samples")
        self.choose("state", "wait")
        self.assertEqual(self.text("zoomed"), "1,485 samples")

    def test_split_by_thread(self):
        self.show("mixed")
        self.choose("split", "thread")
        tops = self.browser.run(
            "[...oxprof.view.labels].map(([i, name]) => [name, oxprof.view.total[i]])")
        self.assertEqual(tops, [["app (4242)", 393], ["worker (4243)", 334], ["helper (4300)", 21]])

    def test_zoom_and_search_outlive_an_update(self):
        """New data numbers functions anew; another thread and twice the hits come in."""
        self.show("mixed")
        self.choose("thread", 1)
        self.search("render")
        self.click("parse")
        self.browser.press("Escape")
        self.search("render")
        self.browser.run("document.getElementById('chart').focus({focusVisible: true})")
        for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
            self.browser.press(key)
        self.browser.run("""(() => {
            const data = JSON.parse(document.getElementById("oxprof-data").textContent);
            data.functions.unshift([0, 0, 0, 0, 0, 0]);
            data.nodes = data.nodes.map((v, i) => i % 2 ? v : v + 1);
            data.threads.unshift([9, 9, 0, 0]);
            data.counts = data.counts.map((v, i) => [v, v + 2, 2 * v][i % 3]);
            oxprof.update(data);
        })()""")
        self.browser.settle()
        self.assertEqual(self.text("path").split("\n"), ["all", "main", "parse"])
        self.assertEqual(self.text("matched"), "132 of 668: 19.76%")
        self.assertEqual(self.browser.run("oxprof.chart.nameOf(oxprof.chart.selected)"),
                         "LazyCompile:*render")

    # ---- safe, readable, for everybody

    def test_hostile_names_stay_text(self):
        self.show("hostile")
        self.assertIn(HOSTILE_NAME, [row[5].split(" (")[0] for row in self.table()])
        self.search("onerror")
        self.click(HOSTILE_NAME)
        self.browser.hover(*self.point_of(HOSTILE_NAME))
        self.assertEqual(self.text("tip-name"), HOSTILE_NAME)
        self.assertEqual(self.text("path").split("\n"), ["all", HOSTILE_NAME])
        self.assertEqual(self.browser.run("document.querySelector('img, svg, b, i, iframe')"), None)
        self.assertEqual(self.browser.run("document.scripts.length"), 2)
        self.assertEqual(self.browser.happened("Page.javascriptDialogOpening"), [])

    def test_policy_refuses_foreign_scripts(self):
        """Even a script that found its way into the page is not run, and nothing is fetched."""
        self.show("mixed")
        self.browser.run("""(() => {
            const script = document.createElement("script");
            script.textContent = "window.foreign = true";
            document.body.append(script);
            document.body.append(Object.assign(new Image(), {src: "https://example.org/x.png"}));
        })()""")
        self.browser.settle()
        self.assertIsNone(self.browser.run("window.foreign"))
        self.assertEqual(len(self.browser.complaints()), 2, self.browser.complaints())
        self.browser.events = [e for e in self.browser.events if e.get("method") != "Log.entryAdded"
                               and "example.org" not in str(e)]

    def test_broken_data_is_said(self):
        path = os.path.join(self.folder(), "broken.html")
        with open(path, "w", encoding="utf-8") as file:
            file.write(printed("mixed", "flamegraph").replace("stacks/1", "stacks/9", 1))
        self.open(path)
        self.assertIn("oxprof.stacks/9", self.text("failure"))

    def test_contrast(self):
        """Every text on every ground, in both themes: WCAG AA."""
        for profile in ("mixed", MANY):
            for dark in (False, True):
                self.show(profile, dark=dark)
                for what, contrast in self.browser.run(CONTRASTS).items():
                    self.assertGreaterEqual(contrast, CONTRAST_AA, f"{what}, dark: {dark}")

    def test_fits_every_width(self):
        """Nothing sticks out sideways, and the canvas is as wide as its place."""
        for profile in ("mixed", "hostile", MANY, "diff", "diff-hostile"):
            for width in (320, 768, 2560):
                self.show(profile, width=width)
                self.assertEqual(self.browser.run("document.documentElement.scrollWidth"), width)
                self.assertEqual(self.browser.run("oxprof.chart.canvas.width"),
                                 self.browser.run("document.getElementById('chart').clientWidth"))


if __name__ == "__main__":
    harness.main()

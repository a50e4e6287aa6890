# SPDX-License-Identifier: MIT
"""The bench's figures as one HTML page that needs neither network nor scripts, light and dark."""
import math
from html import escape

import table

STYLE = """
:root { color-scheme: light dark; --page: #fbfbf9; --card: #fff; --ink: #1c1e21; --soft: #5d636b;
  --line: #dddfe3; --ours: #1f5fbf; --theirs: #8a929c; --heat: 31 95 191; --good: #1a7f4b;
  --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --page: #141619; --card: #1c1f23; --ink: #e7e9ec;
  --soft: #a0a7b0; --line: #353a41; --ours: #6ea8ff; --theirs: #7c858f; --heat: 110 168 255;
  --good: #5fc994; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 1400px; background: var(--page);
  color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem; }
h3 { font-size: 1rem; margin: 0; } p { margin: .2rem 0 .8rem; color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: .9rem 1rem; margin: .8rem 0; }
.charts { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; } figure { margin: .3rem 0; }
figcaption { color: var(--soft); font-size: 13px; } svg { max-width: 100%; height: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th { font-weight: 600; color: var(--soft); } th, td { padding: .22rem .55rem; text-align: right;
  white-space: nowrap; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; } tr.ours td:first-child { color: var(--ours);
  font-weight: 600; }
td.heat { background: rgb(var(--heat) / var(--v)); } .good { color: var(--good); }
.bad { color: var(--bad); } td.words { white-space: normal; text-align: left; min-width: 22rem; }
summary { cursor: pointer; color: var(--soft); } li { color: var(--soft); }
text { fill: var(--ink); font: 12px system-ui, sans-serif; } .tick { fill: var(--soft); }
.rule { stroke: var(--line); } .bar { fill: var(--theirs); } .ours .bar { fill: var(--ours); }
.whisker { stroke: var(--ink); stroke-width: 1.5; } .zero { stroke: var(--soft); }
.series { fill: none; stroke-width: 2; }
"""
# Of series in a line plot, in both schemes: told apart by dashes and marks too.
DASHES = ("", "6 3", "2 3", "8 3 2 3", "12 4", "1 2", "4 4", "10 2 2 2 2 2", "3 1")
HUES = (212, 28, 150, 330, 265, 190, 0, 90, 50)


def is_ours(name):
    return name.startswith("oxprof")


def chosen(target):
    """Rows with figures."""
    return [row for row in target["rows"] if row["figures"]]


# ---- horizontal bars

LABEL, WIDTH, ROW, TOP, RIGHT = 196, 560, 21, 8, 62


class Scale:
    """From values to x; logarithmic where they are spread widely."""

    def __init__(self, values, logarithmic):
        self.logarithmic = logarithmic
        if logarithmic:
            low, high = min(values), max(values)
            self.low, self.high = math.floor(math.log10(low)), math.ceil(math.log10(high * 1.01))
        else:
            self.low, self.high = min(0, *values), max(*values, 1e-9)

    def __call__(self, value):
        at = math.log10(max(value, 10 ** self.low)) if self.logarithmic else value
        share = (at - self.low) / ((self.high - self.low) or 1)
        return LABEL + max(0, min(1, share)) * (WIDTH - LABEL - RIGHT)

    def ticks(self):
        if self.logarithmic:
            return [10 ** n for n in range(self.low, self.high + 1)]
        step = 10 ** math.floor(math.log10((self.high - self.low) / 2))
        step *= next(n for n in (1, 2, 5, 10) if (self.high - self.low) / (step * n) <= 5)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [n * step for n in range(first, last + 1)]


def bars(title, rows, logarithmic, form):
    """rows: [(name, value, low, high)], low and high or None."""
    rows = [row for row in rows if row[1] is not None and (row[1] > 0 or not logarithmic)]
    if not rows:
        return ""
    values = [value for row in rows for value in row[1:] if value is not None]
    scale = Scale(values, logarithmic)
    height = TOP + ROW * len(rows) + 20
    parts = [ticks(scale, height, form)]
    for n, row in enumerate(rows):
        parts.append(bar(scale, TOP + ROW * n, row, form))
    return (f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" role="img" aria-label="{escape(title)}">{"".join(parts)}</svg>'
            "</figure>")


def ticks(scale, height, form):
    return "".join(f'<line class="rule" x1="{scale(at):.1f}" x2="{scale(at):.1f}" y1="{TOP}" '
                   f'y2="{height - 18}"/><text class="tick" x="{scale(at):.1f}" y="{height - 4}" '
                   f'text-anchor="middle">{escape(form(at))}</text>' for at in scale.ticks())


def bar(scale, y, row, form):
    name, value, low, high = row
    zero = scale(10 ** scale.low if scale.logarithmic else 0)
    left, right = sorted((zero, scale(value)))
    middle = y + ROW / 2
    whisker = ""
    if low is not None:
        whisker = (f'<line class="whisker" x1="{scale(low):.1f}" x2="{scale(high):.1f}" '
                   f'y1="{middle}" y2="{middle}"/>')
    end = max(right, scale(high) if high is not None else right) + 5
    return (f'<g class="{"ours" if is_ours(name) else ""}">'
            f'<text x="{LABEL - 6}" y="{middle + 4}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="bar" x="{left:.1f}" y="{y + 4}" width="{max(right - left, 1):.1f}" '
            f'height="{ROW - 8}" rx="2"/>{whisker}'
            f'<text class="tick" x="{end:.1f}" y="{middle + 4}">{escape(form(value))}</text></g>')


def lost_bars(target):
    rows = [(row["name"], table.median(row, "lost"), *(table.quartiles(row) or (None, None)))
            for row in chosen(target)]
    return bars("throughput lost: median, quartiles", rows, False,
                lambda value: f"{value * 100:.1f} %")


def pause_bars(target):
    rows = [(row["name"], table.median(row, "pause_ms"), None, None) for row in chosen(target)]
    return bars("longest pause that the target saw", rows, True,
                lambda value: f"{value:,.0f} ms" if value >= 10 else f"{value:.2g} ms")


# ---- lines

def path_of(points):
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def lines(plot):
    """How something grows: {"x": label, "y": label, "series": {name: [[x, y]]}}; logarithmic."""
    series = {name: points for name, points in plot["series"].items() if points}
    if not series:
        return ""
    xs, ys = ([point[n] for points in series.values() for point in points] for n in (0, 1))
    place = logarithmic(xs, 60, 430), logarithmic(ys, 250, 14)
    parts = axes(xs, ys, *place)
    for n, (name, points) in enumerate(series.items()):
        drawn = [(place[0](x), place[1](y)) for x, y in points]
        colour = f"hsl({HUES[n % len(HUES)]} 65% 52%)"
        pen = f'class="series" stroke="{colour}" stroke-dasharray="{DASHES[n % len(DASHES)]}"'
        parts.append(f'<path {pen} d="{path_of(drawn)}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in drawn]
        y = 20 + 17 * n
        parts.append(f'<line {pen} x1="452" x2="482" y1="{y}" y2="{y}"/>'
                     f'<text x="488" y="{y + 4}">{escape(name)}</text>')
    caption = f'{plot["y"]}, by {plot["x"]}'
    return (f'<figure><figcaption>{escape(caption)}</figcaption><svg viewBox="0 0 620 285" '
            f'width="620" role="img" aria-label="{escape(caption)}">{"".join(parts)}</svg>'
            "</figure>")


def logarithmic(values, begin, end):
    low, high = math.log10(max(min(values), 1e-9)), math.log10(max(max(values), 1e-9))
    if high - low < 0.3:
        low, high = low - 0.3, high + 0.3
    return lambda value: begin + (math.log10(max(value, 1e-9)) - low) / (high - low) * (end - begin)


def axes(xs, ys, x_of, y_of):
    parts = []
    for x in sorted(set(xs)):
        at = f"{x_of(x):.1f}"
        parts.append(f'<line class="rule" x1="{at}" x2="{at}" y1="14" y2="250"/>'
                     f'<text class="tick" x="{at}" y="268" text-anchor="middle">{x:,}</text>')
    low, high = math.floor(math.log10(max(min(ys), 1e-9))), math.ceil(math.log10(max(ys)))
    for y in (factor * 10 ** n for n in range(low, high + 1) for factor in (1, 3)):
        if 10 <= y_of(y) <= 252:
            at = f"{y_of(y):.1f}"
            parts.append(f'<line class="rule" x1="60" x2="430" y1="{at}" y2="{at}"/>'
                         f'<text class="tick" x="54" y="{at}" dy="4" text-anchor="end">'
                         f'{y:,.6g}</text>')
    return parts


# ---- tables

def html_table(heads, rows):
    """rows: [(class, [cell as HTML])]."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    body = "".join(f'<tr class="{kind}">{"".join(cells)}</tr>' for kind, cells in rows)
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def td(text):
    return f"<td>{escape(text)}</td>"


def detail(target):
    rows = [("ours" if is_ours(row["name"]) else "",
             [td(row["name"]), td(str(len(row["figures"]))), *map(td, table.cells(row))])
            for row in chosen(target)]
    return html_table(["profiler", "pairs", *(column.head for column in table.COLUMNS)], rows)


OVERVIEWS = ("lost", "pause_ms", "cpu", "truncated", "report_s")


def overview(column, result):
    """A profiler a row, a target a column: the darker, the more."""
    found = [target for target in result["targets"] if chosen(target)]
    names = list(dict.fromkeys(row["name"] for target in found for row in chosen(target)))
    values = {(target["name"], row["name"]): column.value(row)
              for target in found for row in chosen(target)}
    most = [value for value in values.values() if value is not None]
    if not most:
        return ""
    rows = []
    for name in names:
        cells = [heat(values.get((target["name"], name)), max(most), column) for target in found]
        if any(values.get((it["name"], name)) is not None for it in found):
            rows.append(("ours" if is_ours(name) else "", [td(name), *cells]))
    return (f"<section><h3>{escape(column.head)}</h3><p>{escape(column.meaning)}</p>"
            + html_table(["", *(target["name"] for target in found)], rows) + "</section>")


def heat(value, most, column):
    if value is None:
        return "<td>–</td>"
    depth = 0.75 * math.log1p(100 * max(value, 0) / most) / math.log1p(100) if most > 0 else 0
    return f'<td class="heat" style="--v:{depth:.2f}">{escape(column.form(value))}</td>'


def claims(result):
    rows = [("", [f'<td class="words">{escape(claim["claim"])}</td>', td(claim["figure"]),
                  td(claim["bound"]),
                  f'<td class="{claim["class"]}">{escape(claim["verdict"])}</td>'])
            for claim in result["claims"] if claim["class"]]
    return (f"<h2>Claims</h2><section>{html_table(table.CLAIM_HEADS, rows)}"
            f"<p>{escape(table.unmeasured(result))}</p></section>")


# ---- the page

def listed(pairs):
    return "".join(f"<li><b>{escape(name)}</b>: {escape(text)}</li>" for name, text in pairs)


def target_section(target):
    title = f'<h3>{escape(target["name"])}</h3><p>{escape(target["about"])}</p>'
    if not target["rows"]:
        return f'<section>{title}<p>Not run: {escape(target["why"])}</p></section>'
    failed = listed(table.failures(target))
    return (f'<section>{title}<div class="charts">{lost_bars(target)}{pause_bars(target)}</div>'
            f"<details><summary>all figures</summary>{detail(target)}<ul>{failed}</ul></details>"
            "</section>")


def micro_section(part):
    rows = [("", list(map(td, line))) for line in part["lines"]]
    plot = lines(part["plot"]) if part.get("plot") else ""
    return (f'<section><h3>{escape(part["name"])}</h3><p>{escape(part["about"])}</p>'
            f'<div class="charts">{plot}{html_table(part["heads"], rows)}</div></section>')


def html(result):
    columns = [column for column in table.COLUMNS if column.key in OVERVIEWS]
    meanings = listed((column.head, column.meaning) for column in table.COLUMNS)
    absent = listed(result["missing"] or [("all", "was there")])
    about = f'{result["date"]}; {result["machine"]}; {result["settings"]}'
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>oxprof beside its peers</title><style>{STYLE}</style>",
        f"<h1>oxprof beside its peers</h1><p>{escape(about)}</p>", claims(result),
        "<h2>All targets</h2>", *(overview(column, result) for column in columns),
        "<h2>Each target</h2>", *map(target_section, result["targets"]),
        "<h2>Small benchmarks</h2>" if result["micro"] else "",
        *map(micro_section, result["micro"]),
        f"<h2>What the columns say</h2><section><ul>{meanings}</ul></section>",
        f"<h2>Not measured</h2><section><ul>{absent}</ul></section>",
    ]
    return "\n".join(parts) + "\n"

# SPDX-License-Identifier: MIT
"""The bench's figures as one table: what its columns are, and as text and as Markdown."""
import dataclasses
import statistics


# ---- of one row, which has a list of figures, one for each round

def values(row, name):
    return [figures[name] for figures in row["figures"] if figures[name] is not None]


def median(row, name):
    found = values(row, name)
    return statistics.median(found) if found else None


def quartiles(row):
    """Of the throughput lost: (lower, upper), or None."""
    lost = values(row, "lost")
    if len(lost) < 2:
        return None
    low, _, high = statistics.quantiles(lost, n=4, method="inclusive")
    return low, high


def share(row, part, whole):
    """Of the sums over all rounds."""
    pairs = [(figures[part], figures[whole]) for figures in row["figures"]
             if figures[part] is not None and figures[whole]]
    return sum(pair[0] for pair in pairs) / sum(pair[1] for pair in pairs) if pairs else None


def distance(row, name):
    """Between hits and true time, of all rounds' sums: half of the sum of differences."""
    found = values(row, name)
    if not found:
        return None
    hits, spent = ([sum(column) for column in zip(*(pair[n] for pair in found))] for n in (0, 1))
    if not sum(hits) or not sum(spent):
        return None
    return sum(abs(hit / sum(hits) - ns / sum(spent)) for hit, ns in zip(hits, spent)) / 2


# ---- the columns

def percent(value):
    return f"{value * 100:.1f}%"


def spread(pair):
    return f"{pair[0] * 100:.1f}..{pair[1] * 100:.1f}"


def three_digits(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


@dataclasses.dataclass
class Column:
    key: str
    head: str
    meaning: str
    value: object  # of a row, or None
    form: object = three_digits


def column(key, head, meaning, form=three_digits):
    return Column(key, head, meaning, lambda row: median(row, key), form)


COLUMNS = [
    column("lost", "lost", "throughput that the target lost, median of the pairs", percent),
    Column("spread", "quartiles", "of that, in per cent", quartiles, spread),
    column("pause_ms", "pause ms", "longest pause that the target saw, median of the windows"),
    Column("reached", "of asked", "samples got of samples asked: rate x seconds x threads; of "
           "profilers that sample CPUs, x CPUs that the target kept busy",
           lambda row: share(row, "got", "asked"), percent),
    Column("got", "stacks", "got in all windows", lambda row: sum(values(row, "got")) or None,
           str),
    Column("truncated", "cut", "stacks that don't reach a first function, of those got",
           lambda row: share(row, "truncated", "got"), lambda value: f"{value * 100:.2f}%"),
    Column("wall", "off wall", "distance to the known shares of all time",
           lambda row: distance(row, "wall_time"), percent),
    Column("cpu_time", "off cpu", "distance to the known shares of CPU time",
           lambda row: distance(row, "cpu_time"), percent),
    column("cpu", "cpu", "of one CPU, by the profiler while it records", percent),
    column("all_cpu_s", "all cpu s", "CPU time of all its processes, from its start to its report"),
    column("peak_mib", "peak MiB", "memory of its largest process"),
    column("report_s", "report s", "from the end of recording to a report that can be read"),
    column("disk_kib", "disk KiB", "what it leaves for one window"),
]


def cells(row):
    """Of one row: its columns as text."""
    found = [column.value(row) for column in COLUMNS]
    return ["-" if value is None else column.form(value) for column, value in zip(COLUMNS, found)]


# ---- text

def text_of(heads, lines, left=1):
    """Columns in line; the first `left` ones begin at the left."""
    widths = [max(len(line[n]) for line in [heads, *lines]) for n in range(len(heads))]
    return "\n".join("  ".join(cell.ljust(width) if n < left else cell.rjust(width)
                               for n, (cell, width) in enumerate(zip(line, widths))).rstrip()
                     for line in [heads, *lines])


def failures(target):
    """[(what, why)]: profilers that failed on it, and itself."""
    return [(it["name"], it["why"]) for it in [*target["rows"], target] if it["why"]]


def target_text(target):
    """One target's part of the table."""
    title = f"\n# {target['name']}: {target['about']}"
    if not target["rows"]:
        return f"{title}\n# not run: {target['why']}"
    rows = [row for row in target["rows"] if row["figures"]]
    lines = [[row["name"], str(len(row["figures"])), *cells(row)] for row in rows]
    heads = ["profiler", "pairs", *(column.head for column in COLUMNS)]
    failed = [f"# {name}: {why}" for name, why in failures(target)]
    return "\n".join([title, text_of(heads, lines), *failed])


def meanings():
    return "\n".join(f"# {column.head}: {column.meaning}" for column in COLUMNS)


def text(result):
    parts = [target_text(target) for target in result["targets"]]
    parts += [f"\n# {name}: {why}" for name, why in result["missing"]]
    parts += ["\n" + part_text(part) for part in result["micro"]]
    return "\n".join(parts)


def part_text(part):
    """A small benchmark."""
    return f"# {part['name']}: {part['about']}\n{text_of(part['heads'], part['lines'])}"


CLAIM_HEADS = ["claim", "figure", "bound", ""]


def claim_lines(result):
    """Of those that were measured."""
    return [[claim["claim"], claim["figure"], claim["bound"], claim["verdict"]]
            for claim in result["claims"] if claim["class"]]


def unmeasured(result):
    """How many were not, in a sentence."""
    count = sum(not claim["class"] for claim in result["claims"])
    return f"{count} claims were not measured."


def claims_text(result):
    return f"{text_of(CLAIM_HEADS, claim_lines(result))}\n# {unmeasured(result)}"


# ---- Markdown

def markdown_of(heads, lines):
    def line(row):
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    rule = "|---" + "|---:" * (len(heads) - 1) + "|"
    return "\n".join([line(heads), rule, *map(line, lines)])


def target_markdown(target):
    title = f"### {target['name']}: {target['about']}\n"
    if not target["rows"]:
        return f"{title}\nNot run: {target['why']}"
    rows = [row for row in target["rows"] if row["figures"]]
    lines = [[row["name"], str(len(row["figures"])), *cells(row)] for row in rows]
    failed = [f"\n{name}: {why}" for name, why in failures(target)]
    return "\n".join([title, markdown_of(["profiler", "pairs", *(c.head for c in COLUMNS)], lines),
                      *failed])


def markdown(result):
    parts = [f"{result['date']}; {result['machine']}; {result['settings']}.", ""]
    parts += [markdown_of(CLAIM_HEADS, claim_lines(result)), "", unmeasured(result), ""]
    parts += [f"- *{c.head}*: {c.meaning}" for c in COLUMNS]
    parts += [f"- not measured: {name}: {why}" for name, why in result["missing"]]
    parts += [f"\n{target_markdown(target)}" for target in result["targets"]]
    for part in result["micro"]:
        parts += [f"\n### {part['name']}\n", part["about"] + "\n",
                  markdown_of(part["heads"], part["lines"])]
    return "\n".join(parts) + "\n"

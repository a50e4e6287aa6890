/* SPDX-License-Identifier: MIT */
"use strict";

/*
 * The page: controls, what hovers, what is said. window.oxprof is all that others may use:
 *     render(data)  shows a profile (schema oxprof.stacks/1)
 *     update(data)  the same profile, later: selection, zoom, search and order stay
 */
const THREADS_LISTED = 1000; /* the busiest */

class Viewer {
    constructor(page) {
        this.byId = id => page.getElementById(id);
        this.selection = {state: "cpu", thread: -1, split: "none", order: "size"};
        this.path = [];
        this.focus = 0;
        this.timing = {};
        this.chart = new Chart(this.byId("chart"), this.byId("canvas"), this.byId("extent"), {
            zoom: i => this.zoom(i), select: i => this.say(i),
            point: (box, at) => this.hover(box, at),
        });
        this.table = new FunctionTable(this.byId("table"), this.byId("more"), f => this.pick(f));
        this.listen();
        this.followTheme();
    }

    /* ---- data */

    render(data) {
        const model = decodeModel(data), samples = model.counts.samples;
        this.selection.state = samples.cpu || !samples.wait ? "cpu" : "wait";
        if (model.sides) /* where there is something to compare */
            this.selection.state = STATES.find(
                state => sideSamples(model, {state}).every(Boolean)) || this.selection.state;
        this.path = [];
        this.show(model);
    }

    update(data) {
        if (!this.model) return void this.render(data);
        const old = this.model.threads[this.selection.thread], model = decodeModel(data);
        const same = t => old && t.pid === old.pid && t.tid === old.tid;
        const thread = model.threads.findIndex(same);
        this.threadGone = old && thread < 0 ? old.label : "";
        this.selection.thread = thread;
        this.show(model);
    }

    show(model) {
        this.model = model;
        showHead(this.byId, model);
        for (const id of ["controls", "graph", "functions"])
            this.byId(id).hidden = false;
        this.fillThreads();
        this.showControls();
        this.rebuild();
    }

    /* After data or selection have changed. */
    rebuild() {
        const {chart} = this, selected = chart.selected < 0 ? null :
            pathOf(chart.model, chart.view, chart.selected);
        this.view = buildView(this.model, this.selection);
        this.focus = followPath(this.model, this.view, this.path);
        this.byId("empty").hidden = this.view.total[0] > 0;
        this.byId("chart").hidden = !this.view.total[0];
        this.hideTip();
        this.tableAfterGraph();
        chart.setData(this.model, this.view, this.focus,
            selected ? followPath(this.model, this.view, selected) : -1);
        this.showLegend();
        this.search();
        this.showPath();
    }

    /* The graph is what one waits for. */
    tableAfterGraph() {
        this.chart.drawn = () => {
            this.chart.drawn = null;
            setTimeout(() => {
                this.timing.drawn_ms = this.timing.drawn_ms || performance.now();
                this.showTable();
            });
        };
        this.chart.redraw();
    }

    /* ---- controls */

    listen() {
        const form = this.byId("controls");
        form.addEventListener("submit", e => e.preventDefault());
        form.addEventListener("change", e => this.changed(e.target));
        this.byId("search").addEventListener("input", () => this.search());
        this.byId("search").addEventListener("keydown", e => {
            if (e.key === "Enter") this.byId("chart").focus();
        });
        document.addEventListener("keydown", e => this.key(e));
        window.addEventListener("scroll", () => this.hideTip(), {passive: true});
    }

    changed(control) {
        if (control.name === "grow") {
            this.hideTip();
            this.chart.setGrow(control.value);
        } else if (control.name === "state" || ["thread", "split", "order"].includes(control.id)) {
            const key = control.name || control.id;
            this.selection[key] = key === "thread" ? Number(control.value) : control.value;
            this.rebuild();
        }
    }

    key(e) {
        const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName);
        if (e.key === "Escape") this.reset();
        else if (e.key === "/" && !typing && !e.ctrlKey && !e.metaKey && !e.altKey) {
            e.preventDefault();
            this.byId("search").focus();
            this.byId("search").select();
        }
    }

    /* Escape takes away the search first, then the zoom. */
    reset() {
        if (this.byId("search").value) {
            this.byId("search").value = "";
            this.search();
        } else if (this.view) this.zoom(0);
    }

    fillThreads() {
        const select = this.byId("thread"), {threads} = this.model;
        const option = (text, value) => Object.assign(element("option", text), {value});
        const more = threads.length - THREADS_LISTED, labels = threads.map(t => t.label);
        if (this.threadsListed === labels.join("\n")) return;
        this.threadsListed = labels.join("\n");
        select.replaceChildren(option(`all ${counted(threads.length, "thread")}`, -1),
            ...labels.slice(0, THREADS_LISTED).map(option));
        if (more > 0) {
            select.append(option(`${grouped(more)} more: split by thread`, ""));
            select.lastChild.disabled = true;
        }
        const processes = new Set(threads.map(t => t.pid));
        this.byId("split").options[1].disabled = this.byId("split").options[1].hidden =
            processes.size < 2;
    }

    showControls() {
        const {samples} = this.model.counts, {selection} = this;
        for (const input of this.byId("state").querySelectorAll("input")) {
            input.checked = input.value === selection.state;
            input.parentNode.querySelector("small").textContent = this.model.sides ?
                sideSamples(this.model, {state: input.value}).map(grouped).join(" \u2192 ") :
                grouped(samples[input.value]);
        }
        const heads = this.model.sides || [this.model.head];
        this.byId("state").hidden = heads.every(head => head.cpu_only) && !samples.wait;
        for (const input of this.byId("grow").querySelectorAll("input"))
            input.checked = input.value === this.chart.grow;
        for (const id of ["thread", "split", "order"])
            this.byId(id).value = selection[id];
        for (const id of ["thread", "split"]) /* the two sides are what the threads are for */
            this.byId(id).closest(".field").hidden = Boolean(this.model.sides);
    }

    showLegend() {
        if (this.model.sides) {
            const shown = {gained: "gained", lost: "lost", same: "no difference beyond chance"};
            this.byId("legend").replaceChildren(...Object.entries(shown).map(
                ([name, text]) => element("li", text, name)));
            return;
        }
        const kinds = new Set();
        for (let i = 1; i < this.view.n; i++)
            if (this.view.fn[i] >= 0) kinds.add(this.model.functions[this.view.fn[i]].kind);
        const shown = this.model.head.kinds.filter(kind => kinds.has(kind));
        this.byId("legend").replaceChildren(...shown.map(kind => element("li", kind, kind)));
    }

    /* ---- zoom */

    zoom(i) {
        this.focus = i;
        this.path = pathOf(this.model, this.view, i);
        this.chart.setFocus(i);
        this.chart.select(this.byId("chart").matches(":focus-visible") ? i : -1);
        this.hideTip();
        this.showPath();
        this.showMatched();
        this.tableAfterGraph();
    }

    showPath() {
        const blocks = [];
        for (let i = this.focus; i >= 0; i = this.view.parent[i])
            blocks.unshift(i);
        const list = element("ol");
        blocks.forEach((i, at) => {
            if (at > 0 && at < blocks.length - 3) {
                if (at === 1) list.append(element("li", "\u2026"));
                return;
            }
            list.append(this.crumb(i));
        });
        this.byId("path").replaceChildren(list);
        this.byId("zoomed").textContent = this.focus ? this.numbers(this.focus) :
            this.allSamples();
    }

    allSamples() {
        const {samples} = this.view;
        return samples ? `${counted(samples[BEFORE], "sample")} before, ${grouped(samples[AFTER])} after` :
            counted(this.view.total[0], "sample");
    }

    crumb(i) {
        const li = element("li"), button = element("button", this.chart.nameOf(i));
        button.type = "button";
        if (i === this.focus) button.setAttribute("aria-current", "true");
        button.addEventListener("click", () => this.zoom(i));
        li.append(button);
        return li;
    }

    /* ---- search */

    search() {
        const input = this.byId("search"), text = input.value;
        this.matching = null;
        this.wrong = "";
        if (text)
            try {
                const re = new RegExp(text, "i");
                this.matching = this.model.functions.map(f => re.test(f.label));
            } catch (e) {
                this.wrong = e.message.replace(/^.*: /, "");
            }
        input.setAttribute("aria-invalid", String(Boolean(this.wrong)));
        this.chart.setMatching(this.matching);
        this.showMatched();
        this.tableAfterGraph();
    }

    showMatched() {
        this.byId("matched").textContent = this.wrong ? `not a pattern: ${this.wrong}` :
            !this.matching ? "" : this.view.sides ? this.matchedOfSides() : this.matchedOfOne();
    }

    matchedOfOne() {
        const samples = this.view.total[this.focus];
        const sum = matchedSamples(this.view, this.matching, this.focus);
        return `${grouped(sum)} of ${grouped(samples)}: ${percent(sum, samples)}`;
    }

    matchedOfSides() {
        return SIDES.map(s => percent(matchedSamples(this.view, this.matching, this.focus,
            this.view.sides[s]), this.view.samples[s])).join(" \u2192 ");
    }

    pick(f) {
        this.byId("search").value = `^${f.label.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`;
        this.search();
        this.byId("chart").scrollIntoView({block: "nearest"});
    }

    /* ---- the table */

    showTable() {
        if (!this.view) return;
        const rows = this.view.sides ? compareFunctions(this.model, this.view, this.focus) :
            tallyFunctions(this.model, this.view, this.focus);
        const seen = this.matching ? rows.filter(r => this.matching[r.f]) : rows;
        const samples = this.view.total[this.focus];
        this.byId("functions-of").textContent = [
            this.describeSelection(), this.focus ? `inside ${this.chart.nameOf(this.focus)}` : "",
            this.view.sides ? `SELF, in percent of ${this.allSamples()}` :
                counted(samples, "sample"),
            seen.length < rows.length ?
                `${grouped(seen.length)} of ${counted(rows.length, "function")} found` :
                counted(rows.length, "function"),
        ].filter(Boolean).join(" \u00b7 ");
        this.table.setRows(this.model, seen, this.view.samples || samples);
    }

    stateName() {
        return {cpu: "on CPU", wait: "waiting", both: "both"}[this.selection.state];
    }

    describeSelection() {
        const thread = this.model.threads[this.selection.thread];
        const gone = this.threadGone ? `, ${this.threadGone} is gone` : "";
        return (this.selection.state === "both" ? "on CPU and waiting" : this.stateName()) +
            (thread ? `, ${thread.label}` : "") + gone;
    }

    /* ---- what is told of a block */

    facts(i) {
        const f = this.model.functions[this.view.fn[i]];
        if (!f) return [];
        const source = f.file ? f.file + (f.line ? `:${f.line}` : "") : "";
        return [f.kind, f.module, source].filter(Boolean);
    }

    /* [[head, whole]]: what the shares are of; none twice. */
    wholes() {
        const {samples} = this.model.counts, shown = this.view.total[0], list = [];
        const thread = this.selection.thread >= 0;
        const state = this.selection.state === "both" ? "of all" : `of ${this.stateName()}`;
        list.push([thread ? "of thread" : state, shown]);
        if (shown !== samples.both) list.push(["of all", samples.both]);
        if (this.focus && this.view.total[this.focus] !== shown)
            list.push(["of zoomed", this.view.total[this.focus]]);
        return list;
    }

    hover(box, at) {
        if (!box || !at) return this.hideTip();
        if (box.i < 0) {
            this.byId("tip-name").textContent =
                `${counted(box.blocks, "function")} too narrow to draw`;
            this.byId("tip-place").textContent = "click to zoom to the largest";
            if (this.view.sides) this.byId("tip").querySelector("tbody").replaceChildren();
            else this.tipNumbers([["total", box.samples]]);
        } else
            this.fillTip(box.i);
        this.placeTip(at.x + 14, at.y + 18, at.y - 10);
    }

    fillTip(i) {
        const {view} = this;
        this.byId("tip-name").textContent = this.chart.nameOf(i);
        this.byId("tip-place").textContent = this.facts(i).join(" \u00b7 ");
        if (view.sides) this.tipSides(i);
        else this.tipNumbers([["total", view.total[i]], ["self", view.self[i]]]);
    }

    tipSides(i) {
        const head = element("tr"), names = ["", "before", "", "after", "", "difference"];
        head.append(...names.map(name => element("th", name)));
        const rows = ["total", "self"].map(what => {
            const c = compareBlock(this.view, i, what), tr = element("tr");
            tr.append(element("th", what), ...SIDES.flatMap(s => [
                element("td", grouped(c.hits[s])),
                element("td", percent(c.hits[s], this.view.samples[s]))]),
            element("td", `${points(c.difference)} \u00b1${pointsOf(c.error)}`,
                !c.news ? "" : c.difference < 0 ? "lost" : "gained"));
            return tr;
        });
        this.byId("tip").querySelector("tbody").replaceChildren(head, ...rows);
    }

    tipNumbers(rows) {
        const wholes = this.wholes(), head = element("tr");
        head.append(element("th"), element("th", "samples"),
            ...wholes.map(([name]) => element("th", name)));
        this.byId("tip").querySelector("tbody").replaceChildren(head, ...rows.map(([name, n]) => {
            const tr = element("tr");
            tr.append(element("th", name), element("td", grouped(n)),
                ...wholes.map(([, whole]) => element("td", percent(n, whole))));
            return tr;
        }));
    }

    /* Below its point where there is room, else above it; never past the window's edges. */
    placeTip(x, y, above) {
        const tip = this.byId("tip");
        tip.hidden = false;
        const {offsetWidth: w, offsetHeight: h} = tip;
        const {clientWidth, clientHeight} = document.documentElement;
        tip.style.left = `${Math.max(4, Math.min(x, clientWidth - w - 4))}px`;
        tip.style.top = `${y + h <= clientHeight - 4 ? y : Math.max(4, above - h)}px`;
    }

    hideTip() {
        this.byId("tip").hidden = true;
    }

    /* Of the block that the keys have moved to. */
    say(i) {
        this.byId("said").textContent = i < 0 ? "" : this.sentence(i);
        const at = i >= 0 && this.chart.screenBox(i);
        if (!at) return this.hideTip();
        this.fillTip(i);
        this.placeTip(at.x + 4, at.y + ROW_PX + 6, at.y - 6);
    }

    sentence(i) {
        return [this.chart.nameOf(i), ...this.facts(i), this.numbers(i)].join(", ");
    }

    numbers(i) {
        const {view} = this;
        if (view.sides) return this.numbersOfSides(i);
        const shares = this.wholes().filter(([, whole]) => whole !== view.total[i])
            .map(([name, whole]) => `${percent(view.total[i], whole)} ${name}`);
        return [`total ${counted(view.total[i], "sample")}`, ...shares,
            `self ${grouped(view.self[i])}`].join(", ");
    }

    numbersOfSides(i) {
        const c = compareBlock(this.view, i, "total"), shares = SIDES.map(
            s => percent(c.hits[s], this.view.samples[s]));
        return `total ${shares[BEFORE]} before, ${shares[AFTER]} after, ` +
            `difference ${points(c.difference)} \u00b1${pointsOf(c.error)}` +
            (c.news ? "" : ", not beyond chance");
    }

    followTheme() {
        const dark = window.matchMedia("(prefers-color-scheme: dark)");
        const set = () => this.chart.setTheme(dark.matches ? "dark" : "light");
        dark.addEventListener("change", set);
        set();
    }
}

/* ---- the head: the facts that stand in the text report's first lines */

function significant(x, digits) {
    if (!Number.isFinite(x)) return "?";
    if (Math.abs(x) >= 10 ** (digits - 1)) return grouped(Math.round(x));
    return String(Number(x.toPrecision(digits)));
}

function ratio(part, whole) {
    return part ? part / whole : 0;
}

function showFacts(byId, list) {
    byId("facts").replaceChildren(...list.map(([name, value, detail]) => {
        const div = element("div");
        div.append(element("dt", name), element("dd", value), element("dd", detail, "detail"));
        return div;
    }));
}

/* Of two profiles: what was sampled, and what was lost, on both sides. */
function showSides(byId, model) {
    const {sides, head} = model, titles = sides.map(side => side.title);
    const title = titles[0] === titles[1] ? titles[0] : titles.join(" \u2192 ");
    document.title = `${title} \u00b7 difference \u00b7 oxprof`;
    byId("title").textContent = title;
    byId("run").textContent = ["difference", ...sides.map((side, s) =>
        `${s ? "after" : "before"} ${(side.duration_ns / 1e9).toFixed(2)} s`),
    `oxprof ${head.version}`].join(" \u00b7 ");
    const [cpu, wait, both] = ["cpu", "wait", "both"].map(state => sideSamples(model, {state}));
    showFacts(byId, sides.map((side, s) => {
        const [, samples, states] = samplesFact(side, {cpu: cpu[s], wait: wait[s], both: both[s]});
        const [, lost, reasons] = lossFact(side);
        return [s ? "After" : "Before", side.title,
            `${samples} samples: ${states}; ${lost} lost: ${reasons}`];
    }));
}

function showHead(byId, model) {
    const {head, counts} = model;
    if (model.sides) return void showSides(byId, model);
    const seconds = head.duration_ns / 1e9;
    document.title = `${head.title} \u00b7 oxprof`;
    byId("title").textContent = head.title;
    byId("run").textContent = [
        counted(head.threads_seen, "thread"), head.mode,
        `${significant(ratio(1e9, head.interval_ns), 4)} Hz`, `${seconds.toFixed(2)} s`,
        `oxprof ${head.version}`,
    ].join(" \u00b7 ");
    const list = [samplesFact(head, counts.samples), lossFact(head), costFact(head)];
    showFacts(byId, list);
}

function samplesFact(head, samples) {
    const busy = ratio(samples.cpu * head.interval_ns, head.duration_ns);
    return ["Samples", grouped(samples.both), [
        `${grouped(samples.cpu)} on CPU (${busy.toFixed(2)} CPUs busy)`,
        head.cpu_only && !samples.wait ? "" : `${grouped(samples.wait)} waiting`,
        head.hidden ? `${grouped(head.hidden)} not shown (--focus, --ignore)` : "",
    ].filter(Boolean).join(", ")];
}

function lossFact(head) {
    const reasons = Object.entries(head.lost).filter(([, n]) => n);
    const limit = (n, what) => n ? `${grouped(n)} ${what} (memory limit)` : "";
    return ["Lost", grouped(reasons.reduce((sum, [, n]) => sum + n, 0)), [
        ...reasons.map(([reason, n]) => `${grouped(n)} ${reason.replaceAll("_", " ")}`),
        `${counted(head.truncated, "stack")} truncated` +
            (head.given_up ? ` (${grouped(head.given_up)} took too much to unwind)` : ""),
        head.python_torn && `${counted(head.python_torn, "Python stack")} torn`,
        head.python_mismatches &&
            `${counted(head.python_mismatches, "Python stack")} without ` +
                `${head.python_mismatches === 1 ? "its" : "their"} place`,
        head.ticks_missed &&
            `${grouped(head.ticks_missed)} of ${grouped(head.ticks)} ticks missed`,
        limit(head.folded, "folded into their callers"),
        limit(head.unattributed, "under thread [other]"),
        limit(head.modules_folded, "mappings under module [other]"),
        limit(head.mappings_cut, "times a mapping was left out"),
        limit(head.cfi_cut, "modules' unwind information cut"),
        limit(head.tables_cut, "symbol tables cut"),
        limit(head.lines_cut, "places without source lines"),
        head.jit_lines_skipped &&
            `${counted(head.jit_lines_skipped, "line")} of a JIT's map skipped`,
        limit(head.names_folded, "times a name reads [other]"),
    ].filter(Boolean).join(", ")];
}

function costFact(head) {
    const c = head.cost, mean = ratio(c.stop_ns_sum, c.stops * 1000);
    return ["Cost", `${significant(100 * ratio(c.stop_ns_sum, c.target_cpu_ns), 2)}%`, [
        "of the target\u2019s running time",
        `${counted(c.stops, "stop")}, ${significant(mean, 2)}\u00a0\u00b5s mean, ` +
            `${significant(c.stop_ns_max / 1000, 2)}\u00a0\u00b5s max` +
            (c.perf_samples ? `, ${counted(c.perf_samples, "perf sample")}` : ""),
        `${counted(c.calls_disturbed, "system call")} disturbed` +
            (c.calls_repaired ? `, ${grouped(c.calls_repaired)} put back` : ""),
        `oxprof ${significant(100 * ratio(c.profiler_cpu_ns, head.duration_ns), 2)}% of a CPU, ` +
            `${significant(c.profiler_peak_bytes / 1048576, 2)}\u00a0MiB`,
    ].join("; ")];
}

window.oxprof = new Viewer(document);

const embedded = document.getElementById("oxprof-data");
if (embedded)
    try {
        window.oxprof.render(JSON.parse(embedded.textContent));
    } catch (e) {
        const failure = document.getElementById("failure");
        failure.textContent = `This file can\u2019t be shown: ${e.message}`;
        failure.hidden = false;
    }

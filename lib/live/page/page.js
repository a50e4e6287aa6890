/* SPDX-License-Identifier: MIT */
"use strict";

/*
 * The page of a running session. It asks once a second, and changes only what has changed: nothing
 * flickers, and nothing from the target ever becomes HTML (textContent alone).
 */
const byId = id => document.getElementById(id);
const PERIOD_MS = 1000;
const LIGHT = ["#3b6fb6", "#d98032", "#4f9a5a", "#b5526b", "#7b62b3", "#9a7b4f", "#c774b4", "#5f9fa8",
    "#a8a13a", "#86584d", "#5a6bd0", "#3f8f7a"];
const DARK = ["#79a7e6", "#eda766", "#84c98e", "#e28ba2", "#ae9ae0", "#c9ad84", "#e3a3d4", "#8fcbd3",
    "#d3cc70", "#bd8f83", "#97a4f2", "#78c4af"];
const darkMode = window.matchMedia("(prefers-color-scheme: dark)");

const view = {
    state: "cpu", filter: "", thread: "", sort: "self", records: "50", by: "function", span: "60",
    from: 0, to: 0,
};
let status = null, timeline = null, refreshing = false, again = false;

/* ---- numbers */

const grouped = n => n.toLocaleString("en-US");
const percent = (part, whole) => whole ? (100 * part / whole).toFixed(2) : "0.00";
const seconds = ns => {
    if (ns >= 1e9) return (ns / 1e9).toFixed(2) + " s";
    return ns >= 1e6 ? (ns / 1e6).toFixed(2) + " ms" : (ns / 1e3).toFixed(0) + " µs";
};
/* The sampler's clock has no date: "12 s ago". */
const ago = second => {
    const past = Math.max(0, status.now_s - second);
    return past >= 60 ? `${Math.floor(past / 60)} min ${past % 60} s ago` : `${past} s ago`;
};

function setText(node, text) {
    if (node.textContent !== text) node.textContent = text;
}

function element(tag, className, text) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
}

/* As many children as items, each kept and only filled anew. */
function keep(parent, items, make, fill) {
    while (parent.children.length > items.length) parent.lastElementChild.remove();
    items.forEach((item, i) => {
        const child = parent.children[i] || parent.appendChild(make());
        fill(child, item, i);
    });
}

/* ---- asking */

class Refused extends Error {}

async function ask(path, options) {
    const answer = await fetch(path, {cache: "no-store", ...options});
    const type = answer.headers.get("Content-Type") || "";
    const body = type.startsWith("application/json") ? await answer.json() : {};
    if (!answer.ok) throw new Refused(body.error || `refused (${answer.status})`);
    return body;
}

function query(parameters) {
    return new URLSearchParams(Object.entries(parameters).filter(entry => entry[1])).toString();
}

async function change(path, parameters) {
    try {
        await ask(path, {
            method: "POST",
            headers: {"X-Oxprof-Secret": status.secret},
            body: new URLSearchParams(parameters || {}),
        });
        say("");
    } catch (e) {
        say(e.message);
    }
    refresh();
}

async function saveSnapshot() {
    try {
        const answer = await fetch("api/snapshot", {
            method: "POST",
            headers: {"X-Oxprof-Secret": status.secret},
            body: new URLSearchParams({format: "pprof"}),
        });
        if (!answer.ok) {
            const body = await answer.json().catch(() => ({}));
            throw new Refused(body.error || `refused (${answer.status})`);
        }
        const link = element("a");
        link.href = URL.createObjectURL(await answer.blob());
        link.download = "oxprof.pb.gz";
        link.click();
        URL.revokeObjectURL(link.href);
        say("");
    } catch (e) {
        say(e.message);
    }
}

function say(text) {
    setText(byId("message"), text);
    byId("message").hidden = !text;
}

/* ---- status */

function showStatus() {
    const s = status, pause = s.stopping ? "pausing" : "paused";
    const name = s.finished ? "ended" : s.paused ? pause : "sampling";
    setText(byId("title"), s.title);
    document.title = `${s.title}: oxprof`;
    setText(byId("state"), name);
    byId("state").dataset.state = name;
    byId("controls").hidden = !s.may_control || s.finished;
    setText(byId("pause"), s.paused ? "Resume" : "Pause");
    byId("interval").placeholder = seconds(s.interval_ns);
    byId("flame-part").hidden = !s.formats.includes("flamegraph");
    const lost = Object.entries(s.losses), cost = s.cost;
    const sum = lost.reduce((n, entry) => n + entry[1], 0);
    const facts = [
        ["Samples", `${grouped(s.samples)} in ${seconds(s.duration_ns)}`],
        ["Interval", `${seconds(s.interval_ns)}; achieved ${seconds(s.achieved_mean_ns)} ± ` +
            seconds(s.achieved_deviation_ns)],
        ["Lost", sum ? `${grouped(sum)}: ${lost.map(l => `${grouped(l[1])} ${l[0]}`).join(", ")}` : "0"],
        ["Ticks missed", `${grouped(s.ticks_missed)} of ${grouped(s.ticks)}`],
        ["Threads", `${grouped(s.threads)} in ${grouped(s.processes)} ` +
            (s.processes === 1 ? "process" : "processes")],
        ["Stops", `${grouped(cost.stops)}, ` + (cost.stops ?
            `${seconds(cost.stop_ns_sum / cost.stops)} mean, ${seconds(cost.stop_ns_max)} longest` : "none")],
        ["Cost to the target", `${percent(cost.stop_ns_sum, cost.target_cpu_ns)}% of its running time; ` +
            `${grouped(cost.calls_disturbed)} calls disturbed`],
        ["oxprof itself", `${percent(cost.profiler_cpu_ns, s.duration_ns)}% of a CPU, ` +
            `${(cost.profiler_peak_bytes / 1048576).toFixed(0)} MiB`],
    ];
    keep(byId("facts"), facts, () => {
        const pair = element("div");
        pair.append(element("dt"), element("dd"));
        return pair;
    }, (pair, [term, text]) => {
        setText(pair.firstChild, term);
        setText(pair.lastChild, text);
    });
    showDownloads();
}

function showDownloads() {
    const part = view.from ? {from: view.from, to: view.to} : {};
    keep(byId("downloads"), status.formats, () => {
        const item = element("li");
        item.append(element("a"));
        return item;
    }, (item, format) => {
        setText(item.firstChild, format);
        item.firstChild.href = `api/profile?${query({format, ...part})}`;
        item.firstChild.download = "";
    });
    setText(byId("pprof"), new URL("debug/pprof/profile", window.location.href).href);
}

/* ---- functions */

function functionRow() {
    const row = element("tr");
    for (const name of ["number", "number percent", "number", "number percent", "kind", "name"])
        row.append(element("td", name));
    row.lastChild.append(element("span"), " ", element("small"));
    return row;
}

function showPercent(cell, part, whole) {
    const text = percent(part, whole);
    setText(cell, text);
    cell.style.setProperty("--part", `${text}%`);
}

function showFunctions(data) {
    const block = data[view.state];
    keep(byId("functions").tBodies[0], block.functions, functionRow, (row, f) => {
        const [self, total, kind, name, place] = f, cells = row.children;
        setText(cells[0], grouped(self));
        showPercent(cells[1], self, block.samples);
        setText(cells[2], grouped(total));
        showPercent(cells[3], total, block.samples);
        setText(cells[4], kind);
        setText(cells[5].firstChild, name);
        setText(cells[5].lastChild, place);
    });
    const shown = block.functions.length;
    setText(byId("count"), `${grouped(shown)} of ${grouped(block.matched)} functions` +
        (view.filter ? ` that match, ${grouped(block.of)} in all` : "") +
        `; percentages are of ${grouped(block.samples)} samples` +
        (view.from ? " in the seconds chosen" : ""));
    for (const head of byId("functions").tHead.querySelectorAll("button")) {
        const sorted = head.dataset.sort === view.sort;
        if (sorted) head.parentNode.setAttribute("aria-sort", view.sort === "name" ? "ascending" : "descending");
        else head.parentNode.removeAttribute("aria-sort");
    }
}

/* ---- threads */

function threadRow() {
    const row = element("tr");
    for (const name of ["number", "number", "share", "number", "number", "name"])
        row.append(element("td", name));
    row.children[2].append(element("i"));
    row.lastChild.append(element("button", "", ""));
    row.addEventListener("click", () => {
        chooseThread(view.thread === row.dataset.index ? "" : row.dataset.index);
    });
    return row;
}

function showThreads({threads}) {
    const shown = threads.slice(0, 200);
    keep(byId("threads").tBodies[0], shown, threadRow, (row, t) => {
        const cells = row.children;
        row.dataset.index = String(t.index);
        row.setAttribute("aria-selected", String(view.thread === row.dataset.index));
        setText(cells[0], grouped(t.cpu));
        setText(cells[1], grouped(t.wait));
        cells[2].firstChild.style.width = `${100 * t.cpu / Math.max(1, t.cpu + t.wait)}%`;
        setText(cells[3], String(t.pid));
        setText(cells[4], String(t.tid));
        setText(cells[5].firstChild, t.name);
    });
    const options = [{index: "", name: "all"}, ...threads.slice(0, 1000)];
    keep(byId("thread"), options, () => element("option"), (option, t) => {
        option.value = String(t.index);
        setText(option, t.tid ? `${t.name} (${t.tid})` : t.name);
    });
    byId("thread").value = view.thread;
}

function chooseThread(index) {
    view.thread = index;
    refresh();
}

/* ---- time */

const chart = {drag: -1};

function secondAt(event) {
    const box = byId("time").getBoundingClientRect();
    const part = (event.clientX - box.left) / box.width;
    const i = Math.floor(part * timeline.seconds);
    return timeline.from + Math.min(timeline.seconds - 1, Math.max(0, i));
}

function chooseSeconds(a, b) {
    view.from = Math.min(a, b);
    view.to = Math.max(a, b);
    drawTime();
}

function chooseAll() {
    view.from = view.to = 0;
    drawTime();
    refresh();
}

function drawTime() {
    if (!timeline) return;
    const canvas = byId("time"), pen = canvas.getContext("2d"), scale = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== width * scale || canvas.height !== height * scale) {
        canvas.width = width * scale;
        canvas.height = height * scale;
    }
    const style = getComputedStyle(document.documentElement);
    const color = name => style.getPropertyValue(name);
    const colors = darkMode.matches ? DARK : LIGHT, last = timeline.series.length - 1;
    const sums = Array.from({length: timeline.seconds},
        (_, i) => timeline.series.reduce((n, s) => n + s.values[i], 0));
    const most = Math.max(1, ...sums), step = width / timeline.seconds, room = height - 18;
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    if (view.from) {
        pen.fillStyle = color("--pressed");
        pen.fillRect((view.from - timeline.from) * step, 0, (view.to - view.from + 1) * step, height);
    }
    for (let i = 0; i < timeline.seconds; i++) {
        let y = height;
        timeline.series.forEach((s, k) => {
            const h = s.values[i] * room / most;
            pen.fillStyle = k === last ? color("--edge") : colors[k];
            pen.globalAlpha = view.from && (i + timeline.from < view.from || i + timeline.from > view.to) ? .45 : 1;
            pen.fillRect(i * step, y - h, Math.max(step - (step > 4 ? 1 : 0), .5), h);
            y -= h;
        });
    }
    pen.globalAlpha = 1;
    pen.fillStyle = color("--quiet");
    pen.font = "11px system-ui, sans-serif";
    pen.fillText(`${grouped(most)} hits/s`, 6, 13);
    byId("chosen").hidden = !view.from;
    if (view.from)
        setText(byId("chosen-text"), `${view.to - view.from + 1} s, ${ago(view.from)}`);
    const named = timeline.series.filter((s, i) => i < last || s.values.some(v => v));
    keep(byId("legend"), named, () => {
        const item = element("li");
        item.append(element("i"), element("span"));
        return item;
    }, (item, s, i) => {
        item.firstChild.style.background = s.name ? colors[i] : color("--edge");
        setText(item.lastChild, s.name || "others");
        item.lastChild.title = s.name || "others";
    });
    canvas.setAttribute("aria-label", `Hits per second, at most ${most}; largest: ` +
        named.slice(0, 3).map(s => s.name || "others").join(", "));
}

function moveByKey(event) {
    const step = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (event.key === "Escape") return void chooseAll();
    if (!step || !timeline) return;
    event.preventDefault();
    const end = timeline.from + timeline.seconds - 1, clamp = s => Math.min(end, Math.max(timeline.from, s));
    if (!view.from) chooseSeconds(end, end);
    else if (event.shiftKey) chooseSeconds(view.from, clamp(view.to + step));
    else chooseSeconds(clamp(view.from + step), clamp(view.from + step));
    refresh();
}

/* ---- calls */

function showCalls(data) {
    byId("calls-part").hidden = !data.followed;
    keep(byId("calls").tBodies[0], data.calls, () => {
        const row = element("tr");
        for (const name of ["number", "number", "number", "number", "name"])
            row.append(element("td", name));
        return row;
    }, (row, c) => {
        const texts = [grouped(c.calls), c.mean_ns ? seconds(c.mean_ns) : "–",
            c.longest_ns ? seconds(c.longest_ns) : "–", grouped(c.running), c.function];
        texts.forEach((text, i) => setText(row.children[i], text));
    });
    const dropped = Object.values(data.dropped).reduce((n, d) => n + d, 0);
    byId("calls-dropped").hidden = !dropped;
    setText(byId("calls-dropped"), `Not counted, past a limit: ${grouped(dropped)} stretches.`);
}

/* ---- all of it */

async function refreshOnce() {
    const part = view.from ? {from: view.from, to: view.to} : {};
    status = await ask("api/status");
    showStatus();
    const [functions, threads, time, calls] = await Promise.allSettled([
        ask("api/functions?" + query({
            re_filter: view.filter, max_records: view.records, thread: view.thread, sort: view.sort,
            ...part,
        })),
        ask("api/threads"),
        ask("api/timeline?" + query({by: view.by, seconds: view.span, state: view.state})),
        ask("api/calls"),
    ]);
    byId("filter").setAttribute("aria-invalid", String(functions.status === "rejected"));
    if (functions.status === "fulfilled") showFunctions(functions.value);
    else setText(byId("count"), functions.reason.message);
    if (threads.status === "fulfilled") showThreads(threads.value);
    if (time.status === "fulfilled" && chart.drag < 0) {
        timeline = time.value;
        drawTime();
    }
    if (calls.status === "fulfilled") showCalls(calls.value);
    remember();
}

async function refresh() {
    if (refreshing) {
        again = true;
        return;
    }
    refreshing = true;
    try {
        do {
            again = false;
            await refreshOnce();
        } while (again);
    } catch (e) {
        setText(byId("state"), e instanceof Refused ? e.message : "oxprof does not answer");
        byId("state").dataset.state = "lost";
    } finally {
        refreshing = false;
    }
}

/* What is shown survives a reload: it is in the address. */
function remember() {
    const kept = query({
        state: view.state, filter: view.filter, sort: view.sort, records: view.records, by: view.by,
        span: view.span,
    });
    if (window.location.hash.slice(1) !== kept) window.history.replaceState(null, "", `#${kept}`);
}

function recall() {
    for (const [key, value] of new URLSearchParams(window.location.hash.slice(1)))
        if (["state", "filter", "sort", "records", "by", "span"].includes(key)) view[key] = value;
    if (view.state !== "wait") view.state = "cpu";
    if (!["self", "total", "name"].includes(view.sort)) view.sort = "self";
    byId("filter").value = view.filter;
    for (const key of ["records", "by", "span"]) {
        byId(key).value = view[key];
        if (!byId(key).value) byId(key).value = view[key] = byId(key).options[0].value;
    }
    for (const radio of document.querySelectorAll("#states input"))
        radio.checked = radio.value === view.state;
}

function listen() {
    byId("pause").addEventListener("click", () => change(status.paused ? "api/resume" : "api/pause"));
    byId("reset").addEventListener("click", () => {
        view.from = view.to = 0;
        change("api/reset");
    });
    byId("snapshot").addEventListener("click", saveSnapshot);
    byId("stop").addEventListener("click", () => {
        if (window.confirm("Stop sampling for good? What was counted stays on this page."))
            change("api/stop");
    });
    byId("interval-form").addEventListener("submit", event => {
        event.preventDefault();
        change("api/interval", {interval: byId("interval").value.trim()});
    });
    byId("filter").addEventListener("input", () => {
        view.filter = byId("filter").value;
        refresh();
    });
    for (const key of ["records", "by", "span", "thread"])
        byId(key).addEventListener("change", () => {
            view[key] = byId(key).value;
            refresh();
        });
    for (const radio of document.querySelectorAll("#states input"))
        radio.addEventListener("change", () => {
            view.state = radio.value;
            refresh();
        });
    for (const head of byId("functions").tHead.querySelectorAll("button"))
        head.addEventListener("click", () => {
            view.sort = head.dataset.sort;
            refresh();
        });
    const canvas = byId("time");
    canvas.addEventListener("pointerdown", event => {
        if (!timeline) return;
        canvas.setPointerCapture(event.pointerId);
        chart.drag = secondAt(event);
        chooseSeconds(chart.drag, chart.drag);
    });
    canvas.addEventListener("pointermove", event => {
        if (chart.drag >= 0) chooseSeconds(chart.drag, secondAt(event));
    });
    for (const end of ["pointerup", "pointercancel"])
        canvas.addEventListener(end, () => {
            chart.drag = -1;
            refresh();
        });
    canvas.addEventListener("keydown", moveByKey);
    byId("unchoose").addEventListener("click", chooseAll);
    byId("flame-show").addEventListener("click", () => {
        const frame = byId("flame"), part = view.from ? `?${query({from: view.from, to: view.to})}` : "";
        frame.hidden = !frame.hidden;
        frame.src = frame.hidden ? "about:blank" : `flame${part}`;
        setText(byId("flame-show"), frame.hidden ? "Show" : "Hide");
    });
    window.addEventListener("resize", drawTime);
    darkMode.addEventListener("change", drawTime);
}

recall();
listen();
refresh();
setInterval(() => {
    if (!document.hidden && chart.drag < 0) refresh();
}, PERIOD_MS);
document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
});

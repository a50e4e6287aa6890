/* SPDX-License-Identifier: MIT */
"use strict";

const ROW_PX = 20, FONT = "12px system-ui, -apple-system, \"Segoe UI\", Roboto, sans-serif";
const TEXT_FROM_PX = 24, PAD_PX = 5, NARROW_PX = 0.6, ANCESTORS_SEEN = 3;

/* Text on each of these fills has a contrast of at least 4.5 (tests/browser checks it). */
const THEMES = {
    light: {text: "#1b1c1e", ground: "#fbfbfa", saturation: 1, lightness: 78, spread: 13,
        narrow: "#c9c9c5", match: "#6b3fc9", matchText: "#ffffff", ring: "#1b1c1e", all: "#e4e4e0"},
    dark: {text: "#f2f2ef", ground: "#17181b", saturation: 0.55, lightness: 29, spread: 13,
        narrow: "#4a4c52", match: "#c3a6ff", matchText: "#17181b", ring: "#ffffff", all: "#303238"},
};

/* Hue from, hue to, saturation. */
const KIND_HUES = {
    native: [24, 44, 80], python: [204, 228, 74], jit: [134, 164, 46], kernel: [296, 328, 54],
    unknown: [0, 0, 0],
};
const HUE_SPREAD = 10;

/* FNV-1a: the same name has the same colour in every graph. */
function hashName(text) {
    let h = 0x811c9dc5;
    for (let i = 0; i < text.length; i++)
        h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
    h = Math.imul(h ^ h >>> 15, 0x2c1b3c6d);
    return ((h ^ h >>> 13) >>> 0) / 0x100000000;
}

/* The kind gives the range, the module the hue in it, the function a shade of that. */
function colorOf(f, theme) {
    const [from, to, saturation] = KIND_HUES[f.kind] || KIND_HUES.unknown;
    const shade = hashName(f.name) - 0.5;
    const hue = from + (to - from) * hashName(f.module || f.file || f.name) + HUE_SPREAD * shade;
    const light = theme.lightness + theme.spread * (hashName(`${f.name} light`) - 0.5);
    const full = saturation * theme.saturation;
    return `hsl(${hue.toFixed(0)} ${full.toFixed(0)}% ${light.toFixed(1)}%)`;
}

/* As much of a text as fits, of so many characters at most; "" where that says nothing. */
function cutText(ctx, text, most, room) {
    for (let n = most; n > 1; n--) {
        const cut = `${text.slice(0, n)}\u2026`;
        if (ctx.measureText(cut).width <= room) return cut;
    }
    return "";
}

class Chart {
    /* on: {zoom(block), point(box or null, where), select(block or -1)} are called. */
    constructor(frame, canvas, extent, on) {
        Object.assign(this, {frame, canvas, extent, on});
        this.model = this.view = null;
        this.focus = 0;
        this.selected = this.pointed = -1;
        this.grow = "icicle";
        this.matching = null;
        this.rows = [];
        this.wide = [];
        this.setTheme("light");
        this.listen();
    }

    setTheme(name) {
        this.theme = THEMES[name];
        this.themeName = name;
        this.colors = [];
        this.redraw();
    }

    setData(model, view, focus, selected) {
        if (model !== this.model) {
            this.colors = [];
            this.wide = [];
        }
        Object.assign(this, {model, view, focus, selected, pointed: -1});
        this.layOut();
        if (this.pointer) this.point(this.boxUnder(this.pointer), this.pointer);
    }

    setFocus(focus) {
        this.focus = focus;
        this.layOut();
        this.showRow(this.view.depth[focus]);
    }

    setGrow(grow) {
        this.grow = grow;
        this.layOut();
        this.showRow(this.view ? this.view.depth[this.focus] : 0);
    }

    setMatching(matching) {
        this.matching = matching;
        this.redraw();
    }

    /* ---- where everything stands */

    layOut() {
        if (!this.view) return;
        this.width = this.frame.clientWidth;
        this.scale = this.width / (this.view.total[this.focus] || 1);
        this.rows = [];
        for (let i = this.view.parent[this.focus]; i >= 0; i = this.view.parent[i])
            this.put(this.view.depth[i], {i, x: 0, w: this.width, above: true});
        this.put(this.view.depth[this.focus], {i: this.focus, x: 0, w: this.width});
        const todo = [this.focus];
        while (todo.length)
            this.layChildren(todo.pop(), todo);
        for (const row of this.rows)
            row.sort((a, b) => a.x - b.x);
        this.height = this.rows.length * ROW_PX;
        this.extent.style.height = `${this.height}px`;
        this.redraw();
    }

    put(depth, box) {
        while (this.rows.length <= depth) this.rows.push([]);
        this.rows[depth].push(box);
    }

    xOf(i) {
        return (this.view.start[i] - this.view.start[this.focus]) * this.scale;
    }

    /* Neighbours that are too narrow to be seen become one box, which is not gone into. */
    layChildren(i, todo) {
        const {view} = this, depth = view.depth[i] + 1;
        let narrow = null;
        for (let c = i + 1; c < view.end[i]; c = view.end[c]) {
            const w = view.total[c] * this.scale;
            if (w >= NARROW_PX) {
                this.put(depth, {i: c, x: this.xOf(c), w});
                todo.push(c);
                narrow = null;
            } else if (narrow) {
                narrow.w += w;
                narrow.blocks++;
                narrow.samples += view.total[c];
                if (view.total[c] > view.total[narrow.widest]) narrow.widest = c;
            } else {
                narrow = {i: -1, x: this.xOf(c), w, blocks: 1, samples: view.total[c], widest: c};
                this.put(depth, narrow);
            }
        }
    }

    top(depth) {
        return this.grow === "icicle" ? depth * ROW_PX : this.height - (depth + 1) * ROW_PX;
    }

    boxAt(x, y) {
        const row = Math.floor(y / ROW_PX);
        const boxes = this.rows[this.grow === "icicle" ? row : this.rows.length - 1 - row];
        if (!boxes) return null;
        let low = 0, high = boxes.length;
        while (low < high) {
            const mid = (low + high) >> 1;
            if (boxes[mid].x <= x) low = mid + 1;
            else high = mid;
        }
        const box = boxes[low - 1];
        return box && x < box.x + Math.max(box.w, 1) ? box : null;
    }

    /* The box in which a block is seen: its own, or that of its narrow neighbours. */
    boxOf(i) {
        const {view} = this;
        const row = this.rows[view.depth[i]] || [], x = this.xOf(i);
        return row.find(b => b.i === i) ||
            row.find(b => b.i < 0 && b.x <= x + 1e-6 && x < b.x + b.w + 1e-6) || null;
    }

    /* Some callers stay in sight, so that one sees that there are any. */
    showRow(depth) {
        const {frame} = this, top = this.top(depth), kept = ANCESTORS_SEEN * ROW_PX;
        const over = top - (this.grow === "icicle" ? kept : 0);
        const under = top + ROW_PX + (this.grow === "icicle" ? 0 : kept);
        if (over < frame.scrollTop) frame.scrollTop = over;
        else if (under > frame.scrollTop + frame.clientHeight)
            frame.scrollTop = this.grow === "icicle" ? over : under - frame.clientHeight;
    }

    /* ---- drawing */

    redraw() {
        if (!this.view || this.drawing) return;
        this.drawing = requestAnimationFrame(() => {
            this.drawing = 0;
            this.draw();
        });
    }

    /* The canvas is as large as what is seen of it, and moves along. */
    fitCanvas() {
        const {canvas, frame} = this, ratio = window.devicePixelRatio || 1;
        const w = Math.round(frame.clientWidth * ratio), h = Math.round(frame.clientHeight * ratio);
        if (canvas.width !== w || canvas.height !== h) {
            canvas.width = w;
            canvas.height = h;
            canvas.style.width = `${frame.clientWidth}px`;
            canvas.style.height = `${frame.clientHeight}px`;
        }
        const ctx = canvas.getContext("2d");
        ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
        ctx.clearRect(0, 0, frame.clientWidth, frame.clientHeight);
        ctx.translate(0, -frame.scrollTop);
        return ctx;
    }

    draw() {
        if (!this.frame.clientWidth) return;
        const ctx = this.fitCanvas(), {scrollTop, clientHeight} = this.frame;
        ctx.font = FONT;
        ctx.textBaseline = "middle";
        this.rows.forEach((row, depth) => {
            const top = this.top(depth);
            if (top + ROW_PX < scrollTop || top > scrollTop + clientHeight) return;
            for (const box of row)
                this.drawBox(ctx, box, top);
        });
        this.drawRing(ctx, this.pointed, 1);
        this.drawRing(ctx, this.selected, 2);
        if (this.drawn) this.drawn();
    }

    fill(box) {
        const f = box.i < 0 ? ALL : this.view.fn[box.i];
        if (box.i < 0) return this.theme.narrow;
        if (f < 0) return this.theme.all;
        if (this.matching && this.matching[f]) return this.theme.match;
        if (this.view.sides) {
            const {news, change} = compareBlock(this.view, box.i, "total");
            return diffColor(this.themeName, news ? change : 0);
        }
        return this.colors[f] || (this.colors[f] = colorOf(this.model.functions[f], this.theme));
    }

    isMatch(box) {
        const f = box.i < 0 ? -1 : this.view.fn[box.i];
        return Boolean(this.matching && f >= 0 && this.matching[f]);
    }

    drawBox(ctx, box, top) {
        const faint = box.above || (this.matching && !this.isMatch(box));
        ctx.globalAlpha = faint ? (box.above && !this.matching ? 0.5 : 0.35) : 1;
        ctx.fillStyle = this.fill(box);
        const gap = box.w > 3 ? 1 : box.w > 1.5 ? 0.4 : 0;
        ctx.fillRect(box.x, top + 0.5, Math.max(box.w - gap, 0.5), ROW_PX - 1);
        ctx.globalAlpha = 1;
        if (box.i >= 0 && box.w > TEXT_FROM_PX) this.drawText(ctx, box, top);
    }

    drawText(ctx, box, top) {
        const room = box.w - 2 * PAD_PX, f = this.view.fn[box.i];
        const text = this.nameOf(box.i);
        const wide = f < 0 ? ctx.measureText(text).width :
            this.wide[f] || (this.wide[f] = ctx.measureText(text).width);
        const most = Math.floor(text.length * room / wide);
        const seen = wide <= room ? text : cutText(ctx, text, most, room);
        if (!seen) return;
        ctx.fillStyle = this.isMatch(box) ? this.theme.matchText : this.theme.text;
        ctx.fillText(seen, box.x + PAD_PX, top + ROW_PX / 2 + 0.5);
    }

    drawRing(ctx, i, width) {
        const box = i >= 0 ? this.boxOf(i) : null;
        if (!box) return;
        ctx.strokeStyle = this.theme.ring;
        ctx.lineWidth = width;
        const half = width / 2;
        ctx.strokeRect(box.x + half, this.top(this.view.depth[i]) + half,
            Math.max(box.w - width, 2), ROW_PX - width);
    }

    nameOf(i) {
        const f = this.view.fn[i];
        if (f >= 0) return this.model.functions[f].name;
        return f === GROUP ? this.view.labels.get(i) : "all";
    }

    /* ---- pointer and keys */

    listen() {
        const {frame} = this;
        frame.addEventListener("scroll", () => this.redraw(), {passive: true});
        frame.addEventListener("pointermove", e => this.point(this.boxUnder(e), e));
        frame.addEventListener("pointerleave", () => this.point(null, null));
        frame.addEventListener("click", e => this.click(this.boxUnder(e)));
        frame.addEventListener("keydown", e => this.key(e));
        frame.addEventListener("blur", () => this.select(-1));
        new ResizeObserver(() => this.layOut()).observe(frame);
    }

    boxUnder(e) {
        const at = this.frame.getBoundingClientRect();
        return this.boxAt(e.clientX - at.left - this.frame.clientLeft,
            e.clientY - at.top - this.frame.clientTop + this.frame.scrollTop);
    }

    point(box, e) {
        this.pointer = e && {clientX: e.clientX, clientY: e.clientY};
        const i = box ? (box.i < 0 ? box.widest : box.i) : -1;
        if (i !== this.pointed) {
            this.pointed = i;
            this.redraw();
        }
        this.frame.style.cursor = box ? "pointer" : "";
        this.on.point(box, e && {x: e.clientX, y: e.clientY});
    }

    click(box) {
        if (box) this.on.zoom(box.i < 0 ? box.widest : box.i);
    }

    /* Where a block is on the screen. */
    screenBox(i) {
        const at = this.frame.getBoundingClientRect(), box = this.boxOf(i);
        if (!box) return null;
        return {x: at.left + box.x, w: box.w,
            y: at.top + this.top(this.view.depth[i]) - this.frame.scrollTop};
    }

    select(i) {
        this.selected = i;
        if (i >= 0) this.showRow(this.view.depth[i]);
        this.redraw();
        this.on.select(i);
    }

    key(e) {
        if (!this.view || e.ctrlKey || e.altKey || e.metaKey) return;
        const deeper = this.grow === "icicle" ? "ArrowDown" : "ArrowUp";
        const moves = {
            [deeper]: () => this.inward(), ArrowLeft: () => this.aside(-1),
            [deeper === "ArrowUp" ? "ArrowDown" : "ArrowUp"]: () => this.outward(),
            ArrowRight: () => this.aside(1), Home: () => this.focus,
        };
        if (moves[e.key]) this.select(this.selected < 0 ? this.focus : moves[e.key]());
        else if (e.key === "Enter" && this.selected >= 0) this.on.zoom(this.selected);
        else if (e.key === "Backspace") this.on.zoom(Math.max(this.view.parent[this.focus], 0));
        else return;
        e.preventDefault();
    }

    inward() {
        const {view, selected} = this;
        let widest = -1;
        for (let c = selected + 1; c < view.end[selected]; c = view.end[c])
            if (widest < 0 || view.total[c] > view.total[widest]) widest = c;
        return widest < 0 ? selected : widest;
    }

    outward() {
        return Math.max(this.view.parent[this.selected], 0);
    }

    /* The next block of the same row: of the same caller, or of the next one. */
    aside(step) {
        const {view, selected, focus} = this, depth = view.depth[selected];
        if (depth <= view.depth[focus]) return selected;
        const first = focus + 1, end = view.end[focus];
        for (let i = selected + step; i >= first && i < end; i += step)
            if (view.depth[i] === depth) return i;
        return selected;
    }
}

/* SPDX-License-Identifier: MIT */
"use strict";

/*
 * The data (schema oxprof.stacks/1, written by lib/report/flamedata.c) as typed arrays. Nodes stand
 * in preorder, siblings by name; node 0 is the root, which no function belongs to.
 */
function decodeModel(data) {
    if (data.schema !== "oxprof.stacks/1")
        throw new Error(`this page reads oxprof.stacks/1, not ${data.schema}`);
    const n = data.nodes.length / 2 + 1;
    const fn = new Int32Array(n).fill(-1), parent = new Int32Array(n), lastAt = [0];
    for (let i = 1; i < n; i++) {
        const depth = data.nodes[2 * i - 1];
        fn[i] = data.nodes[2 * i - 2];
        parent[i] = lastAt[depth - 1];
        lastAt[depth] = i;
    }
    return {
        head: data, n, fn, parent, functions: decodeFunctions(data), threads: decodeThreads(data),
        counts: decodeCounts(data), sides: data.sides || null,
        sideOf: data.threads.map(([, tid]) => tid - 1), /* where there are sides */
    };
}

function decodeFunctions(data) {
    const s = data.strings;
    return data.functions.map(([name, place, kind, module, file, line]) => ({
        name: s[name], place: s[place], kind: data.kinds[kind], module: s[module], file: s[file],
        line, label: place ? `${s[name]} (${s[place]})` : s[name],
    }));
}

function decodeThreads(data) {
    return data.threads.map(([pid, tid, name, process]) => ({
        pid, tid,
        label: tid ? `${data.strings[name]} (${tid})` : data.strings[name],
        process: pid ? `${data.strings[process]} (pid ${pid})` : data.strings[process],
    }));
}

const STATES = ["cpu", "wait"];

function decodeCounts(data) {
    const n = data.counts.length / 3;
    const c = {n, node: new Int32Array(n), thread: new Int32Array(n), state: new Uint8Array(n),
        hits: new Float64Array(n), samples: {cpu: 0, wait: 0, both: 0}};
    for (let i = 0, node = 0; i < n; i++) {
        node += data.counts[3 * i];
        c.node[i] = node;
        c.thread[i] = data.counts[3 * i + 1] >> 1;
        c.state[i] = data.counts[3 * i + 1] & 1;
        c.hits[i] = data.counts[3 * i + 2];
        c.samples[STATES[c.state[i]]] += c.hits[i];
        c.samples.both += c.hits[i];
    }
    return c;
}

/* The same function has the same key in the next data, where its number may be another. */
function functionKey(f) {
    return `${f.kind}\n${f.name}\n${f.place}`;
}

/*
 * What is shown: {state: cpu, wait or both; thread: number or -1; split: none, process or thread;
 * order: size or name}. Returns groups of counts, the largest first.
 */
function groupCounts(model, selection) {
    const c = model.counts, groups = new Map();
    const wanted = STATES.indexOf(selection.state);
    for (let i = 0; i < c.n; i++) {
        if (wanted >= 0 && c.state[i] !== wanted) continue;
        if (selection.thread >= 0 && c.thread[i] !== selection.thread) continue;
        const thread = model.threads[c.thread[i]];
        const label = selection.split === "thread" ? thread.label :
            selection.split === "process" ? thread.process : "";
        let group = groups.get(label);
        if (!group) groups.set(label, group = {label, members: [], samples: 0});
        group.members.push(i);
        group.samples += c.hits[i];
    }
    return [...groups.values()].sort((a, b) => b.samples - a.samples);
}

/* SELF and TOTAL of a tree's nodes; hits(m): of a count. */
function sumTree(tree, members, nodeOf, hits) {
    const self = new Float64Array(tree.k);
    for (const m of members)
        self[nodeOf(m)] += hits(m);
    const total = self.slice();
    for (let j = tree.k - 1; j > 0; j--)
        total[tree.up[j]] += total[j];
    return {self, total};
}

/* The part of the tree that a group's counts reach, with SELF and TOTAL; still in preorder. */
function groupTree(model, members, scratch, samples) {
    const {counts, parent} = model, {local, list} = scratch;
    let k = 0;
    list[k++] = 0;
    local[0] = 0;
    for (const m of members)
        for (let i = counts.node[m]; local[i] < 0; i = parent[i]) {
            local[i] = 0;
            list[k++] = i;
        }
    const nodes = list.slice(0, k).sort(), up = new Int32Array(k);
    for (let j = 0; j < k; j++) {
        local[nodes[j]] = j;
        up[j] = local[parent[nodes[j]]];
    }
    const tree = {k, nodes, up}, nodeOf = m => local[counts.node[m]];
    Object.assign(tree, sumTree(tree, members, nodeOf,
        m => samples ? weightOf(model, samples, m) : counts.hits[m]));
    if (samples)
        tree.sides = SIDES.map(side => sumTree(tree, members, nodeOf,
            m => model.sideOf[counts.thread[m]] === side ? counts.hits[m] : 0));
    for (let j = 0; j < k; j++)
        local[nodes[j]] = -1;
    return tree;
}

/* First children and next siblings, in the order in which they are to be drawn; -1: none. */
function linkTree(tree, bySize) {
    const first = new Int32Array(tree.k).fill(-1), next = new Int32Array(tree.k).fill(-1);
    for (let j = tree.k - 1; j > 0; j--) {
        next[j] = first[tree.up[j]];
        first[tree.up[j]] = j;
    }
    for (let j = 0; bySize && j < tree.k; j++) {
        if (first[j] < 0 || next[first[j]] < 0) continue;
        const children = [];
        for (let c = first[j]; c >= 0; c = next[c])
            children.push(c);
        children.sort((a, b) => tree.total[b] - tree.total[a]);
        first[j] = children[0];
        children.push(-1);
        for (let at = 0; at + 1 < children.length; at++)
            next[children[at]] = children[at + 1];
    }
    return {first, next};
}

function newView(n, samples) {
    const side = () => ({self: new Float64Array(n), total: new Float64Array(n)});
    return {samples, sides: samples && SIDES.map(side), z: samples && zOf(n), n: 0, fn: new Int32Array(n), parent: new Int32Array(n), depth: new Int32Array(n),
        end: new Int32Array(n), start: new Float64Array(n), total: new Float64Array(n),
        self: new Float64Array(n), filled: new Float64Array(n), labels: new Map()};
}

/* Blocks stand in preorder too: those inside of block i are i + 1 up to end[i]. */
function addBlock(view, up, fn, total, self) {
    const i = view.n++;
    view.parent[i] = up;
    view.fn[i] = fn;
    view.total[i] = total;
    view.self[i] = self;
    view.end[i] = view.n;
    if (up < 0) return i;
    view.depth[i] = view.depth[up] + 1;
    view.start[i] = view.filled[i] = view.filled[up];
    view.filled[up] += total;
    return i;
}

function closeBlock(view, i) {
    view.end[i] = view.n;
}

function setSides(view, i, tree, j) {
    if (!tree.sides) return;
    tree.sides.forEach(({self, total}, s) => {
        view.sides[s].self[i] = self[j];
        view.sides[s].total[i] = total[j];
    });
}

function addTree(model, view, tree, top, bySize) {
    const {first, next} = linkTree(tree, bySize), block = new Int32Array(tree.k);
    block[0] = top;
    setSides(view, top, tree, 0);
    let j = first[0];
    while (j > 0) {
        block[j] = addBlock(view, block[tree.up[j]], model.fn[tree.nodes[j]], tree.total[j],
            tree.self[j]);
        setSides(view, block[j], tree, j);
        if (first[j] >= 0) {
            j = first[j];
            continue;
        }
        while (j > 0 && next[j] < 0) {
            closeBlock(view, block[j]);
            j = tree.up[j];
        }
        if (j > 0) {
            closeBlock(view, block[j]);
            j = next[j];
        }
    }
    closeBlock(view, top);
}

const ALL = -1, GROUP = -2; /* what stands for a function in blocks that are none */

function buildView(model, selection) {
    const groups = groupCounts(model, selection), split = selection.split !== "none";
    const scratch = {local: new Int32Array(model.n).fill(-1), list: new Int32Array(model.n)};
    const bySide = model.sides && sideSamples(model, selection);
    const trees = groups.map(g => groupTree(model, g.members, scratch, bySide));
    const samples = trees.reduce((sum, t) => sum + t.total[0], 0);
    const view = newView(1 + trees.reduce((sum, t) => sum + t.k, 0), bySide);
    addBlock(view, -1, ALL, samples, 0);
    trees.forEach((tree, g) => {
        let top = 0;
        if (split) {
            top = addBlock(view, 0, GROUP, tree.total[0], 0);
            view.labels.set(top, groups[g].label);
        }
        addTree(model, view, tree, top, selection.order === "size");
    });
    closeBlock(view, 0);
    return view;
}

/*
 * SELF and TOTAL of each function inside of a block. Recursion counts once: of main > f > f only
 * the outer f adds to the TOTAL of f, as long as we are inside of it. of: whose counts.
 */
function tallyFunctions(model, view, from, of = view) {
    const n = model.functions.length;
    const self = new Float64Array(n), total = new Float64Array(n), inside = new Int32Array(n);
    for (let i = from; i < view.end[from]; i++) {
        const f = view.fn[i];
        if (f < 0) continue;
        self[f] += of.self[i];
        if (i < inside[f]) continue;
        total[f] += of.total[i];
        inside[f] = view.end[i];
    }
    const rows = [];
    for (let f = 0; f < n; f++)
        if (total[f]) rows.push({f, self: self[f], total: total[f]});
    return rows;
}

/* Samples inside of a block that have a matching function anywhere in their stack below it. */
function matchedSamples(view, matching, from, of = view) {
    let sum = 0;
    for (let i = from; i < view.end[from];) {
        const hit = view.fn[i] >= 0 && matching[view.fn[i]];
        sum += hit ? of.total[i] : 0;
        i = hit ? view.end[i] : i + 1;
    }
    return sum;
}

function blockKey(model, view, i) {
    if (view.fn[i] === GROUP) return `group\n${view.labels.get(i)}`;
    return functionKey(model.functions[view.fn[i]]);
}

/* Keys from below the root down to a block: by them it is found again in another view. */
function pathOf(model, view, i) {
    const keys = [];
    for (; i > 0; i = view.parent[i])
        keys.unshift(blockKey(model, view, i));
    return keys;
}

/* The deepest block that the path still leads to. */
function followPath(model, view, keys) {
    let at = 0;
    for (const key of keys) {
        let child = at + 1;
        while (child < view.end[at] && blockKey(model, view, child) !== key)
            child = view.end[child];
        if (child >= view.end[at]) return at;
        at = child;
    }
    return at;
}

/* As the text report rounds: half up, exactly. */
function percent(part, whole) {
    const hundredths = whole ? Math.floor((part * 10000 + whole / 2) / whole) : 0;
    const digits = String(hundredths).padStart(3, "0");
    return `${digits.slice(0, -2)}.${digits.slice(-2)}%`;
}

function grouped(n) {
    return String(n).replace(/\B(?=(\d{3})+$)/g, ",");
}

function counted(n, noun) {
    return `${grouped(n)} ${noun}${n === 1 ? "" : "s"}`;
}

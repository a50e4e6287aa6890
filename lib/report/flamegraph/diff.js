/* SPDX-License-Identifier: MIT */
"use strict";

/*
 * Two profiles in one graph. The data's threads are its two sides; of each block both are counted,
 * and its width is the mean of its shares. What chance would do to any of so many blocks or
 * functions is no news (report/interval.h has the same figures for the text).
 */
const BEFORE = 0, AFTER = 1, SIDES = [BEFORE, AFTER];

/* The complementary error function for x > 1, by its continued fraction. */
function erfcOf(x) {
    let t = 0;
    for (let k = 120; k > 0; k--)
        t = k / 2 / (x + t);
    return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + t);
}

/* The z for which n intervals all hold in 95 of 100 cases (Bonferroni). */
function zOf(n) {
    let low = 1.9, high = 40;
    for (let i = 0; i < 60; i++) {
        const z = (low + high) / 2;
        if (erfcOf(z / Math.SQRT2) > 0.05 / Math.max(n, 1)) low = z;
        else high = z;
    }
    return low;
}

/* Wilson's score interval of a share. */
function intervalOf(hits, samples, z) {
    if (!samples) return [0, 1];
    const p = hits / samples, zz = z * z / samples;
    const middle = (p + zz / 2) / (1 + zz);
    const half = z * Math.sqrt(p * (1 - p) / samples + zz / samples / 4) / (1 + zz);
    return [hits ? Math.max(middle - half, 0) : 0, hits < samples ? Math.min(middle + half, 1) : 1];
}

/* Two counts of hits, compared: shares, their difference, its error (Newcombe's), whether it is news;
 * change: -1 for what is gone, 1 for what is new. */
function compareHits(hits, samples, z) {
    const share = SIDES.map(s => samples[s] ? hits[s] / samples[s] : 0);
    const [a, b] = SIDES.map(s => intervalOf(hits[s], samples[s], z));
    const difference = share[AFTER] - share[BEFORE], sum = share[AFTER] + share[BEFORE];
    const low = difference - Math.hypot(share[AFTER] - b[0], a[1] - share[BEFORE]);
    const high = difference + Math.hypot(b[1] - share[AFTER], share[BEFORE] - a[0]);
    const error = Math.max(difference - low, high - difference);
    return {hits, share, difference, error, news: Math.abs(difference) > error,
        change: sum ? difference / sum : 0};
}

/* Samples of each side in a selection. */
function sideSamples(model, selection) {
    const c = model.counts, wanted = STATES.indexOf(selection.state), samples = [0, 0];
    for (let i = 0; i < c.n; i++)
        if (wanted < 0 || c.state[i] === wanted) samples[model.sideOf[c.thread[i]]] += c.hits[i];
    return samples;
}

/* Makes shares of the hits: a side as a whole is a half. */
function weightOf(model, samples, i) {
    const side = model.sideOf[model.counts.thread[i]];
    return samples[side] ? model.counts.hits[i] / samples[side] / 2 : 0;
}

/* What a block is on both sides. */
function compareBlock(view, i, what) {
    const hits = SIDES.map(s => view.sides[s][what][i]);
    return compareHits(hits, view.samples, view.z);
}

/* The functions inside of a block, by their SELF. */
function compareFunctions(model, view, from) {
    const sides = SIDES.map(s => tallyFunctions(model, view, from, view.sides[s]));
    const hits = new Map();
    sides.forEach((rows, s) => rows.forEach(row => {
        if (!hits.has(row.f)) hits.set(row.f, [0, 0]);
        hits.get(row.f)[s] = row.self;
    }));
    const tested = [...hits.values()].filter(([a, b]) => a || b).length, z = zOf(tested);
    return [...hits].map(([f, both]) => ({f, ...compareHits(both, view.samples, z)}));
}

/* A share, without its sign: "18.85", as the text report rounds. */
function pointsOf(share) {
    const digits = String(Math.floor(Math.abs(share) * 10000 + 0.5 + 1e-9)).padStart(3, "0");
    return `${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

function points(difference) {
    const text = pointsOf(difference);
    return text === "0.00" ? text : `${difference < 0 ? "\u2212" : "+"}${text}`;
}

/* Hue and the lightness of what is all new or all gone, and of what has hardly changed. */
const DIFF_COLORS = {
    light: {gained: [14, 90, 66, 88], lost: [212, 80, 70, 89], same: "#e2e2de"},
    dark: {gained: [10, 62, 41, 29], lost: [214, 52, 42, 29], same: "#35373d"},
};

function diffColor(theme, change) {
    const {same, [change < 0 ? "lost" : "gained"]: [hue, saturation, most, least]} =
        DIFF_COLORS[theme];
    if (!change) return same;
    const light = least + (most - least) * Math.min(1, Math.abs(change) * 1.25);
    return `hsl(${hue} ${saturation}% ${light.toFixed(1)}%)`;
}

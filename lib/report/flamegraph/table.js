/* SPDX-License-Identifier: MIT */
"use strict";

const ROWS_AT_FIRST = 100, ROWS_MORE = 1000;

/* The way in which a column is sorted when its head is first pressed. */
const COLUMN_ORDER = {self: -1, total: -1, kind: 1, name: 1};
const DIFF_HEADS = ["Before", "After", "Diff", "Error"]; /* of the first columns, of two profiles */

function element(tag, text, name) {
    const e = document.createElement(tag);
    if (text !== undefined) e.textContent = text;
    if (name) e.className = name;
    return e;
}

class FunctionTable {
    /* pick(function) is called when a function's name is pressed. */
    constructor(table, more, pick) {
        Object.assign(this, {body: table.tBodies[0], heads: table.tHead, more, pick});
        this.column = "self";
        this.direction = COLUMN_ORDER.self;
        this.shown = ROWS_AT_FIRST;
        this.heads.addEventListener("click", e => this.sortBy(e.target.dataset.sort));
        more.addEventListener("click", () => this.showMore());
    }

    /* rows: {f, self, total} of all functions that are to be seen; of two profiles as
     * compareFunctions() has them. */
    setRows(model, rows, samples) {
        if (model.sides && !this.sides) this.headSides();
        Object.assign(this, {model, rows, samples, sides: model.sides});
        this.render();
    }

    /* Largest differences first. */
    headSides() {
        DIFF_HEADS.forEach((text, i) => {
            const th = this.heads.rows[0].cells[i];
            (th.querySelector("button") || th).textContent = text;
        });
        this.column = "total";
        this.direction = COLUMN_ORDER.total;
    }

    sortBy(column) {
        if (!column || !this.rows) return;
        this.direction = column === this.column ? -this.direction : COLUMN_ORDER[column];
        this.column = column;
        this.render();
    }

    /* SELF, then TOTAL, then name, as in the text report; other columns before those. */
    compare(a, b) {
        const f = this.model.functions, names = (x, y) => x < y ? -1 : x > y ? 1 : 0;
        if (this.sides)
            [a, b] = [a, b].map(({f: of, share, difference, news}) => ({f: of,
                self: this.column === "self" ? share[BEFORE] : 0,
                total: Math.round(1e9 * Math.abs(difference)) + (news ? 1e10 : 0)}));
        const by = {
            self: () => a.self - b.self, total: () => a.total - b.total,
            kind: () => names(f[a.f].kind, f[b.f].kind),
            name: () => a.f - b.f, /* functions are numbered by name */
        };
        return this.direction * by[this.column]() || b.self - a.self || b.total - a.total ||
            by.name();
    }

    render() {
        this.rows.sort((a, b) => this.compare(a, b));
        for (const button of this.heads.querySelectorAll("button")) {
            const order = button.dataset.sort !== this.column ? "none" :
                this.direction < 0 ? "descending" : "ascending";
            button.closest("th").setAttribute("aria-sort", order);
        }
        const active = document.activeElement, had = this.body.contains(active);
        this.body.replaceChildren(...this.rows.slice(0, this.shown).map(r => this.rowOf(r)));
        if (had) this.refocus(active.dataset.key);
        this.offerMore();
    }

    refocus(key) {
        const buttons = [...this.body.querySelectorAll("button")];
        const again = buttons.find(button => button.dataset.key === key);
        if (again) again.focus({preventScroll: true});
    }

    offerMore() {
        const left = this.rows.length - this.shown;
        this.more.hidden = left <= 0;
        const offered = Math.min(left, ROWS_MORE);
        this.more.textContent = `Show ${grouped(offered)} more of ${grouped(left)}`;
    }

    showMore() {
        const before = this.shown;
        this.shown += ROWS_MORE;
        const added = this.rows.slice(before, this.shown).map(r => this.rowOf(r));
        this.body.append(...added);
        this.offerMore();
        added[0].querySelector("button").focus();
    }

    rowOf(row) {
        const f = this.model.functions[row.f], tr = element("tr");
        tr.append(...(this.sides ? this.sideCells(row) : this.countCells(row)),
            element("td", f.kind, `kind ${f.kind}`), this.nameCell(f));
        tr.setAttribute("role", "row");
        for (const td of tr.cells)
            td.setAttribute("role", "cell");
        return tr;
    }

    countCells(row) {
        return [element("td", grouped(row.self), "number"),
            element("td", percent(row.self, this.samples), "number share"),
            element("td", grouped(row.total), "number"),
            element("td", percent(row.total, this.samples), "number share")];
    }

    sideCells(row) {
        const news = !row.news ? "share" : row.difference < 0 ? "lost" : "gained";
        return [...SIDES.map(s => element("td", percent(row.hits[s], this.samples[s]), "number")),
            element("td", points(row.difference), `number ${news}`),
            element("td", `\u00b1${pointsOf(row.error)}`, "number share")];
    }

    nameCell(f) {
        const td = element("td", undefined, "name"), button = element("button", f.name);
        button.type = "button";
        button.dataset.key = functionKey(f);
        button.title = "Search for this function";
        button.addEventListener("click", () => this.pick(f));
        td.append(button);
        if (f.place) td.append(" ", element("span", f.place, "place"));
        return td;
    }
}

/* SPDX-License-Identifier: MIT */
"use strict";

const ROWS_AT_FIRST = 100, ROWS_MORE = 1000;

/* The way in which a column is sorted when its head is first pressed. */
const COLUMN_ORDER = {self: -1, total: -1, kind: 1, name: 1};

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

    /* rows: {f, self, total} of all functions that are to be seen. */
    setRows(model, rows, samples) {
        Object.assign(this, {model, rows, samples});
        this.render();
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
        tr.append(element("td", grouped(row.self), "number"),
            element("td", percent(row.self, this.samples), "number share"),
            element("td", grouped(row.total), "number"),
            element("td", percent(row.total, this.samples), "number share"),
            element("td", f.kind, `kind ${f.kind}`), this.nameCell(f));
        tr.setAttribute("role", "row");
        for (const td of tr.cells)
            td.setAttribute("role", "cell");
        return tr;
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

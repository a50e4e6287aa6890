/* SPDX-License-Identifier: MIT */
#include "unwind/rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

enum {
    ROWS_MAX = 1 << 17,  /* 3.5 MiB; then all are forgotten, and compiled anew as they are needed */
    SPANS_MAX = 1 << 16, /* of all modules; 2 MiB */
    CACHE_BITS = 12,
    CACHE_WAYS = 2,
    MODULE_BITS = 20, /* of a tag */
    WORD = 8
};

/* What one FDE, or one of Go's functions, covers, and its rows; none where its program is not to be
 * trusted. */
struct span {
    uint64_t start, end; /* vaddr */
    uint32_t first, n;   /* in rows */
    uint8_t go;          /* enum go_role */
};

/* One module's, sorted by start. */
struct span_table {
    struct span *spans; /* owned */
    size_t n, cap;
};

_Static_assert(sizeof(struct row) == 28, "two cached rows are little more than a cache line");

struct cached {
    uint64_t vaddr;
    uint32_t tag; /* see tag_of(); 0: empty */
    struct row row;
};

struct rows {
    struct cfi *cfi;             /* borrowed */
    struct go_stacks *go_stacks; /* borrowed */
    struct pages *pages;         /* borrowed */
    struct map modules;          /* module's id -> place in tables */
    struct span_table *tables;   /* owned */
    size_t n_tables, cap_tables;
    struct row *rows; /* owned */
    size_t n, cap, n_spans;
    uint32_t epoch; /* how often all were forgotten */
    struct cached cache[1 << CACHE_BITS][CACHE_WAYS];
};

struct rows *rows_new(struct cfi *c, struct go_stacks *g, struct pages *p)
{
    struct rows *r = mem_alloc(sizeof(*r));
    r->cfi = c;
    r->go_stacks = g;
    r->pages = p;
    return r;
}

void rows_forget(struct rows *r)
{
    for (size_t i = 0; i < r->n_tables; i++)
        free(r->tables[i].spans);
    map_release(&r->modules);
    r->n_tables = r->n = r->n_spans = 0;
    r->epoch++;
    if (!(r->epoch << MODULE_BITS)) /* the tags begin anew */
        memset(r->cache, 0, sizeof(r->cache));
}

void rows_free(struct rows *r)
{
    if (!r)
        return;
    rows_forget(r);
    free(r->tables);
    free(r->rows);
    free(r);
}

static bool is_unsaid(const struct cfi_rule *rule)
{
    return rule->where == CFI_UNSAID || rule->where == CFI_SAME;
}

static bool put_cfa(struct row *row, const struct cfi_rule *cfa)
{
    row->cfa_reg = cfa->reg;
    row->cfa_offset = (int32_t)cfa->offset;
    return cfa->where == CFI_OFFSET && cfa->reg != DWREG_RIP && cfa->offset == row->cfa_offset;
}

/* False where a row can't say it. */
static bool put_rule(struct row *row, unsigned i, const struct cfi_rule *rule)
{
    enum row_where where = ROW_KEPT;
    if (rule->where == CFI_UNDEFINED) {
        where = ROW_LOST;
    } else if (rule->where == CFI_OFFSET) {
        where = ROW_SAVED;
        row->saved[i] = (int16_t)(rule->offset / WORD);
        if (row->saved[i] * INT64_C(8) != rule->offset)
            return false;
    } else if (!is_unsaid(rule)) {
        return false;
    }
    row->where = (uint16_t)(row->where | where << (2 * i));
    return i != ROW_RA || where != ROW_KEPT;
}

static bool put_rules(struct row *row, const struct cfi_state *state)
{
    static const int8_t place[DWREG_N] = {
        [DWREG_RAX] = -1,      [DWREG_RDX] = -1,      [DWREG_RCX] = -1,      [DWREG_RBX] = ROW_RBX,
        [DWREG_RSI] = -1,      [DWREG_RDI] = -1,      [DWREG_RBP] = ROW_RBP, [DWREG_RSP] = -1,
        [DWREG_R8] = -1,       [DWREG_R9] = -1,       [DWREG_R10] = -1,      [DWREG_R11] = -1,
        [DWREG_R12] = ROW_R12, [DWREG_R13] = ROW_R13, [DWREG_R14] = ROW_R14, [DWREG_R15] = ROW_R15,
        [DWREG_RIP] = ROW_RA,
    };
    for (unsigned i = 0; i < DWREG_N; i++) {
        const struct cfi_rule *rule = &state->regs[i];
        if (place[i] < 0 ? !is_unsaid(rule) : !put_rule(row, (unsigned)place[i], rule))
            return false;
    }
    return true;
}

struct compiling {
    struct rows *rows;
    const struct cfi_fde *fde;
    size_t first;
};

static bool is_like(const struct row *a, const struct row *b)
{
    return a->how == b->how && a->cfa_reg == b->cfa_reg && a->cfa_offset == b->cfa_offset &&
           a->where == b->where && !memcmp(a->saved, b->saved, sizeof(a->saved));
}

static bool row_take(void *arg, uint64_t start, uint64_t end, const struct cfi_state *state)
{
    struct compiling *c = arg;
    struct rows *r = c->rows;
    struct row row = {.how = ROW_PLAIN};
    (void)end;
    if (c->fde->cie->signal_frame)
        row = (struct row){.how = ROW_SIGNAL};
    else if (!put_cfa(&row, &state->cfa) || !put_rules(&row, state))
        row = (struct row){.how = ROW_LIBUNWIND};
    if (r->n > c->first && is_like(&r->rows[r->n - 1], &row))
        return true;
    row.start = (uint32_t)(start - c->fde->start);
    r->rows = mem_grow(r->rows, &r->cap, r->n + 1, sizeof(*r->rows));
    r->rows[r->n++] = row;
    return true;
}

/* The first span that starts above vaddr; t->n if none does. */
static size_t first_above(const struct span_table *t, uint64_t vaddr)
{
    size_t lo = 0, hi = t->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (t->spans[mid].start <= vaddr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static const struct span *span_add(struct rows *r, struct span_table *t, struct span span)
{
    size_t i = first_above(t, span.start);
    /* FDEs that overlap: the one that was asked for last */
    if (i && t->spans[i - 1].start == span.start) {
        t->spans[i - 1] = span;
        return &t->spans[i - 1];
    }
    r->n_spans++;
    t->spans = mem_grow(t->spans, &t->cap, t->n + 1, sizeof(*t->spans));
    memmove(&t->spans[i + 1], &t->spans[i], (t->n - i) * sizeof(*t->spans));
    t->spans[i] = span;
    t->n++;
    return &t->spans[i];
}

static struct span_table *table_get(struct rows *r, const struct module *m)
{
    const uint64_t *place = map_find(&r->modules, m->id, 0);
    if (place)
        return &r->tables[*place];
    map_put(&r->modules, m->id, 0, r->n_tables);
    r->tables = mem_grow(r->tables, &r->cap_tables, r->n_tables + 1, sizeof(*r->tables));
    r->tables[r->n_tables] = (struct span_table){0};
    return &r->tables[r->n_tables++];
}

static void make_room(struct rows *r)
{
    if (r->n >= ROWS_MAX || r->n_spans >= SPANS_MAX)
        rows_forget(r);
}

/* Its rows go behind the others. False: no CFI describes vaddr. */
static bool span_of_cfi(struct rows *r, struct module *m, uint64_t vaddr, struct span *ret_span)
{
    struct cfi_fde fde;
    if (cfi_find(r->cfi, m, vaddr, &fde) < 0)
        return false;
    struct compiling c = {.rows = r, .fde = &fde, .first = r->n};
    if (fde.end - fde.start > UINT32_MAX || cfi_fde_run(&fde, row_take, &c) < 0)
        r->n = c.first;
    *ret_span = (struct span){.start = fde.start,
                              .end = fde.end,
                              .first = (uint32_t)c.first,
                              .n = (uint32_t)(r->n - c.first)};
    return true;
}

struct compiling_go {
    struct rows *rows;
    const struct span *span;
    uint64_t done; /* vaddr */
};

static void row_add(struct rows *r, const struct span *s, uint64_t vaddr, struct row row)
{
    row.start = (uint32_t)(vaddr - s->start);
    r->rows = mem_grow(r->rows, &r->cap, r->n + 1, sizeof(*r->rows));
    r->rows[r->n++] = row;
}

/* Go's compiler saves RBP right below the return address wherever a function has a frame. */
static bool go_row_take(void *arg, uint64_t start, uint64_t end, uint32_t delta)
{
    struct compiling_go *c = arg;
    struct row row = {.how = ROW_GO, .cfa_reg = DWREG_RSP, .cfa_offset = (int32_t)delta + WORD};
    row.where = ROW_SAVED << 2 * ROW_RA;
    row.saved[ROW_RA] = -1;
    if (delta) {
        row.where |= ROW_SAVED << 2 * ROW_RBP;
        row.saved[ROW_RBP] = -2;
    }
    row_add(c->rows, c->span, start, row);
    c->done = end;
    return end < c->span->end;
}

/* The same by Go's table. Where that ends too early, nothing is known of the rest. */
static bool span_of_go(struct rows *r, struct module *m, uint64_t vaddr, struct span *ret_span)
{
    struct span s = {.first = (uint32_t)r->n};
    if (!go_stacks_function(r->go_stacks, m, vaddr, &s.start, &s.end) ||
        s.end - s.start > UINT32_MAX)
        return false;
    struct compiling_go c = {.rows = r, .span = &s, .done = s.start};
    go_stacks_deltas(r->go_stacks, m, vaddr, go_row_take, &c);
    if (c.done < s.end)
        row_add(r, &s, c.done, (struct row){.how = ROW_NONE});
    s.n = (uint32_t)(r->n - s.first);
    *ret_span = s;
    return true;
}

/* NULL: nothing describes vaddr. */
static const struct span *span_compile(struct rows *r, struct module *m, uint64_t vaddr)
{
    struct span span;
    make_room(r);
    bool found = span_of_cfi(r, m, vaddr, &span);
    if (!found || !span.n)
        found = span_of_go(r, m, vaddr, &span) || found;
    if (!found)
        return NULL;
    span.go = (uint8_t)go_stacks_role(r->go_stacks, m, vaddr);
    return span_add(r, table_get(r, m), span);
}

static const struct span *span_find(struct rows *r, struct module *m, uint64_t vaddr)
{
    const struct span_table *t = table_get(r, m);
    size_t above = first_above(t, vaddr);
    if (above && vaddr < t->spans[above - 1].end)
        return &t->spans[above - 1];
    return span_compile(r, m, vaddr);
}

/* The last row that starts at or before vaddr: the first one starts where the span does. */
static struct row row_at(const struct rows *r, const struct span *s, uint64_t vaddr)
{
    size_t lo = s->first, hi = s->first + s->n;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (r->rows[mid].start <= vaddr - s->start)
            lo = mid;
        else
            hi = mid;
    }
    return r->rows[lo];
}

static struct row row_get(struct rows *r, struct module *m, uint64_t vaddr)
{
    struct row row = {.how = ROW_NONE};
    const struct span *s = span_find(r, m, vaddr);
    if (s && s->n)
        row = row_at(r, s, vaddr);
    if (s)
        row.go = s->go & 0xfu;
    if (row.how == ROW_NONE)
        row.code = (uint8_t)known_code_at(r->pages, m, vaddr);
    return row;
}

bool rows_function_start(struct rows *r, struct module *m, uint64_t vaddr, uint64_t *ret_start)
{
    const struct span *s = span_find(r, m, vaddr);
    if (s)
        *ret_start = s->start;
    return s != NULL;
}

/* Which module, and since the rows were last forgotten. */
static uint32_t tag_of(const struct rows *r, const struct module *m)
{
    return r->epoch << MODULE_BITS | (m->id + 1);
}

static struct cached *cache_set(struct rows *r, uint32_t module, uint64_t vaddr)
{
    /* 2^64 / golden ratio spreads neighbours over all sets */
    uint64_t hash = (vaddr ^ (uint64_t)module << 40) * UINT64_C(0x9e3779b97f4a7c15);
    return r->cache[hash >> (64 - CACHE_BITS)];
}

const struct row *rows_find(struct rows *r, struct module *m, uint64_t vaddr)
{
    struct cached *set = cache_set(r, m->id + 1, vaddr);
    uint32_t tag = tag_of(r, m);
    for (int i = 0; i < CACHE_WAYS; i++)
        if (set[i].vaddr == vaddr && set[i].tag == tag)
            return &set[i].row;
    struct row row = row_get(r, m, vaddr); /* which may forget all others */
    memmove(&set[1], &set[0], (CACHE_WAYS - 1) * sizeof(*set));
    set[0] = (struct cached){.vaddr = vaddr, .tag = tag_of(r, m), .row = row};
    return &set[0].row;
}

/* SPDX-License-Identifier: MIT */
#include "report/waits.h"

#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/map.h"
#include "base/mem.h"

struct counting {
    const struct profile *p;
    struct report_table *table;
    size_t cap;
    struct map rows;    /* wait -> place */
    struct map threads; /* wait, thread -> 1 */
};

static struct report_row *row_of(struct counting *c, uint32_t wait)
{
    const uint64_t *place = map_find(&c->rows, wait, 0);
    struct report_table *t = c->table;
    if (place)
        return &t->rows[*place];
    map_put(&c->rows, wait, 0, t->n);
    t->rows = mem_grow(t->rows, &c->cap, t->n + 1, sizeof(*t->rows));
    t->rows[t->n] = (struct report_row){.function = wait, .kind = KIND_KERNEL};
    return &t->rows[t->n++];
}

static void count(struct counting *c, const struct profile_tally *tally)
{
    uint32_t wait = c->p->frames[c->p->nodes[tally->node].frame].wait;
    struct report_row *row = row_of(c, wait);
    row->self += tally->hits;
    row->total += tally->hits;
    c->table->samples += tally->hits;
    if (map_find(&c->threads, wait, tally->thread))
        return;
    map_put(&c->threads, wait, tally->thread, 1);
    row->id++;
}

struct order {
    const struct profile *p;
    enum report_sort sort;
};

static int compare(const void *va, const void *vb, void *order)
{
    const struct order *by = order;
    const struct report_row *a = va, *b = vb;
    if (a->self != b->self && by->sort != SORT_NAME)
        return a->self < b->self ? 1 : -1;
    return strcmp(intern_get(by->p->strings, a->function), intern_get(by->p->strings, b->function));
}

void waits_table(const struct profile *p, const struct report_options *opt, uint32_t thread,
                 struct report_table *ret_table)
{
    struct report_table table = {0};
    struct counting c = {.p = p, .table = &table};
    for (size_t i = 0; i < p->n_tallies; i++) {
        const struct profile_tally *t = &p->tallies[i];
        if (t->hits && t->state == PROFILE_WAIT && (thread == UINT32_MAX || t->thread == thread))
            count(&c, t);
    }
    struct order by = {.p = p, .sort = opt->sort};
    if (table.n)
        qsort_r(table.rows, table.n, sizeof(*table.rows), compare, &by);
    map_release(&c.rows);
    map_release(&c.threads);
    *ret_table = table;
}

static char *escaped(const char *text, size_t n, const char *extra)
{
    OX_FREE char *part = mem_strndup(text, n);
    char *out = mem_alloc(4 * n + 1);
    escape_text(out, 4 * n + 1, part, extra);
    return out;
}

void waits_parts(const struct profile *p, const struct report_row *row, const char *extra,
                 char **ret_reason, char **ret_thing)
{
    const char *text = row->function ? intern_get(p->strings, row->function) : "unknown";
    const char *end = strstr(text, ": "), *thing = end ? end + 2 : "";
    *ret_reason = escaped(text, end ? (size_t)(end - text) : strlen(text), extra);
    *ret_thing = escaped(thing, strlen(thing), extra);
}

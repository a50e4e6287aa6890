/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>

#include "base/lookup.h"
#include "base/map.h"
#include "base/mem.h"
#include "report/stack.h"

/*
 * The format of Callgrind's output (valgrind.org/docs/manual/cl-format.html), for KCachegrind and
 * callgrind_annotate. Three events: all samples, those on the CPU, those waiting.
 *
 * Readers take for a function's inclusive cost its own cost and that of its calls, or as
 * callgrind_annotate does, that of the calls to it: both have to be right, or it grows over all
 * samples. So what a function does while it is called again stands under a name of its own, as
 * valgrind --separate-recs=2 has it: main > f > g > f with 3 hits is main calls f 3, f calls g 3, g
 * calls f'2 3, and f'2 has the 3. Inclusive: 3 each, as TOTAL has it; SELF of f is that of f and
 * f'2. What recurs once more is in f'2 already.
 */
struct edge {
    uint32_t caller,
        callee; /* nodes: twice a function's place in by_name; one more where it recurs */
    uint64_t hits[PROFILE_STATES];
};

struct callgrind {
    const struct profile *p;
    FILE *out;
    struct tabulation tab;
    struct stack_functions stack;
    uint32_t *by_name, *place_of;     /* owned; functions by their names, and back */
    uint64_t (*self)[PROFILE_STATES]; /* owned; by node */
    size_t *seen;                     /* owned; by node: the stack that met it last */
    struct edge *edges;               /* owned */
    size_t n_edges, edges_cap;
    struct lookup by_edge;
    struct map named; /* what has a number already */
    uint32_t n_named[3];
};

/* Objects, files and functions are numbered apart. */
enum name_space { OBJECTS, FILES, FUNCTIONS };

static void add_edge(struct callgrind *c, uint32_t caller, uint32_t callee,
                     const struct profile_tally *t)
{
    uint32_t hash = lookup_hash(&c->by_edge, caller, callee), known;
    for (size_t pos = 0; (known = lookup_next(&c->by_edge, hash, &pos)) != LOOKUP_NONE;) {
        if (c->edges[known].caller != caller || c->edges[known].callee != callee)
            continue;
        c->edges[known].hits[t->state] += t->hits;
        return;
    }
    c->edges = mem_grow(c->edges, &c->edges_cap, c->n_edges + 1, sizeof(*c->edges));
    c->edges[c->n_edges] = (struct edge){.caller = caller, .callee = callee};
    c->edges[c->n_edges].hits[t->state] = t->hits;
    lookup_put(&c->by_edge, hash, (uint32_t)c->n_edges++);
}

/* Of the stack at work, counted from 1. */
static uint32_t node_of(const struct callgrind *c, uint32_t function, size_t stack)
{
    uint32_t node = 2 * c->place_of[function];
    return c->seen[node] == stack ? node + 1 : node;
}

static void count_stack(struct callgrind *c, const struct profile_tally *t, size_t stack)
{
    uint32_t caller = UINT32_MAX, node = 0;
    stack_functions_of(&c->tab, t->node, &c->stack);
    for (size_t k = c->stack.n; k-- > 0; caller = node) {
        node = node_of(c, c->stack.items[k], stack);
        if (c->seen[node] == stack)
            continue;
        c->seen[node] = stack;
        if (caller != UINT32_MAX)
            add_edge(c, caller, node, t);
    }
    c->self[node][t->state] += t->hits;
}

static void count(struct callgrind *c)
{
    for (size_t i = 0; i < c->p->n_tallies; i++)
        if (c->p->tallies[i].hits)
            count_stack(c, &c->p->tallies[i], i + 1);
}

/* "fn=(7) name" at first, then "fn=(7)". Takes the text. */
static void put_name(struct callgrind *c, const char *key, enum name_space space, uint32_t what,
                     char *text)
{
    const uint64_t *known = map_find(&c->named, space, what);
    if (known) {
        fprintf(c->out, "%s=(%" PRIu64 ")\n", key, *known);
    } else {
        map_put(&c->named, space, what, ++c->n_named[space]);
        fprintf(c->out, "%s=(%" PRIu32 ") %s\n", key, c->n_named[space], text);
    }
    free(text);
}

static char *or_unknown(char *text)
{
    if (*text)
        return text;
    free(text);
    return mem_strdup("???");
}

static const struct report_row *row_of(const struct callgrind *c, uint32_t node)
{
    return &c->tab.functions[c->by_name[node / 2]].row;
}

static void put_function(struct callgrind *c, uint32_t node, bool called)
{
    const struct report_row *row = row_of(c, node);
    OX_FREE char *name = report_function_label(c->p, c->tab.opt, row);
    put_name(c, called ? "cob" : "ob", OBJECTS, row->module,
             or_unknown(report_escaped(c->p, row->module, NULL)));
    put_name(c, called ? "cfi" : "fl", FILES, row->file,
             or_unknown(report_escaped(c->p, row->file, NULL)));
    put_name(c, called ? "cfn" : "fn", FUNCTIONS, node,
             mem_printf("%s%s", name, node % 2 ? "'2" : ""));
}

static void put_cost(struct callgrind *c, uint32_t node, const uint64_t hits[PROFILE_STATES])
{
    fprintf(c->out, "%" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", row_of(c, node)->line,
            hits[PROFILE_CPU] + hits[PROFILE_WAIT], hits[PROFILE_CPU], hits[PROFILE_WAIT]);
}

static int compare_edges(const void *va, const void *vb)
{
    const struct edge *a = va, *b = vb;
    int order = (a->caller > b->caller) - (a->caller < b->caller);
    return order ? order : (a->callee > b->callee) - (a->callee < b->callee);
}

static void put_calls(struct callgrind *c, const struct edge *edge)
{
    put_function(c, edge->callee, true);
    fprintf(c->out, "calls=%" PRIu64 " %" PRIu32 "\n",
            edge->hits[PROFILE_CPU] + edge->hits[PROFILE_WAIT], row_of(c, edge->callee)->line);
    put_cost(c, edge->caller, edge->hits);
}

static void put_functions(struct callgrind *c)
{
    const struct edge *edge = c->edges, *end = edge ? edge + c->n_edges : NULL;
    if (edge)
        qsort(c->edges, c->n_edges, sizeof(*c->edges), compare_edges);
    for (uint32_t node = 0; node < 2 * c->tab.n_functions; node++) {
        const uint64_t *self = c->self[node];
        bool calls = edge < end && edge->caller == node;
        if (!calls && !self[PROFILE_CPU] && !self[PROFILE_WAIT])
            continue;
        fputc('\n', c->out);
        put_function(c, node, false);
        put_cost(c, node, self);
        for (; edge < end && edge->caller == node; edge++)
            put_calls(c, edge);
    }
}

static void put_head(struct callgrind *c)
{
    const struct profile *p = c->p;
    OX_FREE char *title = report_escaped(p, p->title, NULL);
    uint64_t cpu = profile_samples(p, PROFILE_CPU), wait = profile_samples(p, PROFILE_WAIT);
    fprintf(c->out,
            "# callgrind format\nversion: 1\ncreator: oxprof-%s\ncmd: %s\npart: 1\n"
            "positions: line\nevent: Samples : all samples\nevent: OnCPU : samples on CPU\n"
            "event: Waiting : samples that waited\nevents: Samples OnCPU Waiting\n"
            "summary: %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
            c->tab.opt->version, title, cpu + wait, cpu, wait);
}

int report_callgrind(const struct profile *p, const struct report_options *opt, FILE *out)
{
    struct callgrind c = {.p = p, .out = out};
    tabulation_init(&c.tab, p, opt);
    lookup_init(&c.by_edge);
    c.self = mem_alloc(2 * c.tab.n_functions * sizeof(*c.self));
    c.by_name = tabulation_by_name(&c.tab);
    c.place_of = mem_alloc(c.tab.n_functions * sizeof(*c.place_of));
    for (uint32_t i = 0; i < c.tab.n_functions; i++)
        c.place_of[c.by_name[i]] = i;
    c.seen = mem_alloc(2 * c.tab.n_functions * sizeof(*c.seen));
    count(&c);
    put_head(&c);
    put_functions(&c);
    free(c.by_name);
    free(c.place_of);
    free(c.self);
    free(c.seen);
    free(c.edges);
    lookup_release(&c.by_edge);
    map_release(&c.named);
    stack_functions_release(&c.stack);
    tabulation_release(&c.tab);
    return report_finish(out);
}

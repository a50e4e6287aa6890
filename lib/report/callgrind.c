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
 * Readers take for a function's inclusive cost its own cost and that of its calls. So each sample
 * counts for one call of each function in its stack, the innermost, and for none of the leaf's:
 * main > f > g > f with 3 hits is f 3; main calls f 3 (the inner f never comes into it), g calls f
 * 3. Inclusive: main 3, g 3, f 3, as TOTAL has it; no recursion brings more than all samples.
 */
struct edge {
    uint32_t caller, callee; /* functions by their place in by_name */
    uint64_t hits[PROFILE_STATES];
};

struct callgrind {
    const struct profile *p;
    FILE *out;
    struct tabulation tab;
    struct stack_functions stack;
    uint32_t *by_name, *place_of;     /* owned; functions by their names, and back */
    uint64_t (*self)[PROFILE_STATES]; /* owned; by function */
    size_t *seen;                     /* owned; by function: the stack that met it last */
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

static void count(struct callgrind *c)
{
    for (size_t i = 0; i < c->p->n_tallies; i++) {
        const struct profile_tally *t = &c->p->tallies[i];
        if (!t->hits)
            continue;
        stack_functions_of(&c->tab, t->node, &c->stack);
        const uint32_t *stack = c->stack.items;
        c->self[stack[0]][t->state] += t->hits;
        c->seen[stack[0]] = i + 1;
        for (size_t k = 1; k < c->stack.n; k++) {
            if (c->seen[stack[k]] == i + 1)
                continue;
            c->seen[stack[k]] = i + 1;
            add_edge(c, c->place_of[stack[k]], c->place_of[stack[k - 1]], t);
        }
    }
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

static void put_function(struct callgrind *c, uint32_t function, bool called)
{
    const struct report_row *row = &c->tab.functions[function].row;
    put_name(c, called ? "cob" : "ob", OBJECTS, row->module,
             or_unknown(report_escaped(c->p, row->module, NULL)));
    put_name(c, called ? "cfi" : "fl", FILES, row->file,
             or_unknown(report_escaped(c->p, row->file, NULL)));
    put_name(c, called ? "cfn" : "fn", FUNCTIONS, function,
             report_function_label(c->p, c->tab.opt, row));
}

static void put_cost(struct callgrind *c, uint32_t function, const uint64_t hits[PROFILE_STATES])
{
    fprintf(c->out, "%" PRIu32 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
            c->tab.functions[function].row.line, hits[PROFILE_CPU] + hits[PROFILE_WAIT],
            hits[PROFILE_CPU], hits[PROFILE_WAIT]);
}

static int compare_edges(const void *va, const void *vb)
{
    const struct edge *a = va, *b = vb;
    int order = (a->caller > b->caller) - (a->caller < b->caller);
    return order ? order : (a->callee > b->callee) - (a->callee < b->callee);
}

static void put_calls(struct callgrind *c, uint32_t caller, const struct edge *edge)
{
    uint32_t callee = c->by_name[edge->callee];
    put_function(c, callee, true);
    fprintf(c->out, "calls=%" PRIu64 " %" PRIu32 "\n",
            edge->hits[PROFILE_CPU] + edge->hits[PROFILE_WAIT], c->tab.functions[callee].row.line);
    put_cost(c, caller, edge->hits);
}

static void put_functions(struct callgrind *c)
{
    const struct edge *edge = c->edges, *end = edge ? edge + c->n_edges : NULL;
    if (edge)
        qsort(c->edges, c->n_edges, sizeof(*c->edges), compare_edges);
    for (uint32_t place = 0; place < c->tab.n_functions; place++) {
        uint32_t function = c->by_name[place];
        const uint64_t *self = c->self[function];
        bool calls = edge < end && edge->caller == place;
        if (!calls && !self[PROFILE_CPU] && !self[PROFILE_WAIT])
            continue;
        fputc('\n', c->out);
        put_function(c, function, false);
        put_cost(c, function, self);
        for (; edge < end && edge->caller == place; edge++)
            put_calls(c, function, edge);
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
    c.self = mem_alloc(c.tab.n_functions * sizeof(*c.self));
    c.by_name = tabulation_by_name(&c.tab);
    c.place_of = mem_alloc(c.tab.n_functions * sizeof(*c.place_of));
    for (uint32_t i = 0; i < c.tab.n_functions; i++)
        c.place_of[c.by_name[i]] = i;
    c.seen = mem_alloc(c.tab.n_functions * sizeof(*c.seen));
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

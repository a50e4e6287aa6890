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
 * KCachegrind takes for a function's inclusive cost its own cost and that of its calls,
 * callgrind_annotate that of the calls to it: both have to be right. So no name may come twice in a
 * sample. What a function does while it is called again stands under a name of its own, as with
 * valgrind --separate-recs: main > f > g > f with 3 hits is main calls f 3, f calls g 3, g calls
 * f'2 3, and f'2 has the 3. Inclusive: 3 each, as TOTAL has it; SELF of f is that of f and f'2.
 *
 * What recurs once more, with nothing new since, is in f'2 already: main > f > g > f > g > f is the
 * same as above. Where something is new, the way to it has to stay: main > f > f > h > f is main,
 * f, f'2, h, f'3.
 */
struct edge {
    uint64_t caller, callee; /* nodes: a function's place in by_name << 32, and which time it is */
    uint64_t hits[PROFILE_STATES];
};

static const uint64_t itself = 0; /* as a callee: the caller's own cost. No node is 0 */

/* What a function had in a stack. */
struct visit {
    size_t stack, at; /* the stack that met it last; where on the path it was put last */
    uint32_t times;   /* how often it is there */
};

struct callgrind {
    const struct profile *p;
    FILE *out;
    struct tabulation tab;
    struct stack_functions stack;
    uint32_t *by_name, *place_of; /* owned; functions by their names, and back */
    struct visit *visits;         /* owned; by place */
    uint64_t *path;               /* owned; the nodes of the stack at work, root first */
    size_t n_path, path_cap;
    size_t fresh;       /* behind the last node of the path that was new to the stack */
    struct edge *edges; /* owned */
    size_t n_edges, edges_cap;
    struct lookup by_edge;
    struct map named; /* what has a number already */
    uint32_t n_named[3];
};

/* Objects, files and functions are numbered apart. */
enum name_space { OBJECTS, FILES, FUNCTIONS };

static void add_edge(struct callgrind *c, uint64_t caller, uint64_t callee,
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

static uint32_t place_in(uint64_t node)
{
    return (uint32_t)(node >> 32);
}

static uint32_t times_in(uint64_t node)
{
    return (uint32_t)node;
}

/* Since the last new function, each stands on the path once at most: where it was put last. */
static bool recurs(const struct callgrind *c, uint32_t place)
{
    size_t at = c->visits[place].at;
    return at >= c->fresh && at < c->n_path && place_in(c->path[at]) == place;
}

static void go_into(struct callgrind *c, uint32_t place, size_t stack)
{
    struct visit *v = &c->visits[place];
    bool known = v->stack == stack;
    if (!known)
        *v = (struct visit){.stack = stack};
    if (known && recurs(c, place)) {
        while (c->n_path > v->at + 1)
            c->visits[place_in(c->path[--c->n_path])].times--;
        return;
    }
    v->at = c->n_path;
    c->path = mem_grow(c->path, &c->path_cap, c->n_path + 1, sizeof(*c->path));
    c->path[c->n_path++] = (uint64_t)place << 32 | ++v->times;
    c->fresh = known ? c->fresh : c->n_path;
}

/* stack: counted from 1 */
static void count_stack(struct callgrind *c, const struct profile_tally *t, size_t stack)
{
    stack_functions_of(&c->tab, t->node, &c->stack);
    c->n_path = c->fresh = 0;
    for (size_t k = c->stack.n; k-- > 0;)
        go_into(c, c->place_of[c->stack.items[k]], stack);
    for (size_t i = 1; i < c->n_path; i++)
        add_edge(c, c->path[i - 1], c->path[i], t);
    add_edge(c, c->path[c->n_path - 1], itself, t);
}

static void count(struct callgrind *c)
{
    for (size_t i = 0; i < c->p->n_tallies; i++)
        if (c->p->tallies[i].hits)
            count_stack(c, &c->p->tallies[i], i + 1);
}

/* "fn=(7) name" at first, then "fn=(7)". Takes the text. */
static void put_name(struct callgrind *c, const char *key, enum name_space space, uint64_t what,
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

static const struct report_row *row_of(const struct callgrind *c, uint64_t node)
{
    return &c->tab.functions[c->by_name[place_in(node)]].row;
}

static char *name_of(const struct callgrind *c, uint64_t node)
{
    OX_FREE char *name = report_function_label(c->p, c->tab.opt, row_of(c, node));
    uint32_t times = times_in(node);
    return times > 1 ? mem_printf("%s'%" PRIu32, name, times) : OX_TAKE(name);
}

static void put_function(struct callgrind *c, uint64_t node, bool called)
{
    const struct report_row *row = row_of(c, node);
    put_name(c, called ? "cob" : "ob", OBJECTS, row->module,
             or_unknown(report_escaped(c->p, row->module, NULL)));
    put_name(c, called ? "cfi" : "fl", FILES, row->file,
             or_unknown(report_escaped(c->p, row->file, NULL)));
    put_name(c, called ? "cfn" : "fn", FUNCTIONS, node, name_of(c, node));
}

static void put_cost(struct callgrind *c, uint64_t node, const uint64_t hits[PROFILE_STATES])
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

/* One function's, its own cost first; returns what follows. */
static const struct edge *put_edges(struct callgrind *c, const struct edge *edge,
                                    const struct edge *end)
{
    static const uint64_t nothing[PROFILE_STATES];
    uint64_t caller = edge->caller;
    bool own = edge->callee == itself;
    fputc('\n', c->out);
    put_function(c, caller, false);
    put_cost(c, caller, own ? edge->hits : nothing);
    for (edge += own; edge < end && edge->caller == caller; edge++)
        put_calls(c, edge);
    return edge;
}

static void put_functions(struct callgrind *c)
{
    const struct edge *edge = c->edges, *end = edge ? edge + c->n_edges : NULL;
    if (edge)
        qsort(c->edges, c->n_edges, sizeof(*c->edges), compare_edges);
    while (edge < end)
        edge = put_edges(c, edge, end);
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
    c.by_name = tabulation_by_name(&c.tab);
    c.place_of = mem_alloc(c.tab.n_functions * sizeof(*c.place_of));
    for (uint32_t i = 0; i < c.tab.n_functions; i++)
        c.place_of[c.by_name[i]] = i;
    c.visits = mem_alloc(c.tab.n_functions * sizeof(*c.visits));
    count(&c);
    put_head(&c);
    put_functions(&c);
    free(c.by_name);
    free(c.place_of);
    free(c.visits);
    free(c.path);
    free(c.edges);
    lookup_release(&c.by_edge);
    map_release(&c.named);
    stack_functions_release(&c.stack);
    tabulation_release(&c.tab);
    return report_finish(out);
}

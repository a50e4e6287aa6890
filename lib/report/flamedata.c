/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/lookup.h"
#include "base/map.h"
#include "base/mem.h"
#include "report/flamegraph.h"
#include "report/table.h"

/* A second trie, over the functions of the text report's rows. */
struct flame_node {
    uint32_t parent, function; /* function: of the tabulation */
    uint32_t child, sibling;   /* 0: none; the root is nobody's child */
    uint32_t number;           /* in preorder */
};

struct flame_count {
    uint32_t node; /* number */
    uint32_t key;  /* thread * 2 + state */
    uint64_t hits;
};

struct flame {
    const struct profile *p;
    FILE *out;
    struct tabulation tab;
    struct flame_node *nodes; /* owned, as are the arrays below */
    size_t n_nodes, nodes_cap;
    struct lookup by_function; /* a child by its parent and function */
    uint32_t *place;           /* by node of the profile: where it stands here; 0: nowhere yet */
    uint32_t *path;
    size_t n_path, path_cap;
    uint32_t *leaf;  /* by tally: a node; 0: no hits */
    uint32_t *order; /* the functions that occur, by name */
    uint32_t *rank;  /* by function: its place in order */
    size_t n_order;
    struct flame_count *counts;
    size_t n_counts;
    struct map process_names; /* pid -> string */
    struct intern *strings;   /* those that are written */
    uint32_t n_strings;
};

/* ---- the trie */

static uint32_t child_of(struct flame *f, uint32_t parent, uint32_t function)
{
    uint32_t hash = lookup_hash(&f->by_function, parent, function), known;
    for (size_t pos = 0; (known = lookup_next(&f->by_function, hash, &pos)) != LOOKUP_NONE;)
        if (f->nodes[known].parent == parent && f->nodes[known].function == function)
            return known;
    uint32_t child = (uint32_t)f->n_nodes;
    f->nodes = mem_grow(f->nodes, &f->nodes_cap, f->n_nodes + 1, sizeof(*f->nodes));
    f->nodes[f->n_nodes++] = (struct flame_node){.parent = parent, .function = function};
    lookup_put(&f->by_function, hash, child);
    return child;
}

/* Functions inlined in a frame stand one below the other. */
static uint32_t add_frame(struct flame *f, uint32_t at, uint32_t frame)
{
    struct shown_lines shown = report_lines(f->p, f->tab.opt, frame);
    for (uint32_t line = shown.end; line-- > shown.first;)
        at = child_of(f, at, f->tab.function_of[line]);
    return at;
}

static uint32_t add_stack(struct flame *f, uint32_t node)
{
    const struct profile_node *nodes = f->p->nodes;
    f->n_path = 0;
    for (; node && !f->place[node]; node = nodes[node].parent) {
        f->path = mem_grow(f->path, &f->path_cap, f->n_path + 1, sizeof(*f->path));
        f->path[f->n_path++] = node;
    }
    uint32_t at = f->place[node];
    while (f->n_path) {
        node = f->path[--f->n_path];
        at = f->place[node] = add_frame(f, at, nodes[node].frame);
    }
    return at;
}

static void add_stacks(struct flame *f)
{
    const struct profile *p = f->p;
    f->place = mem_alloc(p->n_nodes * sizeof(*f->place));
    f->leaf = mem_alloc(p->n_tallies * sizeof(*f->leaf));
    f->nodes = mem_grow(NULL, &f->nodes_cap, 1, sizeof(*f->nodes));
    f->nodes[f->n_nodes++] = (struct flame_node){0};
    for (size_t i = 0; i < p->n_tallies; i++) {
        const struct profile_tally *t = &p->tallies[i];
        if (t->hits)
            f->leaf[i] = t->node ? add_stack(f, t->node) : add_frame(f, 0, PROFILE_NO_FRAME);
    }
}

/* ---- its order */

static int compare_functions(const void *va, const void *vb, void *flame)
{
    const struct flame *f = flame;
    uint32_t a = *(const uint32_t *)va, b = *(const uint32_t *)vb;
    const struct tab_function *functions = f->tab.functions;
    return report_compare_names(f->p, &functions[a].row, &functions[b].row);
}

static void rank_functions(struct flame *f)
{
    f->order = mem_alloc(f->tab.n_functions * sizeof(*f->order));
    f->rank = mem_alloc(f->tab.n_functions * sizeof(*f->rank));
    for (size_t i = 1; i < f->n_nodes; i++)
        f->rank[f->nodes[i].function] = 1;
    for (uint32_t i = 0; i < f->tab.n_functions; i++)
        if (f->rank[i])
            f->order[f->n_order++] = i;
    if (f->n_order > 1)
        qsort_r(f->order, f->n_order, sizeof(*f->order), compare_functions, f);
    for (uint32_t i = 0; i < f->n_order; i++)
        f->rank[f->order[i]] = i;
}

/*
 * Whoever puts nodes in front of their siblings, the last function's first, has each family in
 * order: a counting sort over all instead of one for each family.
 */
static void link_families(struct flame *f)
{
    OX_FREE uint32_t *first = mem_alloc((f->n_order + 1) * sizeof(*first));
    OX_FREE uint32_t *next = mem_alloc(f->n_nodes * sizeof(*next));
    for (uint32_t i = 1; i < f->n_nodes; i++) {
        uint32_t rank = f->rank[f->nodes[i].function];
        next[i] = first[rank];
        first[rank] = i;
    }
    for (size_t rank = f->n_order; rank-- > 0;)
        for (uint32_t i = first[rank]; i; i = next[i]) {
            struct flame_node *parent = &f->nodes[f->nodes[i].parent];
            f->nodes[i].sibling = parent->child;
            parent->child = i;
        }
}

/* The next node in preorder, 0 after the last; keeps the depth. */
static uint32_t next_node(const struct flame *f, uint32_t at, uint32_t *depth)
{
    if (f->nodes[at].child) {
        ++*depth;
        return f->nodes[at].child;
    }
    while (at && !f->nodes[at].sibling) {
        at = f->nodes[at].parent;
        --*depth;
    }
    return f->nodes[at].sibling;
}

static void number_nodes(struct flame *f)
{
    uint32_t depth = 0, number = 0;
    for (uint32_t at = 0; (at = next_node(f, at, &depth));)
        f->nodes[at].number = ++number;
}

/* ---- the counts */

static int compare_counts(const void *va, const void *vb)
{
    const struct flame_count *a = va, *b = vb;
    if (a->node != b->node)
        return a->node < b->node ? -1 : 1;
    return (a->key > b->key) - (a->key < b->key);
}

static void merge_counts(struct flame *f)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->n_counts; i++) {
        struct flame_count *before = kept ? &f->counts[kept - 1] : NULL;
        if (before && compare_counts(before, &f->counts[i]) == 0)
            before->hits += f->counts[i].hits;
        else
            f->counts[kept++] = f->counts[i];
    }
    f->n_counts = kept;
}

static void collect_counts(struct flame *f)
{
    const struct profile *p = f->p;
    OX_FREE uint32_t *thread_number = mem_alloc(p->n_threads * sizeof(*thread_number));
    for (uint32_t i = 0; i < f->tab.n_threads; i++)
        thread_number[f->tab.threads[i].thread] = i;
    f->counts = mem_alloc(p->n_tallies * sizeof(*f->counts));
    for (size_t i = 0; i < p->n_tallies; i++) {
        const struct profile_tally *t = &p->tallies[i];
        if (t->hits)
            f->counts[f->n_counts++] =
                (struct flame_count){.node = f->nodes[f->leaf[i]].number,
                                     .key = thread_number[t->thread] * 2 + t->state,
                                     .hits = t->hits};
    }
    if (f->n_counts > 1)
        qsort(f->counts, f->n_counts, sizeof(*f->counts), compare_counts);
    merge_counts(f);
}

static void name_processes(struct flame *f)
{
    for (size_t i = 0; i < f->p->n_threads; i++) {
        const struct profile_thread *t = &f->p->threads[i];
        if (t->pid == t->tid || !map_find(&f->process_names, (uint64_t)t->pid, 0))
            map_put(&f->process_names, (uint64_t)t->pid, 0, t->name);
    }
}

static void flame_init(struct flame *f, const struct profile *p, const struct report_options *opt,
                       FILE *out)
{
    *f = (struct flame){.p = p, .out = out, .strings = intern_new(SIZE_MAX)};
    tabulation_init(&f->tab, p, opt);
    lookup_init(&f->by_function);
    add_stacks(f);
    rank_functions(f);
    link_families(f);
    number_nodes(f);
    collect_counts(f);
    name_processes(f);
}

static void flame_release(struct flame *f)
{
    tabulation_release(&f->tab);
    lookup_release(&f->by_function);
    free(f->nodes);
    free(f->place);
    free(f->path);
    free(f->leaf);
    free(f->order);
    free(f->rank);
    free(f->counts);
    map_release(&f->process_names);
    intern_free(f->strings);
}

/* ---- JSON */

/* The text has gone through report_escaped(): it is UTF-8 without control characters. */
static void put_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (const char *s = text; *s; s++) {
        if (strchr("<>&", *s))
            fprintf(out, "\\u%04x", (unsigned char)*s);
        else if (*s == '"' || *s == '\\')
            fprintf(out, "\\%c", *s);
        else
            fputc(*s, out);
    }
    fputc('"', out);
}

/* Takes the text; returns its number in "strings". */
static uint32_t number_string(struct flame *f, char *text)
{
    uint32_t number = intern_put(f->strings, text);
    if (number >= f->n_strings)
        f->n_strings = number + 1;
    free(text);
    return number;
}

static uint32_t number_escaped(struct flame *f, uint32_t string)
{
    return number_string(f, report_escaped(f->p, string, NULL));
}

static void put_text(struct flame *f, const char *key, uint32_t string)
{
    OX_FREE char *text = report_escaped(f->p, string, NULL);
    fprintf(f->out, ",\n\"%s\":", key);
    put_string(f->out, text);
}

static void put_number(struct flame *f, const char *key, uint64_t value)
{
    fprintf(f->out, ",\n\"%s\":%" PRIu64, key, value);
}

static void put_losses(struct flame *f)
{
    const char *before = "";
    fputs(",\n\"lost\":{", f->out);
    for (unsigned i = 0; i < LOSS_N; i++) {
        if (!f->p->lost[i])
            continue;
        fprintf(f->out, "%s\"%s\":%" PRIu64, before, loss_name((enum loss)i), f->p->lost[i]);
        before = ",";
    }
    fputc('}', f->out);
}

static void put_cost(struct flame *f)
{
    const struct profile_cost *c = &f->p->cost;
    fprintf(f->out,
            ",\n\"cost\":{\"stops\":%" PRIu64 ",\"stop_ns_sum\":%" PRIu64
            ",\"stop_ns_max\":%" PRIu64 ",\"calls_disturbed\":%" PRIu64
            ",\"calls_repaired\":%" PRIu64 ",\"target_cpu_ns\":%" PRIu64
            ",\"profiler_cpu_ns\":%" PRIu64 ",\"profiler_peak_bytes\":%" PRIu64
            ",\"perf_samples\":%" PRIu64 "}",
            c->stops, c->stop_ns_sum, c->stop_ns_max, c->calls_disturbed, c->calls_repaired,
            c->target_cpu_ns, c->profiler_cpu_ns, c->profiler_peak_bytes, c->perf_samples);
}

static void put_head(struct flame *f)
{
    const struct profile *p = f->p;
    fputs("{\"schema\":\"oxprof.stacks/1\",\n\"version\":", f->out);
    put_string(f->out, f->tab.opt->version);
    put_text(f, "title", p->title);
    put_text(f, "mode", p->mode);
    put_number(f, "interval_ns", p->interval_ns);
    put_number(f, "duration_ns", p->duration_ns);
    put_number(f, "threads_seen", p->threads_seen);
    put_number(f, "ticks", p->ticks);
    put_number(f, "ticks_missed", p->ticks_missed);
    put_number(f, "truncated", p->truncated);
    put_number(f, "given_up", p->given_up);
    put_number(f, "hidden", p->hidden);
    put_number(f, "folded", p->folded);
    put_number(f, "unattributed", p->unattributed);
    put_number(f, "modules_folded", p->modules_folded);
    put_number(f, "mappings_cut", p->mappings_cut);
    put_number(f, "cfi_cut", p->cfi_cut);
    put_number(f, "tables_cut", p->tables_cut);
    put_number(f, "names_folded", intern_overflowed(p->strings) + p->names_folded);
    fprintf(f->out, ",\n\"cpu_only\":%s", p->cpu_only ? "true" : "false");
    put_losses(f);
    put_cost(f);
}

static void put_kinds(struct flame *f)
{
    fputs(",\n\"kinds\":[", f->out);
    for (unsigned i = 0; i < KIND_N; i++)
        fprintf(f->out, "%s\"%s\"", i ? "," : "", frame_kind_name((enum frame_kind)i));
    fputc(']', f->out);
}

static void put_functions(struct flame *f)
{
    fputs(",\n\"functions\":[", f->out);
    for (size_t i = 0; i < f->n_order; i++) {
        const struct report_row *row = &f->tab.functions[f->order[i]].row;
        uint32_t name = number_string(f, report_function(f->p, row->function, NULL));
        uint32_t place = number_string(f, report_place(f->p, f->tab.opt, row));
        uint32_t module = number_escaped(f, row->module), file = number_escaped(f, row->file);
        fprintf(f->out, "%s[%" PRIu32 ",%" PRIu32 ",%u,%" PRIu32 ",%" PRIu32 ",%" PRIu32 "]",
                i ? ",\n" : "", name, place, (unsigned)row->kind, module, file, row->line);
    }
    fputc(']', f->out);
}

static void put_threads(struct flame *f)
{
    fputs(",\n\"threads\":[", f->out);
    for (size_t i = 0; i < f->tab.n_threads; i++) {
        const struct profile_thread *t = &f->p->threads[f->tab.threads[i].thread];
        const uint64_t *process = map_find(&f->process_names, (uint64_t)t->pid, 0);
        fprintf(f->out, "%s[%d,%d,%" PRIu32 ",%" PRIu32 "]", i ? ",\n" : "", t->pid, t->tid,
                number_escaped(f, t->name), number_escaped(f, process ? (uint32_t)*process : 0));
    }
    fputc(']', f->out);
}

static void put_strings(struct flame *f)
{
    fputs(",\n\"strings\":[\"\"", f->out);
    for (uint32_t i = 1; i < f->n_strings; i++) {
        fputs(",\n", f->out);
        put_string(f->out, intern_get(f->strings, i));
    }
    fputc(']', f->out);
}

static void put_nodes(struct flame *f)
{
    uint32_t depth = 0;
    const char *before = "";
    fputs(",\n\"nodes\":[", f->out);
    for (uint32_t at = 0; (at = next_node(f, at, &depth)); before = ",")
        fprintf(f->out, "%s%" PRIu32 ",%" PRIu32, before, f->rank[f->nodes[at].function], depth);
    fputc(']', f->out);
}

static void put_counts(struct flame *f)
{
    uint32_t before = 0;
    fputs(",\n\"counts\":[", f->out);
    for (size_t i = 0; i < f->n_counts; i++) {
        const struct flame_count *c = &f->counts[i];
        fprintf(f->out, "%s%" PRIu32 ",%" PRIu32 ",%" PRIu64, i ? "," : "", c->node - before,
                c->key, c->hits);
        before = c->node;
    }
    fputs("]}\n", f->out);
}

void flamegraph_data(const struct profile *p, const struct report_options *opt, FILE *out)
{
    struct flame f;
    flame_init(&f, p, opt, out);
    put_head(&f);
    put_kinds(&f);
    put_functions(&f);
    put_threads(&f);
    put_strings(&f);
    put_nodes(&f);
    put_counts(&f);
    flame_release(&f);
}

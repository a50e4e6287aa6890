/* SPDX-License-Identifier: MIT */
#include "report/flametree.h"

#include <stdlib.h>

#include "base/mem.h"

/* ---- the trie */

static uint32_t child_of(struct flame_tree *f, uint32_t parent, uint32_t function)
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
static uint32_t add_frame(struct flame_tree *f, uint32_t at, uint32_t frame)
{
    struct shown_lines shown = report_lines(f->p, f->tab.opt, frame);
    for (uint32_t line = shown.end; line-- > shown.first;)
        at = child_of(f, at, f->tab.function_of[line]);
    return at;
}

static uint32_t add_stack(struct flame_tree *f, uint32_t node)
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

static void add_stacks(struct flame_tree *f)
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

static int compare_functions(const void *va, const void *vb, void *tree)
{
    const struct flame_tree *f = tree;
    uint32_t a = *(const uint32_t *)va, b = *(const uint32_t *)vb;
    const struct tab_function *functions = f->tab.functions;
    return report_compare_names(f->p, &functions[a].row, &functions[b].row);
}

static void rank_functions(struct flame_tree *f)
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
static void link_families(struct flame_tree *f)
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

uint32_t flame_tree_next(const struct flame_tree *f, uint32_t at, uint32_t *depth)
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

static void number_nodes(struct flame_tree *f)
{
    uint32_t depth = 0, number = 0;
    for (uint32_t at = 0; (at = flame_tree_next(f, at, &depth));)
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

static void merge_counts(struct flame_tree *f)
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

static void collect_counts(struct flame_tree *f)
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

void flame_tree_init(struct flame_tree *f, const struct profile *p,
                     const struct report_options *opt)
{
    *f = (struct flame_tree){.p = p};
    tabulation_init(&f->tab, p, opt);
    lookup_init(&f->by_function);
    add_stacks(f);
    rank_functions(f);
    link_families(f);
    number_nodes(f);
    collect_counts(f);
}

void flame_tree_release(struct flame_tree *f)
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
}

/* SPDX-License-Identifier: MIT */
#include "live/calltree.h"

#include <stdlib.h>
#include <string.h>

#include "base/lookup.h"
#include "base/mem.h"

enum { PATH_MAX_FRAMES = 4096 };

struct tree_node {
    uint32_t parent, function, child, sibling; /* 0: none */
    uint64_t hits;
};

struct builder {
    const struct tabulation *t;
    struct tree_node *nodes; /* owned; 0 is nobody, 1 the function itself */
    size_t n, cap;
    struct lookup by_function;
    uint32_t path[PATH_MAX_FRAMES]; /* of a stack: functions, leaf first */
    struct calltree *out;
};

static uint32_t child_of(struct builder *b, uint32_t parent, uint32_t function)
{
    uint32_t hash = lookup_hash(&b->by_function, parent, function), known;
    for (size_t pos = 0; (known = lookup_next(&b->by_function, hash, &pos)) != LOOKUP_NONE;)
        if (b->nodes[known].parent == parent && b->nodes[known].function == function)
            return known;
    b->nodes = mem_grow(b->nodes, &b->cap, b->n + 1, sizeof(*b->nodes));
    b->nodes[b->n] = (struct tree_node){
        .parent = parent, .function = function, .sibling = b->nodes[parent].child};
    b->nodes[parent].child = (uint32_t)b->n;
    lookup_put(&b->by_function, hash, (uint32_t)b->n);
    return (uint32_t)b->n++;
}

static size_t path_of(struct builder *b, uint32_t node)
{
    const struct profile *p = b->t->p;
    size_t n = 0;
    for (; node && n < PATH_MAX_FRAMES; node = p->nodes[node].parent) {
        struct shown_lines shown = report_lines(p, b->t->opt, p->nodes[node].frame);
        for (uint32_t i = shown.first; i < shown.end && n < PATH_MAX_FRAMES; i++)
            b->path[n++] = b->t->function_of[i];
    }
    return n;
}

static void add_stack(struct builder *b, const struct profile_tally *tally, uint32_t function,
                      bool callers)
{
    size_t n = path_of(b, tally->node), at = n;
    for (size_t i = 0; i < n; i++)
        if (b->path[i] == function && (!callers || at == n))
            at = i;
    if (at == n)
        return;
    uint32_t node = 1;
    b->nodes[node].hits += tally->hits;
    for (size_t i = 1; callers ? at + i < n : i <= at; i++) {
        node = child_of(b, node, b->path[callers ? at + i : at - i]);
        b->nodes[node].hits += tally->hits;
    }
}

static uint32_t largest_child(const struct builder *b, uint32_t parent, uint32_t before)
{
    uint32_t best = 0;
    uint64_t most = before ? b->nodes[before].hits : UINT64_MAX;
    for (uint32_t c = b->nodes[parent].child; c; c = b->nodes[c].sibling) {
        bool later = b->nodes[c].hits < most || (b->nodes[c].hits == most && c > before);
        bool better = !best || b->nodes[c].hits > b->nodes[best].hits ||
                      (b->nodes[c].hits == b->nodes[best].hits && c < best);
        if (later && better)
            best = c;
    }
    return best;
}

/* In preorder, without recursion: a stack from the target may be deep. */
static void flatten(struct builder *b)
{
    uint64_t least = b->nodes[1].hits / 200;
    uint32_t node = 1, depth = 0;
    while (node && b->out->n < CALLTREE_LINES_MAX) {
        b->out->lines[b->out->n++] = (struct calltree_line){
            .function = b->nodes[node].function, .depth = depth, .hits = b->nodes[node].hits};
        uint32_t next = largest_child(b, node, 0);
        depth++;
        while (node && (!next || b->nodes[next].hits < least)) {
            uint32_t done = node;
            node = node == 1 ? 0 : b->nodes[node].parent;
            depth--;
            next = node ? largest_child(b, node, done) : 0;
        }
        node = next;
    }
}

void calltree_make(const struct tabulation *t, enum profile_state state, uint32_t function,
                   bool callers, struct calltree *ret)
{
    struct builder *b = mem_alloc(sizeof(*b));
    b->t = t;
    b->out = ret;
    b->n = 2;
    b->nodes = mem_grow(NULL, &b->cap, 64, sizeof(*b->nodes));
    b->nodes[0] = (struct tree_node){0};
    b->nodes[1] = (struct tree_node){.function = function};
    lookup_init(&b->by_function);
    *ret = (struct calltree){.lines = mem_alloc(CALLTREE_LINES_MAX * sizeof(*ret->lines))};
    for (size_t i = 0; i < t->p->n_tallies; i++)
        if (t->p->tallies[i].hits && t->p->tallies[i].state == state)
            add_stack(b, &t->p->tallies[i], function, callers);
    flatten(b);
    lookup_release(&b->by_function);
    free(b->nodes);
    free(b);
}

void calltree_release(struct calltree *tree)
{
    free(tree->lines);
    *tree = (struct calltree){0};
}

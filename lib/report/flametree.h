/* SPDX-License-Identifier: MIT */
#ifndef REPORT_FLAMETREE_H
#define REPORT_FLAMETREE_H

#include "base/lookup.h"
#include "report/table.h"

/* A second trie, over the functions of the text report's rows. */
struct flame_node {
    uint32_t parent, function; /* function: of the tabulation */
    uint32_t child, sibling;   /* 0: none; the root is nobody's child */
    uint32_t number;           /* in preorder */
};

struct flame_count {
    uint32_t node; /* its number */
    uint32_t key;  /* thread * 2 + state */
    uint64_t hits;
};

/* What a flame graph shows, in an order that does not depend on how the profile came about. */
struct flame_tree {
    const struct profile *p;
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
    struct flame_count *counts; /* by node and key */
    size_t n_counts;
};

/* p and opt are borrowed and must not change meanwhile. */
void flame_tree_init(struct flame_tree *f, const struct profile *p,
                     const struct report_options *opt);
void flame_tree_release(struct flame_tree *f);

/* The next node in preorder, 0 after the last; begins and ends at 0. Keeps the depth. */
uint32_t flame_tree_next(const struct flame_tree *f, uint32_t at, uint32_t *depth);

/*
 * One profile with the stacks of both, to be freed by the caller: all hits of the first under a
 * thread with tid 1, of the second under tid 2. The head is empty.
 */
struct profile *flame_join(const struct profile *before, const struct profile *after);

#endif

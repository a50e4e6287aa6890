/* SPDX-License-Identifier: MIT */
#ifndef LIVE_CALLTREE_H
#define LIVE_CALLTREE_H

#include "report/table.h"

/* What a function calls, or who calls it, as a tree in the order in which it is shown. */
enum { CALLTREE_LINES_MAX = 2000 };

struct calltree_line {
    uint32_t function; /* of the tabulation */
    uint32_t depth;    /* 0: the function itself */
    uint64_t hits;
};

struct calltree {
    struct calltree_line *lines; /* owned */
    size_t n;
};

/* callers false: of each stack what is below the outermost occurrence of the function; true: what
 * is above the innermost one. Siblings with the most hits come first; those with under 0.5 % of the
 * function's hits are left out. */
void calltree_make(const struct tabulation *t, enum profile_state state, uint32_t function,
                   bool callers, struct calltree *ret);
void calltree_release(struct calltree *tree);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef REPORT_STACK_H
#define REPORT_STACK_H

#include "report/table.h"

/* A stack as its functions: what writers of stacks go through. All zero is an empty one. */
struct stack_functions {
    uint32_t *items; /* owned; of the tabulation's functions, leaf first */
    size_t n, cap;
};

/* Replaces what it held by the stack that ends at a node, inlined functions included as the options
 * show them. Never empty. */
void stack_functions_of(const struct tabulation *t, uint32_t node, struct stack_functions *ret);
void stack_functions_release(struct stack_functions *s);

/* The order in time of each thread: indices of p->moments, grouped as the tabulation's tallies
 * are. */
struct timeline {
    uint32_t *moments; /* owned */
    size_t *group;     /* owned; thread t has moments[group[t]] up to group[t + 1] */
};

/* Leaves out what the view leaves out. */
void timeline_init(struct timeline *t, const struct profile *p);
void timeline_release(struct timeline *t);

/* Fills a map that is all zero: by pid, the thread that the process is called after, its leader
 * where that is there. Processes whose number is not known are not in it. */
void stack_processes(const struct profile *p, struct map *processes);

/* "app (tid 4243)". Owned by the caller. */
char *stack_thread_name(const struct profile *p, uint32_t thread);

#endif

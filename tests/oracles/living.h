/* SPDX-License-Identifier: MIT */
#ifndef LIVING_H
#define LIVING_H

#include "symbols/symbols.h"
#include "target/process.h"
#include "unwind/unwind.h"

/* A living process as the session sees it. */
struct living {
    struct process process;
    struct modules modules;
    struct unwinder *unwinder; /* owned */
    struct symbols *symbols;   /* owned; for messages */
};

int living_open(struct living *l, pid_t pid, struct error *err);
void living_close(struct living *l);

/* Learns the mappings of files' code: what the oracles may ask for. JIT code comes and goes, and is
 * learnt when it is met. */
void living_learn(struct living *l);

/* To be called now and then: forgets mappings that have changed. */
void living_check(struct living *l);

/* As the session walks: learns a mapping that is missing, and walks again. */
void living_walk(struct living *l, const struct snapshot *snap, struct stack *ret_stack);

/* "qsort_r+0x1c3 (libc.so.6)"; exact: addr is an instruction, else a return address. Into buf. */
const char *living_place(struct living *l, uint64_t addr, bool exact, char *buf, size_t bytes);

/* The same less the offset and with the module alone where there is no name. */
const char *living_function(struct living *l, uint64_t addr, bool exact, char *buf, size_t bytes);

const char *living_stack_end(enum stack_end end);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_WALK_H
#define UNWIND_WALK_H

#include <sys/mman.h>

#include "unwind/fallback.h"
#include "unwind/learnt.h"
#include "unwind/rows.h"
#include "unwind/unwind.h"

/* A walk under way: what unwind.c and guess.c share; nobody else includes it. */

enum { ASKED_MAX = 64 };

struct walk {
    struct unwinder *u;
    const struct snapshot *snap;
    const struct mappings *maps;
    struct stack *out;

    struct regs regs;           /* of the newest frame */
    const struct mapping *code; /* the executable one that holds its place, or NULL */
    bool exact;                 /* RIP is where it stands, not where a call returns to */
    bool chained;               /* found by the frame pointer below it */
    bool guessed;               /* some register comes from what was learnt */
    bool recalled;              /* RBP of the newest frame does */
    uint64_t spent;             /* cfi_spent() when it began */
};

struct unwinder {
    struct pages *pages;
    struct cfi *cfi;
    struct go_stacks *go_stacks;
    struct rows *rows;
    struct fallback *fallback;
    struct learnt learnt;
    struct walk walk;          /* the last one: unwinder_walk_on() goes on with it */
    uint64_t asked[ASKED_MAX]; /* addresses whose mappings this walk has had asked for */
    size_t n_asked;
};

static inline uint64_t walk_ip(const struct walk *w)
{
    return w->regs.value[DWREG_RIP];
}

static inline uint64_t walk_sp(const struct walk *w)
{
    return w->regs.value[DWREG_RSP];
}

static inline bool walk_knows(const struct walk *w, enum dwarf_reg reg)
{
    return w->regs.known & 1u << reg;
}

/* The address whose CFI holds for the newest frame. */
static inline uint64_t walk_place(const struct walk *w)
{
    return w->exact ? walk_ip(w) : walk_ip(w) - 1;
}

/* The executable mapping at addr, or NULL. Callers mostly lie in the mapping of their callee. */
static inline const struct mapping *walk_code_at(const struct walk *w, uint64_t addr)
{
    const struct mapping *m = w->code;
    if (m && addr >= m->start && addr < m->end)
        return m;
    m = mappings_find(w->maps, addr);
    return m && (m->prot & PROT_EXEC) ? m : NULL;
}

#endif

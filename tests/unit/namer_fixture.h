/* SPDX-License-Identifier: MIT */
#ifndef UNIT_NAMER_FIXTURE_H
#define UNIT_NAMER_FIXTURE_H

#include "symbols/namer.h"

/* A namer that knows two modules, and whose process does what a test wants. */

/* What the process does is replaced by what the vaddr says; the name tells of the question. */
enum {
    GOOD,
    CRASH,
    HANG,
    SPIN,
    EAT,
    LEAVE,
    CRASH_ONCE,
    DIE_BADLY,
    SHOW_FILES,
    SHOW_SELF,
    SLOW,
    ENDLESSLY_SLOW
};
#define DO(what, number) ((uint64_t)(what) << 32 | (uint64_t)(number))

enum { PATIENCE_MS = 300 };

struct fixture {
    struct modules modules;
    struct module *a, *b;
    struct namer *n;
    size_t files;
};

/* The process does what the vaddr says; impatient: and has PATIENCE_MS for it. */
extern const struct namer_options with_answer, impatient;

void setup(struct fixture *f, const struct namer_options *opt);
/* Neither a process nor a descriptor may be left. */
void teardown(struct fixture *f);

struct namer_answer next(struct fixture *f);
void expect_good(struct fixture *f, const struct module *m, uint32_t number);
void expect_none(struct fixture *f, uint64_t tag);
/* want NULL: there are no more than i. */
void expect_trouble(const struct fixture *f, size_t i, const char *want);

#endif

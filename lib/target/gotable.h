/* SPDX-License-Identifier: MIT */
#ifndef TARGET_GOTABLE_H
#define TARGET_GOTABLE_H

#include "target/module.h"

/*
 * The table of functions that Go's runtime carries in every program, stripped or not: .gopclntab
 * (format: src/debug/gosym/pclntab.go of Go 1.16, 1.18 and 1.20, and src/runtime/symtab.go). It is
 * read where it lies, a few words for each look-up.
 */
struct gotable;

enum { GOTABLE_NAME_BYTES = 256 };

struct gofunction {
    uint64_t start, bytes;         /* vaddr */
    char name[GOTABLE_NAME_BYTES]; /* "runtime.mcall"; cut off where it is longer */
};

/* Borrows m. -ENODATA: no Go program. -EBADMSG: a format we don't know, or one that makes no
 * sense. */
int gotable_open(struct module *m, struct gotable **ret_table);
void gotable_close(struct gotable *t);

/* 0; -ENODATA where no function of Go's covers vaddr; -EBADMSG. */
int gotable_find(struct gotable *t, uint64_t vaddr, struct gofunction *ret_function);

/* How far RSP lies below where it was when the function was entered, for the code from start to end
 * (vaddr). False: enough seen. */
typedef bool gotable_visit(void *arg, uint64_t start, uint64_t end, uint32_t delta);

/* Calls visit for all code of the function at vaddr, in order and without gaps. As gotable_find();
 * -ENODATA also where the function has no such table, -EBADMSG perhaps after some calls. */
int gotable_sp_deltas(struct gotable *t, uint64_t vaddr, gotable_visit *visit, void *arg);

#endif

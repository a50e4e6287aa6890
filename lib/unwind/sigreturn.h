/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_SIGRETURN_H
#define UNWIND_SIGRETURN_H

#include "target/module.h"
#include "target/snapshot.h"
#include "unwind/pages.h"

/*
 * The trampoline that a signal's handler returns to. glibc's has CFI; musl's and Go's have none,
 * or one that does not tell.
 */

/* Does one begin at vaddr? */
bool sigreturn_at(struct pages *pages, struct module *m, uint64_t vaddr);

/* The interrupted code's registers: all of them, from what lies at the trampoline's RSP. False
 * where the copy of the stack does not have it. */
bool sigreturn_regs(const struct snapshot *snap, uint64_t sp, struct regs *ret_regs);
/* The address of the highest word that this takes. */
uint64_t sigreturn_last_word(uint64_t sp);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_FALLBACK_H
#define UNWIND_FALLBACK_H

#include "unwind/cfi.h"

/*
 * What a row can't say, libunwind evaluates: CFAs and registers by expression, registers in other
 * registers, signal frames. It sees no byte of any file, only the snapshot's stack and records
 * that are written for it from what our own interpreter has understood.
 */
struct fallback;

enum fallback_result {
    FALLBACK_OK,
    FALLBACK_MOVED,  /* the same; RSP has a rule of its own, and may be anywhere */
    FALLBACK_END,    /* the return address is undefined */
    FALLBACK_NO_REG, /* needs a register that is not known */
    FALLBACK_NO_MEM, /* needs the word at *ret_fault_addr */
    FALLBACK_BAD
};

/* Borrows c. */
struct fallback *fallback_new(struct cfi *c);
void fallback_free(struct fallback *f);

/* Must be called when c forgets. */
void fallback_forget(struct fallback *f);

/* One step: *regs, whose RIP is in m, become the caller's on success. vaddr: of the place whose
 * CFI is meant. RSP and RIP must be known. What libunwind has made of a place is kept: a step that
 * is repeated allocates nothing. */
enum fallback_result fallback_step(struct fallback *f, struct module *m, uint64_t vaddr,
                                   const struct snapshot *snap, struct regs *regs,
                                   uint64_t *ret_fault_addr);

#endif

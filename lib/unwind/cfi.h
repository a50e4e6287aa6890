/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_CFI_H
#define UNWIND_CFI_H

#include <stdbool.h>
#include <stdint.h>

#include "target/module.h"
#include "unwind/pages.h"

/*
 * Finds the call frame information of an address, and vets it: libunwind 1.6.2 trusts what it
 * reads (a register number out of range is an access out of bounds, DW_OP_div can trap,
 * DW_OP_skip can loop for ever), so only what passed here may reach it.
 */
struct cfi;

struct cfi_fde {
    uint64_t vaddr;      /* of the FDE in .eh_frame */
    uint64_t start, end; /* vaddr of the code it describes, end excluded */
    bool signal_frame;   /* its caller was interrupted, it did not call */
};

/* Borrows pages. */
struct cfi *cfi_new(struct pages *pages);
void cfi_free(struct cfi *c);
void cfi_forget(struct cfi *c);

/* 0; -ENODATA where none covers vaddr; -EBADMSG where it is malformed or beyond what we allow. */
int cfi_find(struct cfi *c, struct module *m, uint64_t vaddr, struct cfi_fde *ret_fde);

#endif

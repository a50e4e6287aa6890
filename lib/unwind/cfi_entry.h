/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_CFI_ENTRY_H
#define UNWIND_CFI_ENTRY_H

#include "unwind/cfi_program.h"

/*
 * CIEs and FDEs, the records that .eh_frame (LSB 5.0 Core, 10.6.1) and .debug_frame (DWARF 5,
 * 6.4.1) consist of. The two differ in how an FDE names its CIE and a CIE itself.
 */
enum cfi_form { CFI_EH_FRAME, CFI_DEBUG_FRAME };

/* Of one entry, beyond its length field. */
enum { CFI_ENTRY_BYTES_MAX = 128 * 1024 };

struct cfi_entry {
    struct cfi_reader body; /* stands behind the id */
    bool is_cie;
    uint64_t cie; /* an FDE's: vaddr of its CIE in .eh_frame, offset in .debug_frame */
};

struct cfi_cie {
    struct cfi_terms terms;
    bool sized;
    bool signal_frame;        /* callers were interrupted, they did not call */
    struct cfi_state initial; /* its blocks: borrowed from the CIE's bytes */
};

/*
 * r stands at the entry's length field; r->vaddr + r->at is what .eh_frame counts from. False at
 * the terminator (length 0), and where it is malformed or reaches past r->end. The 64-bit format
 * is read in .debug_frame only: in .eh_frame readers disagree on the width of its CIE pointer, and
 * no x86 compiler writes it.
 */
bool cfi_entry_open(struct cfi_reader r, enum cfi_form form, struct cfi_entry *ret_entry);

/* 0 or -EBADMSG. */
int cfi_cie_read(const struct cfi_entry *e, enum cfi_form form, struct cfi_cie *ret_cie);

/* The code that an FDE covers (vaddr, end excluded). Leaves e->body behind the range. */
bool cfi_fde_range(struct cfi_entry *e, const struct cfi_cie *cie, uint64_t *ret_start,
                   uint64_t *ret_end);

/* After cfi_fde_range(): leaves e->body at the program. */
bool cfi_fde_program(struct cfi_entry *e, const struct cfi_cie *cie);

#endif

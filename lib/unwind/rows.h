/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_ROWS_H
#define UNWIND_ROWS_H

#include "unwind/cfi.h"
#include "unwind/go_stacks.h"
#include "unwind/known_code.h"

/*
 * Call frame information compiled to rows: where the caller's registers are while the code of a
 * place runs. An FDE, or a function of Go's table, is compiled on first use, and kept; a look-up
 * that is repeated costs one or two cache lines, and neither allocates nor locks.
 */
struct rows;

enum row_how {
    ROW_NONE,      /* no CFI, or none that can be trusted */
    ROW_PLAIN,     /* as said below */
    ROW_GO,        /* the same; there is no CFI, Go's own table tells */
    ROW_LIBUNWIND, /* the CFI says what a row can't */
    ROW_SIGNAL     /* as ROW_LIBUNWIND; this is a signal's trampoline */
};

/* What has become of a register. */
enum row_where { ROW_KEPT, ROW_SAVED, ROW_LOST };

/* The registers that a callee must keep (psABI 1.0, figure 3.4), and the return address. */
enum { ROW_RBX, ROW_RBP, ROW_R12, ROW_R13, ROW_R14, ROW_R15, ROW_RA, ROW_REGS };

/* The caller's RSP is the CFA. */
struct row {
    uint32_t start; /* bytes from the start of what its FDE covers */
    int32_t cfa_offset;
    uint8_t cfa_reg;         /* enum dwarf_reg */
    uint8_t how : 4;         /* enum row_how */
    uint8_t go : 4;          /* enum go_role of the function */
    uint8_t code;            /* enum known_code of the place, where how is ROW_NONE */
    uint16_t where;          /* enum row_where of each, two bits, ROW_RBX lowest */
    int16_t saved[ROW_REGS]; /* words above the CFA */
};

/* Borrows them. */
struct rows *rows_new(struct cfi *c, struct go_stacks *g, struct pages *p);
void rows_free(struct rows *r);
void rows_forget(struct rows *r);

/* Never NULL. Holds until the next call. */
const struct row *rows_find(struct rows *r, struct module *m, uint64_t vaddr);

/* Where the code begins that the CFI, or Go's table, of vaddr covers. False where there is none. */
bool rows_function_start(struct rows *r, struct module *m, uint64_t vaddr, uint64_t *ret_start);

#endif

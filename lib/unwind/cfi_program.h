/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_CFI_PROGRAM_H
#define UNWIND_CFI_PROGRAM_H

#include "target/snapshot.h"
#include "unwind/cfi_reader.h"

/*
 * Interprets the instructions of a CIE or FDE (DWARF 5, 6.4.2). Whatever is unknown, out of range
 * or unsafe to hand on is refused: what comes out can be trusted to be well-formed.
 */

/* Where the caller's value of a register is. */
enum cfi_where {
    CFI_UNSAID, /* no rule: the register has kept its value; the CFA: not defined */
    CFI_SAME,
    CFI_UNDEFINED,
    CFI_OFFSET,         /* saved at CFA + offset; the CFA: is reg + offset */
    CFI_REGISTER,       /* in reg */
    CFI_EXPRESSION,     /* saved where the block says; the CFA: is what the block says */
    CFI_VAL_EXPRESSION, /* is what the block says */
    CFI_VAL_OFFSET      /* is CFA + offset */
};

struct cfi_rule {
    uint8_t where; /* enum cfi_where */
    uint8_t reg;
    uint32_t block_bytes;
    union {
        int64_t offset;
        const uint8_t *block; /* borrowed from the program's bytes; vetted */
    };
};

struct cfi_state {
    struct cfi_rule cfa, regs[DWREG_N];
};

/* What a CIE says about its FDEs' programs. */
struct cfi_terms {
    uint64_t code_align;
    int64_t data_align;
    unsigned pointer_encoding; /* of DW_CFA_set_loc */
};

/* The rules for the code from start to end (vaddr). False: enough seen. */
typedef bool cfi_visit(void *arg, uint64_t start, uint64_t end, const struct cfi_state *state);

/* A CIE's program: gives the state that its FDEs begin with. 0 or -EBADMSG. */
int cfi_run_initial(struct cfi_reader code, const struct cfi_terms *terms,
                    struct cfi_state *ret_state);

/* An FDE's program for the code from start to end: calls visit for each row that is not empty, in
 * order and without gaps. 0, or -EBADMSG, perhaps after some rows. */
int cfi_run(struct cfi_reader code, const struct cfi_terms *terms, const struct cfi_state *initial,
            uint64_t start, uint64_t end, cfi_visit *visit, void *arg);

#endif

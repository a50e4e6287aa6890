/* SPDX-License-Identifier: MIT */
#include "unwind/cfi_vet.h"

#include <stddef.h>

#include "target/snapshot.h"

/* What follows an opcode. */
enum operand {
    OP_BAD, /* not allowed */
    OP_NONE,
    OP_1,
    OP_2,
    OP_4,
    OP_8,
    OP_LEB,
    OP_POINTER,
    OP_REG,
    OP_REG_REG,
    OP_REG_LEB,
    OP_BLOCK, /* an expression with its length before it */
    OP_REG_BLOCK
};

/* DW_CFA_* below 0x40 (DWARF 5, table 7.29, and the GNU ones) as far as libunwind 1.6.2 has them.
 */
static const uint8_t cfa_operands[64] = {
    [0x00] = OP_NONE,                                          /* nop */
    [0x01] = OP_POINTER,                                       /* set_loc */
    [0x02] = OP_1,                                             /* advance_loc1 */
    [0x03] = OP_2,         [0x04] = OP_4, [0x05] = OP_REG_LEB, /* offset_extended */
    [0x06] = OP_REG,                                           /* restore_extended */
    [0x07] = OP_REG,                                           /* undefined */
    [0x08] = OP_REG,                                           /* same_value */
    [0x09] = OP_REG_REG,                                       /* register */
    [0x0a] = OP_NONE,                                          /* remember_state */
    [0x0b] = OP_NONE,                                          /* restore_state */
    [0x0c] = OP_REG_LEB,                                       /* def_cfa */
    [0x0d] = OP_REG,                                           /* def_cfa_register */
    [0x0e] = OP_LEB,                                           /* def_cfa_offset */
    [0x0f] = OP_BLOCK,                                         /* def_cfa_expression */
    [0x10] = OP_REG_BLOCK,                                     /* expression */
    [0x11] = OP_REG_LEB,                                       /* offset_extended_sf */
    [0x12] = OP_REG_LEB,                                       /* def_cfa_sf */
    [0x13] = OP_LEB,                                           /* def_cfa_offset_sf */
    [0x16] = OP_REG_BLOCK,                                     /* val_expression */
    [0x2e] = OP_LEB,                                           /* GNU_args_size */
    [0x2f] = OP_REG_LEB,                                       /* GNU_negative_offset_extended */
};

/*
 * DW_OP_* (DWARF 5, table 7.9). Left out: branches, which could loop; div, which traps at
 * INT64_MIN / -1; what needs more than registers and memory.
 */
static enum operand expression_operand(unsigned op)
{
    static const uint8_t low[0x30] = {
        [0x03] = OP_8,    [0x06] = OP_NONE, [0x08] = OP_1,    [0x09] = OP_1,    [0x0a] = OP_2,
        [0x0b] = OP_2,    [0x0c] = OP_4,    [0x0d] = OP_4,    [0x0e] = OP_8,    [0x0f] = OP_8,
        [0x10] = OP_LEB,  [0x11] = OP_LEB,  [0x12] = OP_NONE, [0x13] = OP_NONE, [0x14] = OP_NONE,
        [0x15] = OP_1,    [0x16] = OP_NONE, [0x17] = OP_NONE, [0x19] = OP_NONE, [0x1a] = OP_NONE,
        [0x1c] = OP_NONE, [0x1d] = OP_NONE, [0x1e] = OP_NONE, [0x1f] = OP_NONE, [0x20] = OP_NONE,
        [0x21] = OP_NONE, [0x22] = OP_NONE, [0x23] = OP_LEB,  [0x24] = OP_NONE, [0x25] = OP_NONE,
        [0x26] = OP_NONE, [0x27] = OP_NONE, [0x29] = OP_NONE, [0x2a] = OP_NONE, [0x2b] = OP_NONE,
        [0x2c] = OP_NONE, [0x2d] = OP_NONE, [0x2e] = OP_NONE,
    };
    if (op < sizeof(low))
        return low[op];
    if (op < 0x50 || op == 0x96) /* lit0-31, nop */
        return OP_NONE;
    if (op >= 0x50 && op < 0x50 + DWREG_N)
        return OP_NONE;
    if (op >= 0x70 && op < 0x70 + DWREG_N) /* breg */
        return OP_LEB;
    return op == 0x94 ? OP_1 : OP_BAD; /* deref_size */
}

static void vet_reg(struct cfi_reader *r)
{
    if (cfi_read_uleb(r) >= DWREG_N)
        r->bad = true;
}

/* Skips an operand that both tables may hold. */
static void vet_plain(struct cfi_reader *r, enum operand kind)
{
    switch (kind) {
    case OP_NONE:
        break;
    case OP_1:
        cfi_skip(r, 1);
        break;
    case OP_2:
        cfi_skip(r, 2);
        break;
    case OP_4:
        cfi_skip(r, 4);
        break;
    case OP_8:
        cfi_skip(r, 8);
        break;
    case OP_LEB:
        cfi_skip_leb(r);
        break;
    default:
        r->bad = true;
    }
}

static void vet_block(struct cfi_reader *r)
{
    uint64_t bytes = cfi_read_uleb(r);
    struct cfi_reader block = *r;
    cfi_skip(r, bytes);
    if (r->bad)
        return;
    block.end = r->at;
    while (!block.bad && block.at < block.end)
        vet_plain(&block, expression_operand((unsigned)cfi_read_uint(&block, 1)));
    if (block.bad)
        r->bad = true;
}

static void vet_operands(struct cfi_reader *r, enum operand kind, unsigned pointer_encoding)
{
    switch (kind) {
    case OP_POINTER:
        (void)cfi_read_pointer(r, pointer_encoding);
        break;
    case OP_REG:
        vet_reg(r);
        break;
    case OP_REG_REG:
        vet_reg(r);
        vet_reg(r);
        break;
    case OP_REG_LEB:
        vet_reg(r);
        cfi_skip_leb(r);
        break;
    case OP_BLOCK:
        vet_block(r);
        break;
    case OP_REG_BLOCK:
        vet_reg(r);
        vet_block(r);
        break;
    default:
        vet_plain(r, kind);
    }
}

/*
 * A row whose CFA nobody defined: libunwind would read an expression at address 0, or stop at an
 * assertion. glibc's signal trampoline defines its CFA in the FDE only, so the CIE need not.
 */
static bool follows_rules(unsigned op, struct cfi_vet *state)
{
    bool advances = op >> 6 == 1 || (op >= 0x01 && op <= 0x04);
    if (op == 0x0c || op == 0x0f || op == 0x12)
        state->cfa_defined = true;
    return state->cfa_defined || (!advances && op != 0x0a && op != 0x0b);
}

bool cfi_vet_program(struct cfi_reader *r, struct cfi_vet *state)
{
    while (!r->bad && r->at < r->end) {
        unsigned op = (unsigned)cfi_read_uint(r, 1);
        if (!follows_rules(op, state))
            return false;
        switch (op >> 6) {
        case 1: /* advance_loc */
            break;
        case 2: /* offset */
            r->bad |= (op & 0x3f) >= DWREG_N;
            cfi_skip_leb(r);
            break;
        case 3: /* restore */
            r->bad |= (op & 0x3f) >= DWREG_N;
            break;
        default:
            vet_operands(r, cfa_operands[op], state->pointer_encoding);
        }
    }
    return !r->bad;
}

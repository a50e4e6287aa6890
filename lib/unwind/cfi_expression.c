/* SPDX-License-Identifier: MIT */
#include "unwind/cfi_expression.h"

#include "target/snapshot.h"
#include "unwind/cfi_reader.h"

/* What follows an opcode. */
enum operand { ARG_BAD, ARG_NONE, ARG_1, ARG_2, ARG_4, ARG_8, ARG_LEB };

/*
 * DW_OP_* (DWARF 5, table 7.9). Left out: branches, which could loop; div, which traps at
 * INT64_MIN / -1; what needs more than registers and memory.
 */
static enum operand operand_of(unsigned op)
{
    static const uint8_t low[0x30] = {
        [0x03] = ARG_8,    [0x06] = ARG_NONE, [0x08] = ARG_1,    [0x09] = ARG_1,
        [0x0a] = ARG_2,    [0x0b] = ARG_2,    [0x0c] = ARG_4,    [0x0d] = ARG_4,
        [0x0e] = ARG_8,    [0x0f] = ARG_8,    [0x10] = ARG_LEB,  [0x11] = ARG_LEB,
        [0x12] = ARG_NONE, [0x13] = ARG_NONE, [0x14] = ARG_NONE, [0x15] = ARG_1,
        [0x16] = ARG_NONE, [0x17] = ARG_NONE, [0x19] = ARG_NONE, [0x1a] = ARG_NONE,
        [0x1c] = ARG_NONE, [0x1d] = ARG_NONE, [0x1e] = ARG_NONE, [0x1f] = ARG_NONE,
        [0x20] = ARG_NONE, [0x21] = ARG_NONE, [0x22] = ARG_NONE, [0x23] = ARG_LEB,
        [0x24] = ARG_NONE, [0x25] = ARG_NONE, [0x26] = ARG_NONE, [0x27] = ARG_NONE,
        [0x29] = ARG_NONE, [0x2a] = ARG_NONE, [0x2b] = ARG_NONE, [0x2c] = ARG_NONE,
        [0x2d] = ARG_NONE, [0x2e] = ARG_NONE,
    };
    if (op < sizeof(low))
        return low[op];
    if (op < 0x50 || op == 0x96) /* lit0-31, nop */
        return ARG_NONE;
    if (op >= 0x50 && op < 0x50 + DWREG_N)
        return ARG_NONE;
    if (op >= 0x70 && op < 0x70 + DWREG_N) /* breg */
        return ARG_LEB;
    return op == 0x94 ? ARG_1 : ARG_BAD; /* deref_size */
}

static void skip(struct cfi_reader *r, enum operand kind)
{
    static const uint8_t fixed[] = {[ARG_1] = 1, [ARG_2] = 2, [ARG_4] = 4, [ARG_8] = 8};
    if (kind == ARG_BAD)
        r->bad = true;
    else if (kind == ARG_LEB)
        (void)cfi_read_uleb(r);
    else
        (void)cfi_skip(r, fixed[kind]);
}

bool cfi_expression_vetted(const uint8_t *block, size_t bytes)
{
    struct cfi_reader r = {.bytes = block, .end = bytes};
    while (!r.bad && r.at < r.end)
        skip(&r, operand_of((unsigned)cfi_read_uint(&r, 1)));
    return !r.bad;
}

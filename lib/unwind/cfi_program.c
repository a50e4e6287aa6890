/* SPDX-License-Identifier: MIT */
#include "unwind/cfi_program.h"

#include <errno.h>

#include "unwind/cfi_expression.h"

enum {
    DEPTH_MAX = 16,       /* DW_CFA_remember_state; compilers nest it once or twice */
    BLOCK_BYTES_MAX = 256 /* of one expression; a PLT's, the longest that are seen, has 11 */
};

/* What follows an opcode. */
enum operand {
    ARG_BAD, /* the opcode is not allowed */
    ARG_NONE,
    ARG_1,
    ARG_2,
    ARG_4,
    ARG_ULEB,
    ARG_SLEB,
    ARG_POINTER,
    ARG_REG,
    ARG_BLOCK /* an expression with its length before it */
};

enum {
    OP_NOP = 0x00,
    OP_SET_LOC = 0x01,
    OP_ADVANCE_1 = 0x02,
    OP_ADVANCE_2 = 0x03,
    OP_ADVANCE_4 = 0x04,
    OP_OFFSET = 0x05,
    OP_RESTORE = 0x06,
    OP_UNDEFINED = 0x07,
    OP_SAME = 0x08,
    OP_REGISTER = 0x09,
    OP_REMEMBER = 0x0a,
    OP_RECALL = 0x0b,
    OP_DEF_CFA = 0x0c,
    OP_DEF_CFA_REGISTER = 0x0d,
    OP_DEF_CFA_OFFSET = 0x0e,
    OP_DEF_CFA_EXPRESSION = 0x0f,
    OP_EXPRESSION = 0x10,
    OP_OFFSET_SF = 0x11,
    OP_DEF_CFA_SF = 0x12,
    OP_DEF_CFA_OFFSET_SF = 0x13,
    OP_VAL_OFFSET = 0x14,
    OP_VAL_OFFSET_SF = 0x15,
    OP_VAL_EXPRESSION = 0x16,
    OP_GNU_ARGS_SIZE = 0x2e,
    OP_GNU_NEGATIVE_OFFSET = 0x2f
};

/* DW_CFA_* below 0x40: DWARF 5, table 7.29, and the GNU ones. */
static const uint8_t operands[64][2] = {
    [OP_NOP] = {ARG_NONE, ARG_NONE},
    [OP_SET_LOC] = {ARG_POINTER, ARG_NONE},
    [OP_ADVANCE_1] = {ARG_1, ARG_NONE},
    [OP_ADVANCE_2] = {ARG_2, ARG_NONE},
    [OP_ADVANCE_4] = {ARG_4, ARG_NONE},
    [OP_OFFSET] = {ARG_REG, ARG_ULEB},
    [OP_RESTORE] = {ARG_REG, ARG_NONE},
    [OP_UNDEFINED] = {ARG_REG, ARG_NONE},
    [OP_SAME] = {ARG_REG, ARG_NONE},
    [OP_REGISTER] = {ARG_REG, ARG_REG},
    [OP_REMEMBER] = {ARG_NONE, ARG_NONE},
    [OP_RECALL] = {ARG_NONE, ARG_NONE},
    [OP_DEF_CFA] = {ARG_REG, ARG_ULEB},
    [OP_DEF_CFA_REGISTER] = {ARG_REG, ARG_NONE},
    [OP_DEF_CFA_OFFSET] = {ARG_ULEB, ARG_NONE},
    [OP_DEF_CFA_EXPRESSION] = {ARG_BLOCK, ARG_NONE},
    [OP_EXPRESSION] = {ARG_REG, ARG_BLOCK},
    [OP_OFFSET_SF] = {ARG_REG, ARG_SLEB},
    [OP_DEF_CFA_SF] = {ARG_REG, ARG_SLEB},
    [OP_DEF_CFA_OFFSET_SF] = {ARG_SLEB, ARG_NONE},
    [OP_VAL_OFFSET] = {ARG_REG, ARG_ULEB},
    [OP_VAL_OFFSET_SF] = {ARG_REG, ARG_SLEB},
    [OP_VAL_EXPRESSION] = {ARG_REG, ARG_BLOCK},
    [OP_GNU_ARGS_SIZE] = {ARG_ULEB, ARG_NONE},
    [OP_GNU_NEGATIVE_OFFSET] = {ARG_REG, ARG_ULEB},
};

struct arg {
    uint64_t value; /* of a block: its length */
    const uint8_t *block;
};

struct machine {
    struct cfi_reader code;
    const struct cfi_terms *terms;
    const struct cfi_state *initial; /* NULL: this is the CIE's own program */
    uint64_t loc, end;               /* vaddr */
    cfi_visit *visit;
    void *arg;
    bool bad, done;
    size_t depth;
    struct cfi_state now, remembered[DEPTH_MAX];
};

static struct arg read_block(struct cfi_reader *r)
{
    struct arg a = {.value = cfi_read_uleb(r)};
    a.block = cfi_skip(r, a.value);
    if (!a.block || a.value > BLOCK_BYTES_MAX || !cfi_expression_vetted(a.block, a.value))
        r->bad = true;
    return a;
}

static struct arg read_reg(struct cfi_reader *r)
{
    struct arg a = {.value = cfi_read_uleb(r)};
    if (a.value >= DWREG_N) {
        r->bad = true;
        a.value = 0;
    }
    return a;
}

static struct arg read_arg(struct machine *m, enum operand kind)
{
    struct cfi_reader *r = &m->code;
    switch (kind) {
    case ARG_NONE:
        return (struct arg){0};
    case ARG_1:
        return (struct arg){.value = cfi_read_uint(r, 1)};
    case ARG_2:
        return (struct arg){.value = cfi_read_uint(r, 2)};
    case ARG_4:
        return (struct arg){.value = cfi_read_uint(r, 4)};
    case ARG_ULEB:
        return (struct arg){.value = cfi_read_uleb(r)};
    case ARG_SLEB:
        return (struct arg){.value = (uint64_t)cfi_read_sleb(r)};
    case ARG_POINTER:
        return (struct arg){.value = cfi_read_pointer(r, m->terms->pointer_encoding)};
    case ARG_REG:
        return read_reg(r);
    case ARG_BLOCK:
        return read_block(r);
    default:
        r->bad = true;
        return (struct arg){0};
    }
}

/* The rules so far hold up to there. What lies behind the FDE's end concerns nobody. */
static void go_to(struct machine *m, uint64_t loc)
{
    if (!m->initial || loc < m->loc) {
        m->bad = true;
        return;
    }
    uint64_t to = loc < m->end ? loc : m->end;
    if (to > m->loc && m->now.cfa.where == CFI_UNSAID)
        m->bad = true;
    else if (to > m->loc && !m->visit(m->arg, m->loc, to, &m->now))
        m->done = true;
    m->loc = to;
    if (to == m->end)
        m->done = true;
}

static void advance(struct machine *m, uint64_t delta)
{
    uint64_t bytes, loc;
    if (__builtin_mul_overflow(delta, m->terms->code_align, &bytes) ||
        __builtin_add_overflow(m->loc, bytes, &loc))
        m->bad = true;
    else
        go_to(m, loc);
}

/* An offset that is written in units of the data alignment. */
static int64_t factored(struct machine *m, struct arg a)
{
    int64_t offset = 0;
    if (__builtin_mul_overflow((int64_t)a.value, m->terms->data_align, &offset))
        m->bad = true;
    return offset;
}

static struct cfi_rule rule_offset(uint64_t reg, int64_t offset)
{
    return (struct cfi_rule){.where = CFI_OFFSET, .reg = (uint8_t)reg, .offset = offset};
}

/* That the caller's RSP is the CFA goes without saying. */
static struct cfi_rule rule_value(uint64_t reg, int64_t offset)
{
    if (reg == DWREG_RSP && !offset)
        return (struct cfi_rule){0};
    return (struct cfi_rule){.where = CFI_VAL_OFFSET, .offset = offset};
}

static struct cfi_rule rule_block(enum cfi_where where, struct arg a)
{
    return (struct cfi_rule){
        .where = (uint8_t)where, .block = a.block, .block_bytes = (uint32_t)a.value};
}

static void remember(struct machine *m)
{
    if (m->depth == DEPTH_MAX)
        m->bad = true;
    else
        m->remembered[m->depth++] = m->now;
}

/* The CFA comes back too: DWARF 5 does not say so clearly, but compilers and unwinders agree. */
static void recall(struct machine *m)
{
    if (!m->depth)
        m->bad = true;
    else
        m->now = m->remembered[--m->depth];
}

static void change_cfa(struct machine *m, bool change_reg, uint64_t reg, int64_t offset)
{
    struct cfi_rule *cfa = &m->now.cfa;
    if (cfa->where != CFI_OFFSET)
        m->bad = true;
    else if (change_reg)
        cfa->reg = (uint8_t)reg;
    else
        cfa->offset = offset;
}

static void apply_cfa(struct machine *m, unsigned op, struct arg a, struct arg b)
{
    switch (op) {
    case OP_DEF_CFA:
        m->now.cfa = rule_offset(a.value, (int64_t)b.value);
        break;
    case OP_DEF_CFA_SF:
        m->now.cfa = rule_offset(a.value, factored(m, b));
        break;
    case OP_DEF_CFA_REGISTER:
        change_cfa(m, true, a.value, 0);
        break;
    case OP_DEF_CFA_OFFSET:
        change_cfa(m, false, 0, (int64_t)a.value);
        break;
    case OP_DEF_CFA_OFFSET_SF:
        change_cfa(m, false, 0, factored(m, a));
        break;
    default: /* OP_DEF_CFA_EXPRESSION */
        m->now.cfa = rule_block(CFI_EXPRESSION, a);
    }
}

/* The rule that an opcode gives to register a. */
static struct cfi_rule rule_of(struct machine *m, unsigned op, struct arg a, struct arg b)
{
    switch (op) {
    case OP_OFFSET:
    case OP_OFFSET_SF:
        return rule_offset(0, factored(m, b));
    case OP_VAL_OFFSET:
    case OP_VAL_OFFSET_SF:
        return rule_value(a.value, factored(m, b));
    case OP_GNU_NEGATIVE_OFFSET:
        return rule_offset(0, factored(m, (struct arg){.value = -b.value}));
    case OP_RESTORE:
        return m->initial ? m->initial->regs[a.value] : (struct cfi_rule){0};
    case OP_UNDEFINED:
        return (struct cfi_rule){.where = CFI_UNDEFINED};
    case OP_SAME:
        return (struct cfi_rule){.where = CFI_SAME};
    case OP_REGISTER:
        return (struct cfi_rule){.where = CFI_REGISTER, .reg = (uint8_t)b.value};
    case OP_EXPRESSION:
        return rule_block(CFI_EXPRESSION, b);
    default:
        return rule_block(CFI_VAL_EXPRESSION, b);
    }
}

static void apply(struct machine *m, unsigned op, struct arg a, struct arg b)
{
    switch (op) {
    case OP_NOP:
    case OP_GNU_ARGS_SIZE:
        break;
    case OP_SET_LOC:
        go_to(m, a.value);
        break;
    case OP_ADVANCE_1:
    case OP_ADVANCE_2:
    case OP_ADVANCE_4:
        advance(m, a.value);
        break;
    case OP_REMEMBER:
        remember(m);
        break;
    case OP_RECALL:
        recall(m);
        break;
    case OP_DEF_CFA:
    case OP_DEF_CFA_SF:
    case OP_DEF_CFA_REGISTER:
    case OP_DEF_CFA_OFFSET:
    case OP_DEF_CFA_OFFSET_SF:
    case OP_DEF_CFA_EXPRESSION:
        apply_cfa(m, op, a, b);
        break;
    default:
        m->now.regs[a.value] = rule_of(m, op, a, b);
    }
}

/* The three opcodes whose upper two bits say all are other writings of three from the table. */
static void step(struct machine *m)
{
    unsigned byte = (unsigned)cfi_read_uint(&m->code, 1), op = byte;
    struct arg a = {.value = byte & 0x3f}, b = {0};
    switch (byte >> 6) {
    case 1:
        op = OP_ADVANCE_1;
        break;
    case 2:
        op = OP_OFFSET;
        b = read_arg(m, ARG_ULEB);
        break;
    case 3:
        op = OP_RESTORE;
        break;
    default:
        a = read_arg(m, operands[op][0]);
        b = read_arg(m, operands[op][1]);
    }
    if (byte >> 6 >= 2 && a.value >= DWREG_N)
        m->bad = true;
    if (!m->code.bad && !m->bad)
        apply(m, op, a, b);
}

static int run(struct machine *m)
{
    while (m->code.at < m->code.end && !m->done) {
        step(m);
        if (m->code.bad || m->bad)
            return -EBADMSG;
    }
    return m->code.bad ? -EBADMSG : 0;
}

int cfi_run_initial(struct cfi_reader code, const struct cfi_terms *terms,
                    struct cfi_state *ret_state)
{
    struct machine m = {.code = code, .terms = terms};
    int rc = run(&m);
    if (rc == 0)
        *ret_state = m.now;
    return rc;
}

int cfi_run(struct cfi_reader code, const struct cfi_terms *terms, const struct cfi_state *initial,
            uint64_t start, uint64_t end, cfi_visit *visit, void *arg)
{
    struct machine m = {.code = code,
                        .terms = terms,
                        .initial = initial,
                        .loc = start,
                        .end = end,
                        .visit = visit,
                        .arg = arg,
                        .now = *initial};
    int rc = run(&m);
    if (rc == 0 && !m.done)
        go_to(&m, end);
    return rc < 0 || m.bad ? -EBADMSG : 0;
}

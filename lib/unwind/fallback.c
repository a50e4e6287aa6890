/* SPDX-License-Identifier: MIT */
#include "unwind/fallback.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "unwind/libunwind_space.h"
#include "unwind/stack_words.h"

enum {
    ROW_STATE_BYTES = 384, /* 184 in Debian's build, 328 in one for the Microsoft ABI as well */
    ROW_FOUND = 1000,      /* libunwind's own errors are negative and small */
    RECORD_BYTES = 8192,   /* 18 rules of at most 3 + 256 bytes, and some 60 around them */
    TABLE_AT = 0,
    CIE_AT = 8,
    KEPT = 256 /* places */
};

/* Where libunwind is told that the records lie: no process can have anything mapped there. */
static const uint64_t record_addr = UINT64_C(0x8000000000001000);

/* The search table, with the one entry (INT32_MIN, 0); then a CIE with all the rules, and an FDE
 * for one address. */
struct record {
    uint8_t bytes[RECORD_BYTES];
    size_t n;
    size_t fde_at;
    bool bad;
};

/* A place as libunwind has understood it. */
struct kept {
    uint64_t vaddr;
    uint32_t module; /* its id + 1; 0: empty */
    bool usable;     /* false: the record can't be made, or not be read */
    bool moved;      /* the record has RSP's rule in RAX's column */
    uint8_t *bytes;  /* owned; of the record */
    size_t n;        /* of bytes */
    _Alignas(8) uint8_t state[ROW_STATE_BYTES]; /* libunwind's, opaque */
};

enum fault { FAULT_NONE, FAULT_REG, FAULT_MEM };

struct fallback {
    unw_addr_space_t space;
    struct cfi *cfi; /* borrowed */

    /* Of the step: */
    const struct snapshot *snap;
    struct regs regs;
    struct kept *place;
    bool compiling;
    enum fault fault; /* what the last accessor call failed at */
    uint64_t fault_addr;

    struct record record; /* of the place that is being compiled */
    struct kept kept[KEPT];
};

/* The rules hold at a vaddr; to libunwind any address will do. */
static const uint64_t record_place = UINT64_C(0x8000000000000fff);

/* libunwind comes back to it for the expressions while it evaluates them. */
static bool record_read(const struct fallback *f, uint64_t addr, unw_word_t *ret_word)
{
    const uint8_t *bytes = f->compiling ? f->record.bytes : f->place->bytes;
    uint64_t at = addr - record_addr, n = f->compiling ? f->record.n : f->place->n;
    if (n < sizeof(*ret_word) || at > n - sizeof(*ret_word))
        return false;
    memcpy(ret_word, bytes + at, sizeof(*ret_word));
    return true;
}

static int access_mem(unw_addr_space_t space, unw_word_t addr, unw_word_t *word, int write,
                      void *arg)
{
    struct fallback *f = arg;
    (void)space;
    if (write)
        return -UNW_EINVAL;
    if (stack_read(f->snap, addr, word) || record_read(f, addr, word))
        return 0;
    f->fault = FAULT_MEM;
    f->fault_addr = addr;
    return -UNW_EINVAL;
}

static int access_reg(unw_addr_space_t space, unw_regnum_t reg, unw_word_t *value, int write,
                      void *arg)
{
    struct fallback *f = arg;
    (void)space;
    /* UNW_X86_64_RAX to RIP are DWARF's numbers */
    if (write || reg < 0 || reg >= DWREG_N || !(f->regs.known & (1u << reg))) {
        f->fault = FAULT_REG;
        return -UNW_EBADREG;
    }
    *value = f->compiling && reg == DWREG_RIP ? record_place : f->regs.value[reg];
    return 0;
}

static int find_proc_info(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t *pi, int need,
                          void *arg)
{
    const struct fallback *f = arg;
    if (!f->compiling || ip != record_place)
        return -UNW_ENOINFO;
    unw_dyn_info_t di = {
        .format = UNW_INFO_FORMAT_REMOTE_TABLE,
        .start_ip = record_place,
        .end_ip = record_place + 1,
        .u.rti = {.segbase = record_addr + f->record.fde_at,
                  .table_data = record_addr + TABLE_AT,
                  .table_len = 1},
    };
    return _Ux86_64_dwarf_search_unwind_table(space, ip, &di, pi, need, arg);
}

struct fallback *fallback_new(struct cfi *c)
{
    const struct libunwind_access access = {
        .find_proc_info = find_proc_info, .access_mem = access_mem, .access_reg = access_reg};
    struct fallback *f = mem_alloc(sizeof(*f));
    f->cfi = c;
    f->space = libunwind_space_new(&access);
    return f;
}

void fallback_forget(struct fallback *f)
{
    for (size_t i = 0; i < KEPT; i++) {
        free(f->kept[i].bytes);
        f->kept[i].bytes = NULL;
        f->kept[i].module = 0;
    }
}

void fallback_free(struct fallback *f)
{
    if (!f)
        return;
    fallback_forget(f);
    unw_destroy_addr_space(f->space);
    free(f);
}

static void put_bytes(struct record *r, const void *bytes, size_t n)
{
    if (n > sizeof(r->bytes) - r->n) {
        r->bad = true;
        return;
    }
    memcpy(r->bytes + r->n, bytes, n);
    r->n += n;
}

static void put_byte(struct record *r, unsigned byte)
{
    put_bytes(r, &(uint8_t){(uint8_t)byte}, 1);
}

static void put_u32(struct record *r, uint64_t v)
{
    put_bytes(r, &(uint32_t){(uint32_t)v}, sizeof(uint32_t));
}

static void put_u64(struct record *r, uint64_t v)
{
    put_bytes(r, &v, sizeof(v));
}

static void put_sleb(struct record *r, int64_t v)
{
    for (;;) {
        uint8_t byte = v & 0x7f;
        v >>= 7;
        if ((v == 0 && !(byte & 0x40)) || (v == -1 && (byte & 0x40))) {
            put_byte(r, byte);
            return;
        }
        put_byte(r, byte | 0x80u);
    }
}

/* At most 256 bytes: cfi_program.c allows no more. */
static void put_block(struct record *r, const struct cfi_rule *rule)
{
    put_byte(r, (rule->block_bytes & 0x7f) | 0x80u);
    put_byte(r, rule->block_bytes >> 7);
    put_bytes(r, rule->block, rule->block_bytes);
}

static void put_cfa(struct record *r, const struct cfi_rule *cfa)
{
    if (cfa->where == CFI_OFFSET) {
        put_byte(r, 0x12); /* DW_CFA_def_cfa_sf */
        put_byte(r, cfa->reg);
        put_sleb(r, cfa->offset);
    } else {
        put_byte(r, 0x0f); /* DW_CFA_def_cfa_expression */
        put_block(r, cfa);
    }
}

/* libunwind 1.6 does not know DW_CFA_val_offset. An expression begins with the CFA on its stack. */
static void put_val_offset(struct record *r, unsigned reg, int64_t offset)
{
    enum { DW_CFA_val_expression = 0x16, DW_OP_const8s = 0x0f, DW_OP_plus = 0x22 };
    put_byte(r, DW_CFA_val_expression);
    put_byte(r, reg);
    put_byte(r, 1 + sizeof(offset) + 1);
    put_byte(r, DW_OP_const8s);
    put_u64(r, (uint64_t)offset);
    put_byte(r, DW_OP_plus);
}

static void put_rule(struct record *r, unsigned reg, const struct cfi_rule *rule)
{
    static const uint8_t op[] = {
        [CFI_SAME] = 0x08,     [CFI_UNDEFINED] = 0x07,  [CFI_OFFSET] = 0x11, /* extended_sf */
        [CFI_REGISTER] = 0x09, [CFI_EXPRESSION] = 0x10, [CFI_VAL_EXPRESSION] = 0x16,
    };
    if (rule->where == CFI_UNSAID)
        return;
    if (rule->where == CFI_VAL_OFFSET) {
        put_val_offset(r, reg, rule->offset);
        return;
    }
    put_byte(r, op[rule->where]);
    put_byte(r, reg);
    if (rule->where == CFI_OFFSET)
        put_sleb(r, rule->offset);
    else if (rule->where == CFI_REGISTER)
        put_byte(r, rule->reg);
    else if (rule->where == CFI_EXPRESSION || rule->where == CFI_VAL_EXPRESSION)
        put_block(r, rule);
}

/* Fills in the length of the entry that begins at `at`; libunwind reads in whole words. */
static void close_entry(struct record *r, size_t at)
{
    while (r->n % 8 && !r->bad)
        put_byte(r, 0); /* DW_CFA_nop */
    uint32_t bytes = (uint32_t)(r->n - at - sizeof(bytes));
    memcpy(r->bytes + at, &bytes, sizeof(bytes));
}

/*
 * To libunwind the caller's RSP is the CFA, always. A rule for RSP itself, as of code that jumps to
 * another stack (glibc's __longjmp), it evaluates as RAX's, which no callee keeps.
 */
static bool moves_sp(const struct cfi_state *state)
{
    const unsigned none = 1u << CFI_UNSAID | 1u << CFI_SAME, lost = none | 1u << CFI_UNDEFINED;
    return !(lost & 1u << state->regs[DWREG_RSP].where) &&
           (lost & 1u << state->regs[DWREG_RAX].where);
}

static bool record_write(struct record *r, const struct cfi_state *state, bool moved, uint64_t addr)
{
    static const uint8_t head[] = {
        1, 'z',    'R',       0, /* version, augmentation */
        1, 1,      DWREG_RIP,    /* alignments, return address */
        1, ENC_PTR               /* augmentation data */
    };
    *r = (struct record){0};
    put_u64(r, UINT64_C(0x80000000));
    put_u32(r, 0);
    put_u32(r, 0);
    put_bytes(r, head, sizeof(head));
    put_cfa(r, &state->cfa);
    for (unsigned i = 0; i < DWREG_N; i++)
        put_rule(r, i, &state->regs[moved && i == DWREG_RAX ? DWREG_RSP : i]);
    close_entry(r, CIE_AT);
    r->fde_at = r->n;
    put_u32(r, 0);
    put_u32(r, r->n - CIE_AT);
    put_u64(r, addr);
    put_u64(r, 1);
    put_byte(r, 0);
    close_entry(r, r->fde_at);
    return !r->bad;
}

struct wanted {
    struct fallback *f;
    uint64_t vaddr;
    bool written;
};

static bool take_state(void *arg, uint64_t start, uint64_t end, const struct cfi_state *state)
{
    struct wanted *w = arg;
    if (w->vaddr < start || w->vaddr >= end)
        return true;
    w->f->place->moved = moves_sp(state);
    w->written = record_write(&w->f->record, state, w->f->place->moved, record_place);
    return false;
}

static int row_take(void *arg, void *state, size_t state_bytes, unw_word_t start, unw_word_t end)
{
    struct fallback *f = arg;
    (void)start, (void)end;
    if (state_bytes > ROW_STATE_BYTES)
        return -UNW_EINVAL;
    memcpy(f->place->state, state, state_bytes);
    return -ROW_FOUND;
}

/* Has libunwind read the record, in a cursor that stands exactly at the place. */
static bool compile(struct fallback *f)
{
    unw_cursor_t cursor;
    f->compiling = true;
    bool found = unw_init_remote(&cursor, f->space, f) == 0 &&
                 unw_reg_states_iterate(&cursor, row_take, f) == -ROW_FOUND;
    f->compiling = false;
    return found;
}

static enum fallback_result failure(const struct fallback *f, int rc, uint64_t *ret_fault_addr)
{
    if (f->fault == FAULT_REG || (f->fault == FAULT_NONE && rc == -UNW_EBADREG))
        return FALLBACK_NO_REG;
    *ret_fault_addr = f->fault_addr;
    return f->fault == FAULT_MEM ? FALLBACK_NO_MEM : FALLBACK_BAD;
}

static enum fallback_result evaluate(struct fallback *f, struct regs *regs,
                                     uint64_t *ret_fault_addr)
{
    unw_cursor_t cursor;
    struct regs caller = {0};
    f->fault = FAULT_NONE;
    int rc = unw_init_remote(&cursor, f->space, f);
    if (rc == 0)
        rc = unw_apply_reg_state(&cursor, f->place->state);
    if (rc == 0)
        return FALLBACK_END;
    if (rc < 0 || (rc = unw_get_reg(&cursor, UNW_REG_IP, &caller.value[DWREG_RIP])) < 0 ||
        (rc = unw_get_reg(&cursor, f->place->moved ? UNW_X86_64_RAX : UNW_X86_64_RSP,
                          &caller.value[DWREG_RSP])) < 0)
        return failure(f, rc, ret_fault_addr);
    caller.known = 1u << DWREG_RIP | 1u << DWREG_RSP;
    for (int reg = 0; reg < DWREG_N; reg++)
        if (!(caller.known & 1u << reg) && unw_get_reg(&cursor, reg, &caller.value[reg]) == 0)
            caller.known |= 1u << reg;
    if (f->place->moved)
        caller.known &= ~(1u << DWREG_RAX);
    *regs = caller;
    return f->place->moved ? FALLBACK_MOVED : FALLBACK_OK;
}

/* Reads the CFI of a place, and leaves what libunwind makes of it in f->place. */
static bool understand(struct fallback *f, struct module *m, uint64_t vaddr)
{
    struct cfi_fde fde;
    struct wanted wanted = {.f = f, .vaddr = vaddr};
    if (cfi_find(f->cfi, m, vaddr, &fde) < 0 || cfi_fde_run(&fde, take_state, &wanted) < 0 ||
        !wanted.written || !compile(f))
        return false;
    f->place->n = f->record.n;
    f->place->bytes = mem_alloc(f->record.n);
    memcpy(f->place->bytes, f->record.bytes, f->record.n);
    return true;
}

static struct kept *kept_get(struct fallback *f, struct module *m, uint64_t vaddr)
{
    /* 2^64 / golden ratio spreads neighbours */
    uint64_t hash = (vaddr ^ (uint64_t)m->id << 40) * UINT64_C(0x9e3779b97f4a7c15);
    struct kept *k = &f->kept[hash >> 32 & (KEPT - 1)];
    if (k->module == m->id + 1 && k->vaddr == vaddr)
        return k;
    free(k->bytes);
    *k = (struct kept){.vaddr = vaddr, .module = m->id + 1};
    f->place = k;
    k->usable = understand(f, m, vaddr);
    return k;
}

enum fallback_result fallback_step(struct fallback *f, struct module *m, uint64_t vaddr,
                                   const struct snapshot *snap, struct regs *regs,
                                   uint64_t *ret_fault_addr)
{
    f->snap = snap;
    f->regs = *regs;
    f->place = kept_get(f, m, vaddr);
    return f->place->usable ? evaluate(f, regs, ret_fault_addr) : FALLBACK_BAD;
}

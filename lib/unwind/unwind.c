/* SPDX-License-Identifier: MIT */
#include "unwind/unwind.h"

#include <libunwind-x86_64.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "unwind/cfi.h"
#include "unwind/pages.h"

/*
 * Who does what: cfi.c finds and vets an address's CFI, libunwind compiles it to a row (where the
 * CFA, the return address and the saved registers are) and applies rows to a cursor, we keep the
 * rows. libunwind 1.6.2's own cache and unw_step() are not used:
 * - the cache is keyed by the address alone, though the row of a return address is the one of the
 *   call before it, and another than that of a leaf which stands at the same address;
 * - under UNW_CACHE_GLOBAL each look-up blocks and unblocks all signals, two system calls;
 * - unw_step() guesses where there is no CFI, and takes an undefined RBP for the end of the stack.
 */

/* Exported by libunwind-x86_64 for debuggers, but in no header of its own. */
int _Ux86_64_dwarf_search_unwind_table(unw_addr_space_t as, unw_word_t ip, unw_dyn_info_t *di,
                                       unw_proc_info_t *pi, int need_unwind_info, void *arg);

enum {
    ROWS_MAX = 16384,
    ROW_STATE_BYTES = 384, /* 184 in Debian's build, 328 in one for the Microsoft ABI as well */
    ROW_FOUND = 1000       /* libunwind's own errors are negative and small */
};

/* A search table with one entry (INT32_MIN, 0), at an address that no process can have mapped. */
static const uint64_t fake_table_addr = UINT64_C(0x8000000000001000);
static const uint64_t fake_table_word = UINT64_C(0x80000000);

static const uint64_t no_row = UINT64_MAX;

struct row {
    bool signal_frame;
    _Alignas(8) uint8_t state[ROW_STATE_BYTES]; /* libunwind's, opaque */
};

struct unwinder {
    unw_addr_space_t space;
    struct pages *pages;
    struct cfi *cfi;
    struct map places; /* looked-up addr -> place in rows, or no_row */
    struct row *rows;  /* owned */
    size_t n_rows, cap_rows;
    struct map learnt; /* looked-up addr -> how far above RSP its RBP points; see enum learnt */
};

/*
 * A sleeper does not show its RBP, but at a given place in the code the distance from RSP is the
 * same each time, unless the function uses alloca. A walk with all registers teaches it for places
 * that were in want of it.
 */
enum learnt {
    LEARNT_WANTED, /* value: how often asked for */
    LEARNT_KNOWN,  /* value: the distance */
    LEARNT_VARIES, /* it was not the same twice */
    LEARNT_TAGS = 4
};
enum { TEACH_MAX = 3, DISTANCE_MAX = SNAPSHOT_STACK_MAX_BYTES };

enum fault { FAULT_NONE, FAULT_REG, FAULT_MEM };

struct walk {
    struct unwinder *u;
    const struct snapshot *snap;
    const struct mappings *maps;
    struct stack *out;

    struct regs regs; /* what the cursor began with */
    unw_cursor_t cursor;
    uint64_t ip, sp;            /* of the newest frame */
    const struct mapping *code; /* the executable one that holds it, or NULL */
    bool exact;                 /* ip is where it stands, not where a call returns to */
    bool chained;               /* found by the frame pointer below it */
    bool guessed;               /* some register comes from what was learnt */

    /* The module whose bytes libunwind may see, and how far it is moved. */
    struct module *module;
    uint64_t bias; /* addr - vaddr */

    enum fault fault; /* what the last accessor call failed at */
    uint64_t fault_addr;

    /* While a row is compiled: */
    const struct cfi_fde *fde;
    uint64_t wanted_addr;
    struct row *ret_row;
};

static bool stack_read(const struct walk *w, uint64_t addr, uint64_t *ret_word)
{
    const struct snapshot *s = w->snap;
    uint64_t at = addr - s->stack_addr;
    if (addr < s->stack_addr || at >= s->stack_bytes || s->stack_bytes - at < sizeof(*ret_word))
        return false;
    memcpy(ret_word, s->stack + at, sizeof(*ret_word));
    return true;
}

/* The word may reach past the segment's last byte: what lies there reads as 0. */
static bool file_read(const struct walk *w, uint64_t addr, uint64_t *ret_word)
{
    uint64_t word = 0;
    for (size_t bytes = sizeof(word); w->module && bytes; bytes--) {
        if (pages_read_vaddr(w->u->pages, w->module, &word, bytes, addr - w->bias) < 0)
            continue;
        *ret_word = word;
        return true;
    }
    return false;
}

static bool is_writable_data(const struct walk *w, uint64_t addr)
{
    const struct module *m = w->module;
    uint64_t vaddr = addr - w->bias;
    for (size_t i = 0; m && i < m->n_loads; i++)
        if (vaddr - m->loads[i].vaddr < m->loads[i].file_bytes)
            return m->loads[i].flags & 2; /* PF_W */
    return false;
}

static bool module_read_word(const struct walk *w, uint64_t addr, uint64_t *ret_word)
{
    if (!is_writable_data(w, addr))
        return file_read(w, addr, ret_word);
    /* The file does not tell what data is now. A CIE names its personality routine through such a
     * pointer (DW_EH_PE_indirect), which libunwind reads, but nobody needs. */
    *ret_word = 0;
    return w->fde != NULL;
}

static int access_mem(unw_addr_space_t space, unw_word_t addr, unw_word_t *word, int write,
                      void *arg)
{
    struct walk *w = arg;
    (void)space;
    if (write)
        return -UNW_EINVAL;
    if (stack_read(w, addr, word))
        return 0;
    if (w->fde && addr == fake_table_addr) {
        *word = fake_table_word;
        return 0;
    }
    if (module_read_word(w, addr, word))
        return 0;
    w->fault = FAULT_MEM;
    w->fault_addr = addr;
    return -UNW_EINVAL;
}

static int access_reg(unw_addr_space_t space, unw_regnum_t reg, unw_word_t *value, int write,
                      void *arg)
{
    struct walk *w = arg;
    (void)space;
    /* UNW_X86_64_RAX to RIP are DWARF's numbers */
    if (write || reg < 0 || reg >= DWREG_N || !(w->regs.known & (1u << reg))) {
        w->fault = FAULT_REG;
        return -UNW_EBADREG;
    }
    *value = w->fde && reg == DWREG_RIP ? w->wanted_addr : w->regs.value[reg];
    return 0;
}

static int access_fpreg(unw_addr_space_t space, unw_regnum_t reg, unw_fpreg_t *value, int write,
                        void *arg)
{
    (void)space, (void)reg, (void)value, (void)write, (void)arg;
    return -UNW_EBADREG;
}

static int find_proc_info(unw_addr_space_t space, unw_word_t ip, unw_proc_info_t *pi, int need,
                          void *arg)
{
    struct walk *w = arg;
    if (!w->fde || ip < w->bias + w->fde->start || ip >= w->bias + w->fde->end)
        return -UNW_ENOINFO;
    unw_dyn_info_t di = {
        .format = UNW_INFO_FORMAT_REMOTE_TABLE,
        .start_ip = w->bias + w->fde->start,
        .end_ip = w->bias + w->fde->end,
        .u.rti = {.segbase = w->bias + w->fde->vaddr,
                  .table_data = fake_table_addr,
                  .table_len = 1},
    };
    return _Ux86_64_dwarf_search_unwind_table(space, ip, &di, pi, need, arg);
}

static void put_unwind_info(unw_addr_space_t space, unw_proc_info_t *pi, void *arg)
{
    (void)space, (void)pi, (void)arg;
}

static int no_dyn_info(unw_addr_space_t space, unw_word_t *addr, void *arg)
{
    (void)space, (void)addr, (void)arg;
    return -UNW_ENOINFO;
}

static int no_resume(unw_addr_space_t space, unw_cursor_t *cursor, void *arg)
{
    (void)space, (void)cursor, (void)arg;
    return -UNW_EINVAL;
}

struct unwinder *unwinder_new(void)
{
    unw_accessors_t accessors = {
        .find_proc_info = find_proc_info,
        .put_unwind_info = put_unwind_info,
        .get_dyn_info_list_addr = no_dyn_info,
        .access_mem = access_mem,
        .access_reg = access_reg,
        .access_fpreg = access_fpreg,
        .resume = no_resume,
    };
    struct unwinder *u = mem_alloc(sizeof(*u));
    u->space = unw_create_addr_space(&accessors, 0);
    if (!u->space)
        die("out of memory");
    unw_set_caching_policy(u->space, UNW_CACHE_NONE);
    u->pages = pages_new();
    u->cfi = cfi_new(u->pages);
    return u;
}

static void rows_forget(struct unwinder *u)
{
    map_release(&u->places);
    u->places = (struct map){0};
    u->n_rows = 0;
}

void unwinder_forget(struct unwinder *u)
{
    map_release(&u->learnt);
    rows_forget(u);
    cfi_forget(u->cfi);
    pages_forget(u->pages);
}

void unwinder_free(struct unwinder *u)
{
    if (!u)
        return;
    map_release(&u->learnt);
    rows_forget(u);
    free(u->rows);
    cfi_free(u->cfi);
    pages_free(u->pages);
    unw_destroy_addr_space(u->space);
    free(u);
}

static int row_take(void *arg, void *state, size_t state_bytes, unw_word_t start, unw_word_t end)
{
    struct walk *w = arg;
    if (w->wanted_addr < start || w->wanted_addr >= end)
        return 0;
    if (state_bytes > ROW_STATE_BYTES)
        return -UNW_EINVAL;
    memcpy(w->ret_row->state, state, state_bytes);
    return -ROW_FOUND;
}

/* Has libunwind run the FDE's program up to addr, in a cursor that stands exactly there. */
static bool row_compile(struct walk *w, const struct cfi_fde *fde, uint64_t addr, struct row *row)
{
    unw_cursor_t cursor;
    w->fde = fde;
    w->wanted_addr = addr;
    w->ret_row = row;
    bool found = unw_init_remote(&cursor, w->u->space, w) == 0 &&
                 unw_reg_states_iterate(&cursor, row_take, w) == -ROW_FOUND;
    w->fde = NULL;
    row->signal_frame = fde->signal_frame;
    return found;
}

static struct row *row_add(struct walk *w, uint64_t addr)
{
    struct unwinder *u = w->u;
    struct cfi_fde fde;
    if (u->places.n >= ROWS_MAX)
        rows_forget(u);
    u->rows = mem_grow(u->rows, &u->cap_rows, u->n_rows + 1, sizeof(*u->rows));
    struct row *row = &u->rows[u->n_rows];
    if (cfi_find(u->cfi, w->module, addr - w->bias, &fde) < 0 || !row_compile(w, &fde, addr, row)) {
        map_put(&u->places, addr, 0, no_row);
        return NULL;
    }
    map_put(&u->places, addr, 0, u->n_rows++);
    return row;
}

/* NULL: no CFI for this address, or none that can be trusted. */
static struct row *row_get(struct walk *w, const struct mapping *m, uint64_t addr)
{
    uint64_t vaddr;
    w->module = NULL;
    if (!mapping_vaddr(m, addr, &vaddr))
        return NULL;
    w->module = m->module;
    w->bias = addr - vaddr;
    const uint64_t *place = map_find(&w->u->places, addr, 0);
    if (!place)
        return row_add(w, addr);
    return *place == no_row ? NULL : &w->u->rows[*place];
}

static bool end_with(struct walk *w, enum stack_end end)
{
    w->out->end = end;
    return false;
}

/* Is addr part of the stack above the copy, as far as one can tell? */
static bool is_cut_off(const struct walk *w, uint64_t addr)
{
    const struct snapshot *s = w->snap;
    uint64_t top = s->stack_addr + s->stack_bytes;
    if (!s->stack_cut || addr + sizeof(addr) <= top || addr > UINT64_MAX - sizeof(addr))
        return false;
    const struct mapping *m = mappings_find(w->maps, s->stack_addr);
    if (m && top <= m->end)
        return addr < m->end;
    return addr - top < SNAPSHOT_STACK_MAX_BYTES;
}

static bool end_cut(struct walk *w, uint64_t addr)
{
    w->out->cut_bytes = addr + sizeof(addr) - (w->snap->stack_addr + w->snap->stack_bytes);
    return end_with(w, STACK_CUT);
}

static bool is_plausible_code(uint64_t addr)
{
    return addr >= 0x10000 && addr < UINT64_C(1) << 47;
}

static const struct mapping *code_at(const struct walk *w, uint64_t addr)
{
    const struct mapping *m = mappings_find(w->maps, addr);
    return m && (m->prot & PROT_EXEC) ? m : NULL;
}

static bool end_no_code(struct walk *w, uint64_t addr)
{
    if (mappings_find(w->maps, addr) || !is_plausible_code(addr))
        return end_with(w, STACK_BAD);
    w->out->miss_addr = addr;
    return end_with(w, STACK_UNMAPPED);
}

static bool frame_add(struct walk *w, uint64_t ip, uint64_t sp, const struct mapping *code,
                      enum frame_how how)
{
    if (w->out->n == UNWIND_FRAMES_MAX)
        return end_with(w, STACK_TOO_DEEP);
    w->out->frames[w->out->n++] = (struct frame){.addr = ip, .sp = sp, .how = how};
    w->ip = ip;
    w->sp = sp;
    w->code = code;
    w->exact = how == FRAME_LEAF || how == FRAME_SIGNAL;
    w->chained = false;
    return true;
}

static void cursor_restart(struct walk *w, struct regs regs)
{
    w->regs = regs;
    /* fails without RIP and RSP only; whoever calls knows them */
    (void)unw_init_remote(&w->cursor, w->u->space, w);
}

static uint64_t place_of(const struct walk *w)
{
    return w->exact ? w->ip : w->ip - 1;
}

/* Notes that this place needs RBP, and says whether asking for a stop is worth it. */
static void want_rbp(struct walk *w)
{
    uint64_t *entry = map_find(&w->u->learnt, place_of(w), 0);
    uint64_t asked = entry ? *entry / LEARNT_TAGS : 0;
    if ((entry && *entry % LEARNT_TAGS != LEARNT_WANTED) || w->u->learnt.n >= ROWS_MAX)
        return;
    w->out->teachable = asked < TEACH_MAX;
    map_put(&w->u->learnt, place_of(w), 0, (asked + 1) * LEARNT_TAGS + LEARNT_WANTED);
}

/* Called at each frame whose RBP is known: is it one that was wanted? */
static void teach_rbp(struct walk *w)
{
    uint64_t rbp, *entry = w->u->learnt.n ? map_find(&w->u->learnt, place_of(w), 0) : NULL;
    if (!entry || w->guessed || unw_get_reg(&w->cursor, UNW_X86_64_RBP, &rbp) < 0)
        return;
    uint64_t distance = rbp - w->sp;
    if (*entry % LEARNT_TAGS == LEARNT_WANTED && distance <= DISTANCE_MAX)
        *entry = distance * LEARNT_TAGS + LEARNT_KNOWN;
    else if (*entry != distance * LEARNT_TAGS + LEARNT_KNOWN)
        *entry = LEARNT_VARIES;
}

static bool end_failed(struct walk *w, int rc)
{
    if (w->fault == FAULT_REG || (w->fault == FAULT_NONE && rc == -UNW_EBADREG))
        return end_with(w, STACK_NO_REG);
    if (w->fault == FAULT_MEM && is_cut_off(w, w->fault_addr))
        return end_cut(w, w->fault_addr);
    return end_with(w, STACK_BAD);
}

/* All registers as the cursor has them now. */
static struct regs cursor_regs(struct walk *w)
{
    struct regs regs = {0};
    for (int reg = 0; reg < DWREG_N; reg++)
        if (unw_get_reg(&w->cursor, reg, &regs.value[reg]) == 0)
            regs.known |= 1u << reg;
    return regs;
}

/* Sets an unknown RBP from what was learnt of this place; where that leads is checked by the step.
 */
static bool recall_rbp(struct walk *w)
{
    uint64_t rbp;
    const uint64_t *entry;
    if (unw_get_reg(&w->cursor, UNW_X86_64_RBP, &rbp) == 0)
        return false;
    entry = map_find(&w->u->learnt, place_of(w), 0);
    if (!entry || *entry % LEARNT_TAGS != LEARNT_KNOWN) {
        want_rbp(w);
        return false;
    }
    struct regs regs = cursor_regs(w);
    regs.value[DWREG_RBP] = w->sp + *entry / LEARNT_TAGS;
    regs.value[DWREG_RIP] = w->ip;
    regs.value[DWREG_RSP] = w->sp;
    regs.known |= 1u << DWREG_RBP | 1u << DWREG_RIP | 1u << DWREG_RSP;
    w->guessed = true;
    cursor_restart(w, regs);
    return true;
}

static int apply_row(struct walk *w, struct row *row)
{
    unw_cursor_t before;
    bool all_known = w->regs.known == (1u << DWREG_N) - 1;
    w->fault = FAULT_NONE;
    if (!all_known)
        before = w->cursor; /* a failed step leaves it in between */
    int rc = unw_apply_reg_state(&w->cursor, row->state);
    if (rc >= 0 || w->fault != FAULT_REG || all_known)
        return rc;
    w->cursor = before;
    if (!recall_rbp(w))
        return -UNW_EBADREG;
    w->fault = FAULT_NONE;
    return unw_apply_reg_state(&w->cursor, row->state);
}

static bool step_cfi(struct walk *w, struct row *row)
{
    unw_word_t ip, sp;
    int rc = apply_row(w, row);
    if (rc == 0)
        return end_with(w, STACK_COMPLETE);
    if (rc < 0 || (rc = unw_get_reg(&w->cursor, UNW_REG_IP, &ip)) < 0 ||
        (rc = unw_get_reg(&w->cursor, UNW_REG_SP, &sp)) < 0)
        return end_failed(w, rc);
    /* A handler may run on another stack than the code that the signal interrupted. */
    if (sp <= w->sp && !row->signal_frame)
        return end_with(w, STACK_BAD);
    /* Nobody called the trampoline either: the handler returns to its first instruction. */
    if (row->signal_frame) {
        w->out->frames[w->out->n - 1].how = FRAME_SIGNAL;
        return frame_add(w, ip, sp, code_at(w, ip), FRAME_SIGNAL);
    }
    /* Coroutine libraries leave a 0 for their first function to return to. */
    if (!ip)
        return end_with(w, STACK_COMPLETE);
    const struct mapping *code = code_at(w, ip - 1);
    return code ? frame_add(w, ip, sp, code, FRAME_CFI) : end_no_code(w, ip - 1);
}

/* RBP as the cursor has it. */
static bool frame_pointer(struct walk *w, uint64_t *ret_rbp)
{
    w->fault = FAULT_NONE;
    int rc = unw_get_reg(&w->cursor, UNW_X86_64_RBP, ret_rbp);
    if (rc < 0 && recall_rbp(w))
        rc = unw_get_reg(&w->cursor, UNW_X86_64_RBP, ret_rbp);
    return rc == 0 || end_failed(w, rc);
}

/*
 * Code without CFI: saved RBP, then return address, at RBP (psABI 1.0, 3.2.2). A leaf that has not
 * set up its frame pointer yet, or never does, is stepped out of by its caller's: the caller is
 * then missing from the stack. Nothing in the snapshot tells this case from the usual one.
 */
static bool step_frame_pointer(struct walk *w)
{
    uint64_t rbp, caller_rbp, ip;
    if (!frame_pointer(w, &rbp))
        return false;
    if (!rbp)
        return end_with(w, w->chained ? STACK_COMPLETE : STACK_NO_CFI);
    if (rbp % sizeof(rbp) || rbp < w->sp || rbp > UINT64_MAX - 16)
        return end_with(w, STACK_NO_CFI);
    if (!stack_read(w, rbp, &caller_rbp) || !stack_read(w, rbp + 8, &ip))
        return is_cut_off(w, rbp + 8) ? end_cut(w, rbp + 8) : end_with(w, STACK_NO_CFI);
    if (!ip && !caller_rbp)
        return end_with(w, STACK_COMPLETE);
    const struct mapping *code = code_at(w, ip - 1);
    if (!code)
        return end_with(w, STACK_NO_CFI);
    struct regs regs = {.known = 1u << DWREG_RIP | 1u << DWREG_RSP | 1u << DWREG_RBP};
    regs.value[DWREG_RIP] = ip;
    regs.value[DWREG_RSP] = rbp + 16;
    regs.value[DWREG_RBP] = caller_rbp;
    if (!frame_add(w, ip, rbp + 16, code, FRAME_FRAME_POINTER))
        return false;
    w->chained = true;
    cursor_restart(w, regs);
    return true;
}

/* A call through a bad pointer has pushed its return address, and nothing else happened since. */
static bool step_from_nowhere(struct walk *w)
{
    uint64_t ip, sp = w->sp;
    if (is_plausible_code(w->ip) && !mappings_find(w->maps, w->ip))
        return end_no_code(w, w->ip);
    const struct mapping *code = stack_read(w, sp, &ip) ? code_at(w, ip - 1) : NULL;
    if (!code)
        return end_with(w, STACK_BAD);
    struct regs regs = cursor_regs(w);
    regs.value[DWREG_RIP] = ip;
    regs.value[DWREG_RSP] = sp + 8;
    cursor_restart(w, regs);
    return frame_add(w, ip, sp + 8, code, FRAME_FRAME_POINTER);
}

static bool step(struct walk *w)
{
    if (!w->code)
        return step_from_nowhere(w);
    struct row *row = row_get(w, w->code, place_of(w));
    teach_rbp(w);
    return row ? step_cfi(w, row) : step_frame_pointer(w);
}

bool unwinder_function_start(struct unwinder *u, struct module *m, uint64_t vaddr,
                             uint64_t *ret_start)
{
    struct cfi_fde fde;
    if (cfi_find(u->cfi, m, vaddr, &fde) < 0)
        return false;
    *ret_start = fde.start;
    return true;
}

void unwinder_walk(struct unwinder *u, const struct snapshot *snap, const struct mappings *maps,
                   struct stack *ret_stack)
{
    struct walk w = {.u = u, .snap = snap, .maps = maps, .out = ret_stack};
    const uint32_t needed = 1u << DWREG_RIP | 1u << DWREG_RSP;
    ret_stack->n = 0;
    ret_stack->miss_addr = ret_stack->cut_bytes = 0;
    ret_stack->teachable = false;
    uint64_t ip = snap->regs.value[DWREG_RIP];
    frame_add(&w, ip, snap->regs.value[DWREG_RSP], code_at(&w, ip), FRAME_LEAF);
    if ((snap->regs.known & needed) != needed) {
        end_with(&w, STACK_NO_REG);
        return;
    }
    cursor_restart(&w, snap->regs);
    while (step(&w))
        ;
}

/* SPDX-License-Identifier: MIT */
#include "unwind/unwind.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "unwind/call_site.h"
#include "unwind/cfi.h"
#include "unwind/fallback.h"
#include "unwind/learnt.h"
#include "unwind/pages.h"
#include "unwind/rows.h"
#include "unwind/sigreturn.h"
#include "unwind/stack_words.h"

/*
 * The walk: from a frame's registers to its caller's, by the row of its place; by libunwind where
 * a row can't say it; by the frame pointer where there is no CFI.
 */

/* What one walk may have interpreted; the deepest of real stacks needs 200 KiB when all is cold. */
enum { CFI_BYTES_MAX = 1024 * 1024, ASKED_MAX = 64 };

struct unwinder {
    struct pages *pages;
    struct cfi *cfi;
    struct go_stacks *go_stacks;
    struct rows *rows;
    struct fallback *fallback;
    struct learnt learnt;
    uint64_t
        asked[ASKED_MAX]; /* addresses whose mappings this snapshot's walks have had asked for */
    size_t n_asked;
};

struct walk {
    struct unwinder *u;
    const struct snapshot *snap;
    const struct mappings *maps;
    struct stack *out;

    struct regs regs;           /* of the newest frame */
    const struct mapping *code; /* the executable one that holds its place, or NULL */
    bool exact;                 /* RIP is where it stands, not where a call returns to */
    bool chained;               /* found by the frame pointer below it */
    bool guessed;               /* some register comes from what was learnt */
    bool recalled;              /* RBP of the newest frame does */
    uint64_t spent;             /* cfi_spent() when it began */
};

struct unwinder *unwinder_new(void)
{
    struct unwinder *u = mem_alloc(sizeof(*u));
    u->pages = pages_new();
    u->cfi = cfi_new(u->pages);
    u->go_stacks = go_stacks_new();
    u->rows = rows_new(u->cfi, u->go_stacks);
    u->fallback = fallback_new(u->cfi);
    return u;
}

void unwinder_forget(struct unwinder *u)
{
    learnt_release(&u->learnt);
    rows_forget(u->rows);
    go_stacks_forget(u->go_stacks);
    cfi_forget(u->cfi);
    pages_forget(u->pages);
}

void unwinder_free(struct unwinder *u)
{
    if (!u)
        return;
    learnt_release(&u->learnt);
    fallback_free(u->fallback);
    rows_free(u->rows);
    go_stacks_free(u->go_stacks);
    cfi_free(u->cfi);
    pages_free(u->pages);
    free(u);
}

static uint64_t ip_of(const struct walk *w)
{
    return w->regs.value[DWREG_RIP];
}

static uint64_t sp_of(const struct walk *w)
{
    return w->regs.value[DWREG_RSP];
}

static bool knows(const struct walk *w, enum dwarf_reg reg)
{
    return w->regs.known & 1u << reg;
}

/* The address whose CFI holds for the newest frame. */
static uint64_t place_of(const struct walk *w)
{
    return w->exact ? ip_of(w) : ip_of(w) - 1;
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

static bool is_elsewhere(const struct walk *w)
{
    const struct snapshot *s = w->snap;
    return s->stack_bytes && sp_of(w) - s->stack_addr > s->stack_bytes;
}

/* The stack's word at addr is needed, and not there. */
static bool end_no_word(struct walk *w, uint64_t addr, enum stack_end otherwise)
{
    if (!is_cut_off(w, addr))
        return end_with(w, is_elsewhere(w) ? STACK_ELSEWHERE : otherwise);
    w->out->cut_bytes = addr + sizeof(addr) - (w->snap->stack_addr + w->snap->stack_bytes);
    return end_with(w, STACK_CUT);
}

static bool is_plausible_code(uint64_t addr)
{
    return addr >= 0x10000 && addr < UINT64_C(1) << 47;
}

/* Callers mostly lie in the mapping of their callee. */
static const struct mapping *code_at(const struct walk *w, uint64_t addr)
{
    const struct mapping *m = w->code;
    if (m && addr >= m->start && addr < m->end)
        return m;
    m = mappings_find(w->maps, addr);
    return m && (m->prot & PROT_EXEC) ? m : NULL;
}

static bool was_asked(const struct unwinder *u, uint64_t addr)
{
    for (size_t i = 0; i < u->n_asked; i++)
        if (u->asked[i] == addr)
            return true;
    return u->n_asked == ASKED_MAX;
}

/* Is there perhaps code that the mappings do not know yet? A JIT changes its mappings' protection
 * all the time, so what was no code once may be code now. */
static bool is_to_ask(const struct walk *w, uint64_t addr)
{
    return is_plausible_code(addr) && !was_asked(w->u, addr);
}

static bool end_no_code(struct walk *w, uint64_t addr, enum stack_end otherwise)
{
    if (!is_to_ask(w, addr))
        return end_with(w, otherwise);
    w->out->miss_addr = addr;
    return end_with(w, STACK_UNMAPPED);
}

static bool frame_add(struct walk *w, const struct regs *regs, const struct mapping *code,
                      enum frame_how how)
{
    if (w->out->n == UNWIND_FRAMES_MAX)
        return end_with(w, STACK_TOO_DEEP);
    if (&w->regs != regs)
        w->regs = *regs;
    w->out->frames[w->out->n++] = (struct frame){.addr = ip_of(w), .sp = sp_of(w), .how = how};
    w->code = code;
    w->exact = how == FRAME_LEAF || how == FRAME_SIGNAL;
    w->chained = w->recalled = false;
    return true;
}

/* Sets an unknown RBP from what was learnt of this place; where that leads is checked by the step.
 */
static bool recall_rbp(struct walk *w)
{
    uint64_t distance;
    if (knows(w, DWREG_RBP))
        return false;
    if (!learnt_recall(&w->u->learnt, place_of(w), &distance)) {
        w->out->teachable = learnt_want(&w->u->learnt, place_of(w)) || w->out->teachable;
        return false;
    }
    w->regs.value[DWREG_RBP] = sp_of(w) + distance;
    w->regs.known |= 1u << DWREG_RBP;
    w->guessed = w->recalled = true;
    return true;
}

/* How well a return address goes with the newest frame. */
enum fit {
    FIT_NOT,
    FIT_OTHER, /* behind a call of another function: that one has jumped here, or an older call's */
    FIT_WELL   /* also where nothing can be said */
};

static enum fit fit_of(struct walk *w, const struct mapping *code, uint64_t ip)
{
    uint64_t at, caller, target, own, called;
    if (!mapping_vaddr(code, ip - 1, &caller))
        return FIT_WELL;
    enum call_site site = call_site_before(w->u->pages, code->module, caller + 1, &target);
    if (site != CALL_DIRECT)
        return site == CALL_NONE ? FIT_NOT : FIT_WELL;
    /* of another module: by the linkage table */
    if (w->code->module != code->module || !mapping_vaddr(w->code, place_of(w), &at) ||
        !unwinder_function_start(w->u, code->module, at, &own) ||
        !unwinder_function_start(w->u, code->module, target, &called))
        return FIT_WELL;
    return called == target && called != own ? FIT_OTHER : FIT_WELL;
}

/* Called where RBP leads on: is it one that was wanted? */
static void teach_rbp(struct walk *w)
{
    uint64_t ip, rbp = w->regs.value[DWREG_RBP];
    if (!w->u->learnt.places.n || !knows(w, DWREG_RBP) || w->guessed)
        return;
    if (!learnt_teach(&w->u->learnt, place_of(w), rbp - sp_of(w)))
        return;
    const struct mapping *code = stack_read(w->snap, rbp + 8, &ip) ? code_at(w, ip - 1) : NULL;
    if (code && fit_of(w, code, ip) == FIT_OTHER)
        learnt_loosen(&w->u->learnt, place_of(w));
}

/* Has what was learnt led to something that can't be the caller? A function with alloca is not
 * always the same distance away from its frame, and the words there are often old return
 * addresses. */
static bool is_misled(struct walk *w, const struct mapping *code, uint64_t ip)
{
    if (!w->recalled)
        return false;
    enum fit fit = fit_of(w, code, ip);
    return fit == FIT_NOT || (fit == FIT_OTHER && !learnt_is_loose(&w->u->learnt, place_of(w)));
}

/* The caller's registers are found: is it a caller? */
static bool step_to(struct walk *w, const struct regs *caller, enum frame_how how)
{
    uint64_t ip = caller->value[DWREG_RIP];
    /* Coroutine libraries leave a 0 for their first function to return to. */
    if (!ip)
        return end_with(w, STACK_COMPLETE);
    const struct mapping *code = code_at(w, ip - 1);
    if (!code)
        return end_no_code(w, ip - 1, w->recalled ? STACK_NO_REG : STACK_BAD);
    if (is_misled(w, code, ip))
        return end_with(w, STACK_NO_REG);
    return frame_add(w, caller, code, how);
}

/* A leaf may have popped its return address already (libgcc's _Unwind_Resume: mov %rcx,%rsp;
 * pop %rcx; jmp *%rcx). */
static bool step_up(struct walk *w, const struct regs *caller, enum frame_how how)
{
    uint64_t sp = caller->value[DWREG_RSP];
    if (sp < sp_of(w) || (sp == sp_of(w) && !w->exact))
        return end_with(w, STACK_BAD);
    return step_to(w, caller, how);
}

static enum row_where row_where(const struct row *row, unsigned i)
{
    return row->where >> (2 * i) & 3;
}

/* Those that the callee had to keep: a word that is not in the copy leaves its register unknown. */
static void restore_saved(const struct snapshot *s, const struct row *row, uint64_t cfa,
                          struct regs *regs)
{
    static const uint8_t reg_of[ROW_RA] = {
        [ROW_RBX] = DWREG_RBX, [ROW_RBP] = DWREG_RBP, [ROW_R12] = DWREG_R12,
        [ROW_R13] = DWREG_R13, [ROW_R14] = DWREG_R14, [ROW_R15] = DWREG_R15,
    };
    unsigned where = row->where & ((1u << 2 * ROW_RA) - 1);
    while (where) {
        unsigned i = (unsigned)__builtin_ctz(where) / 2, reg = reg_of[i];
        bool saved = (where >> 2 * i & 3) == ROW_SAVED;
        where &= ~(3u << 2 * i);
        if (saved && stack_read(s, cfa + (uint64_t)(row->saved[i] * INT64_C(8)), &regs->value[reg]))
            regs->known |= 1u << reg;
        else
            regs->known &= ~(1u << reg);
    }
}

static bool step_row(struct walk *w, const struct row *row, enum frame_how how)
{
    if (row->cfa_reg == DWREG_RBP)
        teach_rbp(w);
    if (row_where(row, ROW_RA) == ROW_LOST)
        return end_with(w, STACK_COMPLETE);
    if (!knows(w, row->cfa_reg) && (row->cfa_reg != DWREG_RBP || !recall_rbp(w)))
        return end_with(w, STACK_NO_REG);
    struct regs caller = w->regs;
    uint64_t cfa = w->regs.value[row->cfa_reg] + (uint64_t)(int64_t)row->cfa_offset;
    uint64_t ra_addr = cfa + (uint64_t)(row->saved[ROW_RA] * INT64_C(8));
    if (!stack_read(w->snap, ra_addr, &caller.value[DWREG_RIP]))
        return end_no_word(w, ra_addr, STACK_BAD);
    restore_saved(w->snap, row, cfa, &caller);
    caller.value[DWREG_RSP] = cfa;
    return step_up(w, &caller, how);
}

/*
 * A handler may run on another stack than the code that the signal interrupted. Nobody called the
 * trampoline either: the handler returns to its first instruction.
 */
static bool step_signal(struct walk *w, const struct regs *interrupted)
{
    w->out->frames[w->out->n - 1].how = FRAME_SIGNAL;
    return frame_add(w, interrupted, code_at(w, interrupted->value[DWREG_RIP]), FRAME_SIGNAL);
}

static bool step_libunwind(struct walk *w, struct module *m, uint64_t vaddr, bool signal)
{
    struct fallback *f = w->u->fallback;
    struct regs caller = w->regs;
    uint64_t addr;
    teach_rbp(w);
    enum fallback_result result = fallback_step(f, m, vaddr, w->snap, &caller, &addr);
    if (result == FALLBACK_NO_REG && recall_rbp(w)) {
        caller = w->regs;
        result = fallback_step(f, m, vaddr, w->snap, &caller, &addr);
    }
    switch (result) {
    case FALLBACK_OK:
        return signal ? step_signal(w, &caller) : step_up(w, &caller, FRAME_LIBUNWIND);
    case FALLBACK_MOVED: /* frames are bounded, if it goes in circles */
        return signal ? step_signal(w, &caller) : step_to(w, &caller, FRAME_LIBUNWIND);
    case FALLBACK_END:
        return end_with(w, STACK_COMPLETE);
    case FALLBACK_NO_REG:
        return end_with(w, STACK_NO_REG);
    case FALLBACK_NO_MEM:
        return end_no_word(w, addr, STACK_BAD);
    default:
        return end_with(w, STACK_BAD);
    }
}

/*
 * Code without CFI: saved RBP, then return address, at RBP (psABI 1.0, 3.2.2). A leaf that has not
 * set up its frame pointer yet, or never does, is stepped out of by its caller's: the caller is
 * then missing from the stack. Nothing in the snapshot tells this case from the usual one.
 */
static bool step_frame_pointer(struct walk *w)
{
    struct regs caller = {.known = 1u << DWREG_RIP | 1u << DWREG_RSP | 1u << DWREG_RBP};
    teach_rbp(w);
    if (!knows(w, DWREG_RBP) && !recall_rbp(w))
        return end_with(w, STACK_NO_REG);
    uint64_t rbp = w->regs.value[DWREG_RBP];
    if (!rbp)
        return end_with(w, w->chained ? STACK_COMPLETE : STACK_NO_CFI);
    if (rbp % sizeof(rbp) || rbp < sp_of(w) || rbp > UINT64_MAX - 16)
        return end_with(w, STACK_NO_CFI);
    if (!stack_read(w->snap, rbp, &caller.value[DWREG_RBP]) ||
        !stack_read(w->snap, rbp + 8, &caller.value[DWREG_RIP]))
        return end_no_word(w, rbp + 8, STACK_NO_CFI);
    uint64_t ip = caller.value[DWREG_RIP];
    if (!ip && !caller.value[DWREG_RBP])
        return end_with(w, STACK_COMPLETE);
    const struct mapping *code = code_at(w, ip - 1);
    if (!code)
        return end_no_code(w, ip - 1, STACK_NO_CFI);
    if (is_misled(w, code, ip))
        return end_with(w, STACK_NO_REG);
    caller.value[DWREG_RSP] = rbp + 16;
    if (!frame_add(w, &caller, code, FRAME_FRAME_POINTER))
        return false;
    w->chained = true;
    return true;
}

/* The newest frame is the trampoline's. */
static bool step_sigreturn(struct walk *w)
{
    struct regs interrupted;
    if (!sigreturn_regs(w->snap, sp_of(w), &interrupted))
        return end_no_word(w, sigreturn_last_word(sp_of(w)), STACK_BAD);
    return step_signal(w, &interrupted);
}

/* A handler returns to the first instruction; one that is being executed may stand at the second.
 */
static bool is_sigreturn(const struct walk *w, struct module *m, uint64_t vaddr)
{
    enum { MOV_BYTES = 7 };
    if (!w->exact)
        return sigreturn_at(w->u->pages, m, vaddr + 1);
    return sigreturn_at(w->u->pages, m, vaddr) || sigreturn_at(w->u->pages, m, vaddr - MOV_BYTES);
}

/* A call through a bad pointer has pushed its return address, and nothing else happened since. */
static bool step_from_nowhere(struct walk *w)
{
    uint64_t ip;
    enum stack_end end = is_plausible_code(ip_of(w)) ? STACK_UNMAPPED : STACK_BAD;
    if (is_to_ask(w, ip_of(w)))
        return end_no_code(w, ip_of(w), end);
    if (!stack_read(w->snap, sp_of(w), &ip))
        return end_no_word(w, sp_of(w), end);
    const struct mapping *code = code_at(w, ip - 1);
    if (!code)
        return end_no_code(w, ip - 1, end);
    struct regs caller = w->regs;
    caller.value[DWREG_RIP] = ip;
    caller.value[DWREG_RSP] += 8;
    return frame_add(w, &caller, code, FRAME_FRAME_POINTER);
}

/* By the row of the newest frame's place. */
static bool step_by(struct walk *w, struct module *m, uint64_t vaddr, const struct row *row)
{
    switch (row->how) {
    case ROW_PLAIN:
        return step_row(w, row, FRAME_CFI);
    case ROW_GO:
        return step_row(w, row, FRAME_GO);
    case ROW_LIBUNWIND:
    case ROW_SIGNAL:
        return step_libunwind(w, m, vaddr, row->how == ROW_SIGNAL);
    default:
        return is_sigreturn(w, m, vaddr) ? step_sigreturn(w) : step_frame_pointer(w);
    }
}

/* In a function that may have changed stacks already, or not yet. */
static bool step_bottom(struct walk *w, struct module *m, uint64_t vaddr, const struct row *row)
{
    if (!w->exact)
        return end_with(w, STACK_COMPLETE);
    if (step_by(w, m, vaddr, row))
        return true;
    if (w->out->end == STACK_BAD || w->out->end == STACK_NO_CFI)
        w->out->end = STACK_COMPLETE;
    return false;
}

/* The vDSO was called with 16 bytes below the kept RSP, aligned to 16; else on the other stack. */
static bool step_kept_sp(struct walk *w, struct module *m, uint64_t vaddr, const struct row *row)
{
    uint64_t kept = w->regs.value[DWREG_R12];
    if (!w->exact) {
        if (!knows(w, DWREG_R12) || ((kept - 16) & ~UINT64_C(15)) != sp_of(w))
            return end_with(w, STACK_COMPLETE);
        w->regs.value[DWREG_RSP] = kept;
    }
    return step_by(w, m, vaddr, row);
}

static bool step(struct walk *w)
{
    uint64_t vaddr;
    if (!w->code)
        return step_from_nowhere(w);
    if (!mapping_vaddr(w->code, place_of(w), &vaddr))
        return step_frame_pointer(w);
    struct module *m = w->code->module;
    const struct row *row = rows_find(w->u->rows, m, vaddr);
    if (cfi_spent(w->u->cfi) - w->spent > CFI_BYTES_MAX)
        return end_with(w, STACK_BAD);
    switch (row->go) {
    case GO_BOTTOM:
        return step_bottom(w, m, vaddr, row);
    case GO_KEEPS_SP:
        return step_kept_sp(w, m, vaddr, row);
    case GO_SIGNAL:
        return step_sigreturn(w);
    default:
        return step_by(w, m, vaddr, row);
    }
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

static void walk_stack(struct unwinder *u, const struct snapshot *snap, const struct mappings *maps,
                       struct stack *ret_stack)
{
    struct walk w = {.u = u, .snap = snap, .maps = maps, .out = ret_stack};
    w.spent = cfi_spent(u->cfi);
    const uint32_t needed = 1u << DWREG_RIP | 1u << DWREG_RSP;
    ret_stack->n = 0;
    ret_stack->miss_addr = ret_stack->cut_bytes = 0;
    ret_stack->teachable = false;
    frame_add(&w, &snap->regs, code_at(&w, snap->regs.value[DWREG_RIP]), FRAME_LEAF);
    if ((snap->regs.known & needed) != needed) {
        end_with(&w, STACK_NO_REG);
        return;
    }
    while (step(&w))
        ;
}

void unwinder_walk(struct unwinder *u, const struct snapshot *snap, const struct mappings *maps,
                   struct stack *ret_stack)
{
    u->n_asked = 0;
    walk_stack(u, snap, maps, ret_stack);
}

void unwinder_walk_on(struct unwinder *u, const struct snapshot *snap, const struct mappings *maps,
                      struct stack *stack)
{
    if (u->n_asked < ASKED_MAX)
        u->asked[u->n_asked++] = stack->miss_addr;
    walk_stack(u, snap, maps, stack);
}

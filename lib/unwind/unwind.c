/* SPDX-License-Identifier: MIT */
#include "unwind/unwind.h"

#include <stdlib.h>

#include "base/mem.h"
#include "unwind/guess.h"
#include "unwind/known_code.h"
#include "unwind/stack_words.h"
#include "unwind/walk.h"

/*
 * The walk: from a frame's registers to its caller's, by the row of its place; by libunwind where
 * a row can't say it; by the frame pointer where there is no CFI.
 */

/* What one walk may have interpreted; the deepest of real stacks needs 200 KiB when all is cold. */
enum { CFI_BYTES_MAX = 1024 * 1024 };

struct unwinder *unwinder_new(void)
{
    struct unwinder *u = mem_alloc(sizeof(*u));
    u->pages = pages_new();
    u->cfi = cfi_new(u->pages);
    u->go_stacks = go_stacks_new();
    u->rows = rows_new(u->cfi, u->go_stacks, u->pages);
    u->fallback = fallback_new(u->cfi);
    return u;
}

void unwinder_forget(struct unwinder *u)
{
    learnt_release(&u->learnt);
    rows_forget(u->rows);
    fallback_forget(u->fallback);
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

static bool end_with(struct walk *w, enum stack_end end)
{
    w->out->end = end;
    return false;
}

/* How far above a copy the word at addr ends, if it is part of that stack, as far as one can tell;
 * else 0. */
static uint64_t bytes_above(const struct walk *w, uint64_t start, size_t bytes, bool cut,
                            uint64_t addr)
{
    uint64_t top = start + bytes;
    if (!cut || addr + sizeof(addr) <= top || addr > UINT64_MAX - sizeof(addr))
        return 0;
    const struct mapping *m = mappings_find(w->maps, start);
    bool above = m && top <= m->end ? addr < m->end : addr - top < SNAPSHOT_STACK_MAX_BYTES;
    return above ? addr + sizeof(addr) - top : 0;
}

/* The stack's word at addr is needed, and not there. */
static bool end_no_word(struct walk *w, uint64_t addr, enum stack_end otherwise)
{
    const struct snapshot *s = w->snap;
    bool elsewhere = s->stack_bytes && !stack_holds(s, walk_sp(w));
    if (elsewhere && w->out->elsewhere_at) /* however near above the handler's */
        return end_with(w, STACK_ELSEWHERE);
    uint64_t more = bytes_above(w, s->stack_addr, s->stack_bytes, s->stack_cut, addr);
    if (!more)
        more = bytes_above(w, s->interrupted.addr, s->interrupted.bytes, s->interrupted_cut, addr);
    if (!more)
        return end_with(w, elsewhere ? STACK_ELSEWHERE : otherwise);
    w->out->cut_bytes = more;
    return end_with(w, STACK_CUT);
}

static bool is_plausible_code(uint64_t addr)
{
    return addr >= 0x10000 && addr < UINT64_C(1) << 47;
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
    w->out->frames[w->out->n++] = (struct frame){.addr = walk_ip(w), .sp = walk_sp(w), .how = how};
    w->code = code;
    w->exact = how == FRAME_LEAF || how == FRAME_SIGNAL;
    w->chained = w->recalled = false;
    return true;
}

/* The caller's registers are found: is it a caller? */
static bool step_into(struct walk *w, const struct regs *caller, enum frame_how how,
                      enum stack_end otherwise)
{
    uint64_t ip = caller->value[DWREG_RIP];
    const struct mapping *code = walk_code_at(w, ip - 1);
    if (!code)
        return end_no_code(w, ip - 1, otherwise);
    if (guess_misled(w, code, ip))
        return end_with(w, STACK_NO_REG);
    return frame_add(w, caller, code, how);
}

static bool step_to(struct walk *w, const struct regs *caller, enum frame_how how)
{
    /* Coroutine libraries leave a 0 for their first function to return to. */
    if (!caller->value[DWREG_RIP])
        return end_with(w, STACK_COMPLETE);
    return step_into(w, caller, how, w->recalled ? STACK_NO_REG : STACK_BAD);
}

/* A leaf may have popped its return address already (libgcc's _Unwind_Resume: mov %rcx,%rsp;
 * pop %rcx; jmp *%rcx). */
static bool step_up(struct walk *w, const struct regs *caller, enum frame_how how)
{
    uint64_t sp = caller->value[DWREG_RSP];
    if (sp < walk_sp(w) || (sp == walk_sp(w) && !w->exact))
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
        guess_teach(w);
    if (row_where(row, ROW_RA) == ROW_LOST)
        return end_with(w, STACK_COMPLETE);
    if (!walk_knows(w, row->cfa_reg) && (row->cfa_reg != DWREG_RBP || !guess_rbp(w)))
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
    /* What the kernel lays right below the interrupted RSP, the stack being the same: red zone, and
     * registers, of which AVX-512 and AMX have 11 KiB. */
    enum { SIGNAL_FRAME_MAX_BYTES = 16384 };
    uint64_t sp, at = sigreturn_sp_word(walk_sp(w)), rsp = interrupted->value[DWREG_RSP];
    bool elsewhere = !stack_holds(w->snap, rsp) && rsp - at > SIGNAL_FRAME_MAX_BYTES;
    if (elsewhere && stack_read(w->snap, at, &sp) && sp == rsp)
        w->out->elsewhere_at = at;
    w->out->frames[w->out->n - 1].how = FRAME_SIGNAL;
    return frame_add(w, interrupted, walk_code_at(w, interrupted->value[DWREG_RIP]), FRAME_SIGNAL);
}

static bool step_libunwind(struct walk *w, struct module *m, uint64_t vaddr, bool signal)
{
    struct fallback *f = w->u->fallback;
    struct regs caller = w->regs;
    uint64_t addr;
    guess_teach(w);
    enum fallback_result result = fallback_step(f, m, vaddr, w->snap, &caller, &addr);
    if (result == FALLBACK_NO_REG && guess_rbp(w)) {
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
    guess_teach(w);
    if (!walk_knows(w, DWREG_RBP) && !guess_rbp(w))
        return end_with(w, STACK_NO_REG);
    uint64_t rbp = w->regs.value[DWREG_RBP];
    if (!rbp)
        return end_with(w, w->chained ? STACK_COMPLETE : STACK_NO_CFI);
    if (rbp % sizeof(rbp) || rbp < walk_sp(w) || rbp > UINT64_MAX - 16)
        return end_with(w, STACK_NO_CFI);
    if (!stack_read(w->snap, rbp, &caller.value[DWREG_RBP]) ||
        !stack_read(w->snap, rbp + 8, &caller.value[DWREG_RIP]))
        return end_no_word(w, rbp + 8, STACK_NO_CFI);
    if (!caller.value[DWREG_RIP] && !caller.value[DWREG_RBP])
        return end_with(w, STACK_COMPLETE);
    caller.value[DWREG_RSP] = rbp + 16;
    w->chained = step_into(w, &caller, FRAME_FRAME_POINTER, STACK_NO_CFI);
    return w->chained;
}

/* The newest frame is the trampoline's. */
static bool step_sigreturn(struct walk *w)
{
    struct regs interrupted;
    if (!sigreturn_regs(w->snap, walk_sp(w), &interrupted))
        return end_no_word(w, sigreturn_last_word(walk_sp(w)), STACK_BAD);
    return step_signal(w, &interrupted);
}

/*
 * Around the system call that makes a thread. The new one has not called anything and nobody has
 * called it. Who can't show RAX sleeps: its creator, as in vfork().
 */
static bool step_clone(struct walk *w)
{
    struct regs creator = w->regs;
    if (walk_knows(w, DWREG_RAX) && !w->regs.value[DWREG_RAX])
        return end_with(w, STACK_COMPLETE);
    if (!stack_read(w->snap, walk_sp(w), &creator.value[DWREG_RIP]))
        return end_no_word(w, walk_sp(w), STACK_BAD);
    creator.value[DWREG_RSP] += 8;
    return step_up(w, &creator, FRAME_KNOWN_CODE);
}

/* No CFI. A signal's handler returns to its trampoline's first instruction; one that is being
 * executed may stand at the second. */
static bool step_without_cfi(struct walk *w, const struct row *row)
{
    if (row->code == (w->exact ? CODE_SIGRETURN : CODE_BEFORE_SIGRETURN))
        return step_sigreturn(w);
    if (row->code == CODE_CLONE && w->exact)
        return step_clone(w);
    return step_frame_pointer(w);
}

/* A call through a bad pointer has pushed its return address, and nothing else happened since. */
static bool step_from_nowhere(struct walk *w)
{
    uint64_t ip;
    enum stack_end end = is_plausible_code(walk_ip(w)) ? STACK_UNMAPPED : STACK_BAD;
    if (is_to_ask(w, walk_ip(w)))
        return end_no_code(w, walk_ip(w), end);
    if (!stack_read(w->snap, walk_sp(w), &ip))
        return end_no_word(w, walk_sp(w), end);
    const struct mapping *code = walk_code_at(w, ip - 1);
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
        return step_without_cfi(w, row);
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
    uint64_t kept = w->regs.value[DWREG_R12], sp = walk_sp(w);
    if (!w->exact) {
        if (!walk_knows(w, DWREG_R12) || ((kept - 16) & ~UINT64_C(15)) != walk_sp(w))
            return end_with(w, STACK_COMPLETE);
        w->regs.value[DWREG_RSP] = kept;
    }
    size_t n = w->out->n;
    bool stepped = step_by(w, m, vaddr, row);
    if (w->out->n == n)
        w->regs.value[DWREG_RSP] = sp; /* it may be tried again */
    return stepped;
}

static bool step(struct walk *w)
{
    uint64_t vaddr;
    if (!w->code && !w->exact) /* it was there before the mappings changed */
        return end_with(w, STACK_BAD);
    if (!w->code)
        return step_from_nowhere(w);
    if (!mapping_vaddr(w->code, walk_place(w), &vaddr))
        return step_frame_pointer(w);
    struct module *m = w->code->module;
    const struct row *row = rows_find(w->u->rows, m, vaddr);
    if (cfi_spent(w->u->cfi) - w->spent > CFI_BYTES_MAX)
        return end_with(w, STACK_TOO_MUCH);
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

uint64_t unwinder_cfi_cut(const struct unwinder *u)
{
    return cfi_cut(u->cfi);
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
    const uint32_t needed = 1u << DWREG_RIP | 1u << DWREG_RSP;
    struct walk *w = &u->walk;
    u->n_asked = 0;
    *w = (struct walk){.u = u, .snap = snap, .maps = maps, .out = ret_stack};
    w->spent = cfi_spent(u->cfi);
    ret_stack->n = 0;
    ret_stack->miss_addr = ret_stack->cut_bytes = ret_stack->elsewhere_at = 0;
    ret_stack->teachable = false;
    frame_add(w, &snap->regs, walk_code_at(w, snap->regs.value[DWREG_RIP]), FRAME_LEAF);
    if ((snap->regs.known & needed) != needed) {
        end_with(w, STACK_NO_REG);
        return;
    }
    while (step(w))
        ;
}

void unwinder_walk_on(struct unwinder *u, const struct snapshot *snap, const struct mappings *maps,
                      struct stack *stack)
{
    struct walk *w = &u->walk;
    if (u->n_asked < ASKED_MAX)
        u->asked[u->n_asked++] = stack->miss_addr;
    stack->miss_addr = 0;
    w->snap = snap;
    w->maps = maps;
    w->out = stack;
    w->code = NULL; /* it lay in a table that has changed */
    w->code = walk_code_at(w, walk_place(w));
    while (step(w))
        ;
}

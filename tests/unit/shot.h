/* SPDX-License-Identifier: MIT */
#ifndef SHOT_H
#define SHOT_H

#include <dlfcn.h>
#include <unistd.h>
#include <unwind.h>

#include "self_target.h"
#include "unwind/unwind.h"

/* This thread's own stack, and what libgcc says of it. */

#define NOINLINE __attribute__((noinline, noclone))
#ifdef __clang__
#undef NOINLINE
#define NOINLINE __attribute__((noinline))
#endif

/*
 * What libgcc's unwinder says; backtrace() itself is another function under a sanitizer. It has to
 * be asked for by name: linked, _Unwind_Backtrace() would be libunwind's, which is no other
 * opinion.
 */
struct oracle {
    uint64_t addrs[256];
    size_t n;
};

static __typeof__(_Unwind_Backtrace) *libgcc_backtrace;
static __typeof__(_Unwind_GetIP) *libgcc_get_ip;

static void load_libgcc(void)
{
    void *lib = dlopen("libgcc_s.so.1", RTLD_NOW | RTLD_LOCAL);
    cr_assert(lib, "%s", dlerror());
    libgcc_backtrace = __extension__(__typeof__(libgcc_backtrace)) dlsym(lib, "_Unwind_Backtrace");
    libgcc_get_ip = __extension__(__typeof__(libgcc_get_ip)) dlsym(lib, "_Unwind_GetIP");
    cr_assert(libgcc_backtrace && libgcc_get_ip);
}

static __attribute__((unused)) void unwind_init(void)
{
    load_libgcc();
    load_self();
}

static _Unwind_Reason_Code oracle_frame(struct _Unwind_Context *context, void *arg)
{
    struct oracle *o = arg;
    uint64_t ip = libgcc_get_ip(context);
    if (ip && o->n < 256)
        o->addrs[o->n++] = ip;
    return _URC_NO_REASON;
}

/* What one place in the program saw of its own stack. */
struct shot {
    struct snapshot snap;
    uint8_t *stack; /* owned */
    struct oracle oracle;
};

static void copy_stack(struct shot *s)
{
    s->stack = copy_own_stack(&s->snap);
}

static NOINLINE __attribute__((unused)) void take_shot(struct shot *s)
{
    ucontext_t uc;
    getcontext(&uc);
    s->snap.regs = regs_of(&uc);
    s->snap.tid = gettid();
    copy_stack(s);
    libgcc_backtrace(oracle_frame, &s->oracle);
}

/* Function chains of known depth, plain and with a frame that only RBP can find. */
static NOINLINE __attribute__((unused)) int descend(struct shot *s, int depth)
{
    if (depth == 0)
        take_shot(s);
    else
        descend(s, depth - 1);
    __asm__ volatile("");
    return depth;
}

static NOINLINE __attribute__((unused)) int descend_variable(struct shot *s, int depth)
{
    volatile char room[depth * 16 + 16];
    room[0] = 1;
    if (depth == 0)
        take_shot(s);
    else
        descend_variable(s, depth - 1);
    return room[0];
}

static __attribute__((unused)) void release_shot(struct shot *s)
{
    free(s->stack);
}

/* As if the kernel had nothing to add to the mappings. */
static void walk_to_end(struct unwinder *u, const struct snapshot *snap, const struct mappings *m,
                        struct stack *stack)
{
    for (size_t i = 0; i < 64 && stack->end == STACK_UNMAPPED && stack->miss_addr; i++)
        unwinder_walk_on(u, snap, m, stack);
    cr_assert(stack->end != STACK_UNMAPPED || !stack->miss_addr);
}

static __attribute__((unused)) struct stack walk(const struct snapshot *snap)
{
    struct unwinder *u = unwinder_new();
    struct stack stack;
    unwinder_walk(u, snap, &maps, &stack);
    walk_to_end(u, snap, &maps, &stack);
    unwinder_free(u);
    return stack;
}

/* Frame 0 differs: here the return from getcontext(), there the one from libgcc_backtrace(). */
static __attribute__((unused)) void assert_like_oracle(const struct stack *stack,
                                                       const struct shot *s)
{
    cr_assert_eq(stack->end, STACK_COMPLETE, "end %d after %zu frames", stack->end, stack->n);
    cr_assert_eq(stack->n, s->oracle.n, "%zu frames, not %zu", stack->n, s->oracle.n);
    for (size_t i = 1; i < stack->n; i++)
        cr_assert_eq(stack->frames[i].addr, s->oracle.addrs[i], "frame %zu", i);
}

#endif

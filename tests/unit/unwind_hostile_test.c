/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/mem.h"
#include "shot.h"

TestSuite(unwind_hostile, .init = unwind_init, .fini = release_self);

/* Code without CFI, and a stack built by hand. */
enum { JIT = 0x10000000, STACK_AT = 0x20000000 };

struct made {
    struct mappings maps;
    uint64_t words[64];
    struct snapshot snap;
};

static void made_init(struct made *t)
{
    memset(t, 0, sizeof(*t));
    struct mapping code = {.start = JIT, .end = JIT + 0x1000, .prot = PROT_READ | PROT_EXEC};
    struct mapping data = {.start = STACK_AT, .end = STACK_AT + 0x2000, .prot = PROT_READ};
    mappings_put(&t->maps, &code);
    mappings_put(&t->maps, &data);
    t->snap.stack = (const uint8_t *)t->words;
    t->snap.stack_addr = STACK_AT;
    t->snap.stack_bytes = sizeof(t->words);
    t->snap.stack_cut = true;
    t->snap.regs.known = 1u << DWREG_RIP | 1u << DWREG_RSP | 1u << DWREG_RBP;
    t->snap.regs.value[DWREG_RIP] = JIT + 0x10;
    t->snap.regs.value[DWREG_RSP] = STACK_AT;
    t->snap.regs.value[DWREG_RBP] = STACK_AT + 0x40;
    t->words[8] = STACK_AT + 0x80; /* saved RBP, return address */
    t->words[9] = JIT + 0x20;
    t->words[16] = 0;
    t->words[17] = JIT + 0x30;
}

static struct stack made_walk(struct made *t)
{
    struct unwinder *u = unwinder_new();
    struct stack stack;
    unwinder_walk(u, &t->snap, &t->maps, &stack);
    walk_to_end(u, &t->snap, &t->maps, &stack);
    unwinder_free(u);
    mappings_release(&t->maps);
    return stack;
}

Test(frame_pointer, a_chain_down_to_rbp_0)
{
    struct made t;
    made_init(&t);
    struct stack stack = made_walk(&t);
    cr_assert_eq(stack.end, STACK_COMPLETE);
    cr_assert_eq(stack.n, 3);
    cr_assert_eq(stack.frames[1].addr, JIT + 0x20);
    cr_assert_eq(stack.frames[1].how, FRAME_FRAME_POINTER);
    cr_assert_eq(stack.frames[2].addr, JIT + 0x30);
}

/* A JIT makes its code executable after it was looked at as data. */
Test(frame_pointer, data_that_has_become_code)
{
    struct made t;
    struct stack stack;
    made_init(&t);
    t.words[9] = STACK_AT + 0x1000;
    struct unwinder *u = unwinder_new();
    unwinder_walk(u, &t.snap, &t.maps, &stack);
    cr_assert_eq(stack.end, STACK_UNMAPPED);
    cr_assert_eq(stack.miss_addr, STACK_AT + 0x1000 - 1);
    struct mapping code = {.start = STACK_AT, .end = STACK_AT + 0x2000, .prot = PROT_EXEC};
    mappings_put(&t.maps, &code);
    unwinder_walk_on(u, &t.snap, &t.maps, &stack);
    cr_assert_eq(stack.end, STACK_COMPLETE);
    cr_assert_eq(stack.n, 3);
    unwinder_free(u);
    mappings_release(&t.maps);
}

static void expect_end(enum stack_end end, size_t n, void (*change)(struct made *))
{
    struct made t;
    made_init(&t);
    change(&t);
    struct stack stack = made_walk(&t);
    cr_assert_eq(stack.end, end, "%d, not %d", stack.end, end);
    cr_assert_eq(stack.n, n, "%zu frames, not %zu", stack.n, n);
    if (end == STACK_CUT)
        cr_assert_eq(stack.cut_bytes, STACK_AT + 0x408 + 8 - (STACK_AT + sizeof(t.words)));
}

static void leaf_rbp_0(struct made *t)
{
    t->snap.regs.value[DWREG_RBP] = 0;
}

static void rbp_unknown(struct made *t)
{
    t->snap.regs.known &= ~(1u << DWREG_RBP);
}

static void rbp_unaligned(struct made *t)
{
    t->words[8] = STACK_AT + 0x84;
}

static void rbp_goes_down(struct made *t)
{
    t->words[8] = STACK_AT + 0x40;
}

static void rbp_above_the_copy(struct made *t)
{
    t->words[8] = STACK_AT + 0x400;
}

static void rbp_above_the_mapping(struct made *t)
{
    t->words[8] = STACK_AT + 0x2000;
}

static void rbp_at_the_very_top(struct made *t)
{
    t->words[8] = UINT64_MAX & ~UINT64_C(7);
}

static void return_into_data(struct made *t)
{
    t->words[17] = STACK_AT + 8;
}

static void return_to_nowhere(struct made *t)
{
    t->words[17] = 0x7fff12345678;
}

Test(frame_pointer, chains_that_break)
{
    expect_end(STACK_NO_CFI, 1, leaf_rbp_0);
    expect_end(STACK_NO_REG, 1, rbp_unknown);
    expect_end(STACK_NO_CFI, 2, rbp_unaligned);
    expect_end(STACK_NO_CFI, 2, rbp_goes_down);
    expect_end(STACK_CUT, 2, rbp_above_the_copy);
    expect_end(STACK_NO_CFI, 2, rbp_above_the_mapping);
    expect_end(STACK_NO_CFI, 2, rbp_at_the_very_top);
    expect_end(STACK_NO_CFI, 2, return_into_data);
    expect_end(STACK_NO_CFI, 2, return_to_nowhere);
}

Test(unwind_hostile, never_more_than_its_frames)
{
    enum { WORDS = 2 * 1100 };
    struct made t;
    made_init(&t);
    uint64_t *words = mem_alloc(WORDS * sizeof(*words));
    for (size_t i = 0; i + 2 <= WORDS; i += 2) {
        words[i] = STACK_AT + (i + 2) * 8;
        words[i + 1] = JIT + 0x20;
    }
    t.snap.stack = (const uint8_t *)words;
    t.snap.stack_bytes = WORDS * sizeof(*words);
    t.snap.regs.value[DWREG_RBP] = STACK_AT;
    struct stack stack = made_walk(&t);
    cr_assert_eq(stack.end, STACK_TOO_DEEP);
    cr_assert_eq(stack.n, UNWIND_FRAMES_MAX);
    free(words);
}

/* A word that leads somewhere: into code, into the stack, or nowhere. */
static uint64_t tempting_word(uint64_t *seed, const struct snapshot *snap)
{
    uint64_t r = clock_random_next(seed);
    const struct mapping *m = &maps.items[(r >> 8) % maps.n];
    switch (r % 4) {
    case 0:
        return m->start + (r >> 16) % (m->end - m->start);
    case 1:
        return snap->stack_addr + ((r >> 16) % snap->stack_bytes & ~UINT64_C(7));
    case 2:
        return r;
    default:
        return (r >> 16) % 64;
    }
}

Test(unwind_hostile, garbage_always_ends)
{
    enum { WORDS = 512 };
    static uint64_t words[WORDS];
    struct unwinder *u = unwinder_new();
    uint64_t seed = 0x9e3779b97f4a7c15;
    struct snapshot snap = {.stack = (const uint8_t *)words, .stack_bytes = sizeof(words)};
    snap.stack_addr = stack_end_of((uint64_t)&seed) - 2 * sizeof(words);
    for (int i = 0; i < 10000; i++) {
        for (size_t k = 0; k < WORDS; k++)
            words[k] = tempting_word(&seed, &snap);
        snap.regs.known = (uint32_t)clock_random_next(&seed) | 1u << DWREG_RIP | 1u << DWREG_RSP;
        for (size_t k = 0; k < DWREG_N; k++)
            snap.regs.value[k] = tempting_word(&seed, &snap);
        snap.stack_cut = i & 1;
        struct stack stack;
        unwinder_walk(u, &snap, &maps, &stack);
        walk_to_end(u, &snap, &maps, &stack);
        cr_assert_geq(stack.n, 1);
        cr_assert_leq(stack.n, UNWIND_FRAMES_MAX);
        cr_assert_leq(stack.end, STACK_UNMAPPED);
    }
    unwinder_free(u);
}

/* The file's bytes in memory, where they can be spoilt. */
static void load_bytes(struct module *m)
{
    if (m->fd < 0)
        return;
    m->pieces = mem_alloc(sizeof(*m->pieces));
    m->n_pieces = 1;
    m->pieces[0].bytes = m->file_bytes;
    m->pieces[0].data = mem_alloc(m->file_bytes);
    cr_assert_eq(module_read(m, m->pieces[0].data, m->file_bytes, 0), 0);
    close(m->fd);
    m->fd = -1;
}

Test(unwind_hostile, spoilt_cfi_never_crashes)
{
    enum { TRIES = 1500, SPOTS = 400 };
    struct shot s = {0};
    descend_variable(&s, 3);
    struct module *m = mappings_find(&maps, s.snap.regs.value[DWREG_RIP])->module;
    load_bytes(m);
    uint64_t off, seed = 88172645463325252;
    cr_assert(module_off_of_vaddr(m, m->eh_frame_hdr_vaddr, &off));
    /* the header, its table, and .eh_frame, which linkers put behind it */
    uint64_t bytes = m->eh_frame_hdr_bytes * 4, whole = 0;
    for (int i = 0; i < TRIES; i++) {
        uint8_t *at[SPOTS], was[SPOTS];
        for (int k = 0; k < SPOTS; k++) {
            uint64_t r = clock_random_next(&seed);
            at[k] = m->pieces[0].data + off + (r >> 8) % bytes;
            was[k] = *at[k];
            *at[k] = (uint8_t)r;
        }
        struct stack stack = walk(&s.snap);
        cr_assert_geq(stack.n, 1);
        whole += stack.end == STACK_COMPLETE && stack.n == s.oracle.n;
        for (int k = SPOTS; k-- > 0;)
            *at[k] = was[k];
    }
    cr_assert_lt(whole, TRIES, "nothing was ever spoilt");
    struct stack stack = walk(&s.snap);
    assert_like_oracle(&stack, &s);
    release_shot(&s);
}

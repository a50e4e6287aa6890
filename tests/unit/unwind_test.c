/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "shot.h"

TestSuite(unwind, .init = unwind_init, .fini = release_self);

Test(unwind, same_frames_as_backtrace)
{
    struct shot s = {0};
    descend(&s, 20);
    struct stack stack = walk(&s.snap);
    cr_assert_gt(stack.n, 22);
    assert_like_oracle(&stack, &s);
    cr_assert_eq(stack.frames[0].how, FRAME_LEAF);
    for (size_t i = 1; i < stack.n; i++)
        cr_assert_eq(stack.frames[i].how, FRAME_CFI);
    release_shot(&s);
}

Test(unwind, frames_found_by_rbp)
{
    struct shot s = {0};
    descend_variable(&s, 20);
    struct stack stack = walk(&s.snap);
    assert_like_oracle(&stack, &s);
    release_shot(&s);
}

Test(unwind, a_second_walk_comes_from_the_cache_and_is_the_same)
{
    struct shot s = {0};
    descend_variable(&s, 5);
    struct unwinder *u = unwinder_new();
    struct stack first, second;
    unwinder_walk(u, &s.snap, &maps, &first);
    unwinder_walk(u, &s.snap, &maps, &second);
    assert_like_oracle(&second, &s);
    cr_assert_eq(first.n, second.n);
    unwinder_forget(u);
    unwinder_walk(u, &s.snap, &maps, &second);
    assert_like_oracle(&second, &s);
    unwinder_free(u);
    release_shot(&s);
}

Test(unwind, without_eh_frame_hdr_the_section_is_indexed)
{
    struct shot s = {0};
    descend_variable(&s, 5);
    for (size_t i = 0; i < modules.n; i++)
        modules.items[i]->eh_frame_hdr_bytes = 0;
    struct stack stack = walk(&s.snap);
    assert_like_oracle(&stack, &s);
    release_shot(&s);
}

static void *thread_main(void *arg)
{
    descend_variable(arg, 3);
    return NULL;
}

Test(unwind, thread_ends_at_its_first_function)
{
    struct shot s = {0};
    pthread_t thread;
    pthread_create(&thread, NULL, thread_main, &s);
    pthread_join(thread, NULL);
    struct stack stack = walk(&s.snap);
    assert_like_oracle(&stack, &s);
    release_shot(&s);
}

static size_t count_how(const struct stack *stack, enum frame_how how)
{
    size_t n = 0;
    for (size_t i = 0; i < stack->n; i++)
        n += stack->frames[i].how == how;
    return n;
}

/* A CFA that no row can say: DW_CFA_def_cfa_expression, RSP + 16. */
void call_by_expression(struct shot *s, void (*f)(struct shot *));
__asm__(".text\n"
        ".type call_by_expression, @function\n"
        "call_by_expression:\n"
        ".cfi_startproc\n"
        "push %rbp\n"
        ".cfi_escape 0x0f, 2, 0x77, 16\n"
        "call *%rsi\n"
        "pop %rbp\n"
        ".cfi_def_cfa 7, 8\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size call_by_expression, . - call_by_expression\n");

Test(unwind, an_expression_is_libunwind_s)
{
    struct shot s = {0};
    call_by_expression(&s, take_shot);
    __asm__ volatile("");
    struct stack stack = walk(&s.snap);
    assert_like_oracle(&stack, &s);
    cr_assert_eq(stack.frames[1].how, FRAME_CFI);
    cr_assert_eq(stack.frames[2].how, FRAME_LIBUNWIND);
    cr_assert_eq(count_how(&stack, FRAME_LIBUNWIND), 1);
    release_shot(&s);
}

/* A register that is not saved, but known: RBP is CFA + 32 (DW_CFA_val_offset_sf). Its caller is
 * found by it. */
void call_by_value(struct shot *s, void (*f)(struct shot *));
__asm__(".text\n"
        ".type call_by_value, @function\n"
        "call_by_value:\n"
        ".cfi_startproc\n"
        "push %rbp\n"
        ".cfi_def_cfa_offset 16\n"
        ".cfi_offset 6, -16\n"
        "mov %rsp, %rbp\n"
        ".cfi_def_cfa_register 6\n"
        "sub $32, %rsp\n"
        "call clobber_rbp\n"
        "leave\n"
        ".cfi_def_cfa 7, 8\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size call_by_value, . - call_by_value\n"
        ".type clobber_rbp, @function\n"
        "clobber_rbp:\n"
        ".cfi_startproc\n"
        "push %rbp\n"
        ".cfi_def_cfa_offset 16\n"
        ".cfi_escape 0x15, 6, 0x7c\n"
        "xor %ebp, %ebp\n"
        "call *%rsi\n"
        "pop %rbp\n"
        ".cfi_def_cfa_offset 8\n"
        ".cfi_restore 6\n"
        "ret\n"
        ".cfi_endproc\n"
        ".size clobber_rbp, . - clobber_rbp\n");

Test(unwind, a_register_that_is_a_distance_from_the_cfa)
{
    struct shot s = {0};
    call_by_value(&s, take_shot);
    __asm__ volatile("");
    struct stack stack = walk(&s.snap);
    assert_like_oracle(&stack, &s);
    cr_assert_eq(stack.frames[2].how, FRAME_LIBUNWIND);
    cr_assert_eq(stack.frames[3].how, FRAME_CFI);
    release_shot(&s);
}

Test(unwind, a_cut_stack_says_how_much_more_it_needs)
{
    struct shot s = {0};
    descend(&s, 20);
    size_t all = s.snap.stack_bytes, tries = 0;
    struct stack stack = {0};
    s.snap.stack_bytes = 256;
    s.snap.stack_cut = true;
    for (size_t n = 0; stack.end = STACK_COMPLETE, tries < 200; tries++, n = stack.n) {
        stack = walk(&s.snap);
        if (stack.end != STACK_CUT)
            break;
        cr_assert_geq(stack.n, n);
        cr_assert_geq(stack.cut_bytes, 8);
        s.snap.stack_bytes += stack.cut_bytes;
        cr_assert_leq(s.snap.stack_bytes, all);
    }
    cr_assert_gt(tries, 3);
    assert_like_oracle(&stack, &s);
    release_shot(&s);
}

Test(unwind, a_cut_stack_walks_whole_with_the_missing_bytes)
{
    struct shot s = {0};
    descend(&s, 0);
    struct stack whole = walk(&s.snap);
    /* all but the last frame's return address: the second try is the last */
    size_t all = s.snap.stack_bytes;
    for (s.snap.stack_bytes = all & ~(size_t)7; s.snap.stack_bytes; s.snap.stack_bytes -= 8) {
        s.snap.stack_cut = true;
        struct stack cut = walk(&s.snap);
        if (cut.end == STACK_COMPLETE)
            continue;
        cr_assert_eq(cut.end, STACK_CUT);
        s.snap.stack_bytes += cut.cut_bytes;
        cut = walk(&s.snap);
        cr_assert_eq(cut.end, STACK_COMPLETE);
        cr_assert_eq(cut.n, whole.n);
        release_shot(&s);
        return;
    }
    cr_assert_fail("nothing was ever missing");
}

Test(unwind, the_cut_top_is_not_asked_for_where_the_mapping_ends)
{
    struct shot s = {0};
    descend(&s, 3);
    s.snap.stack_bytes = 256;
    s.snap.stack_cut = false;
    struct stack stack = walk(&s.snap);
    cr_assert_eq(stack.end, STACK_BAD);
    release_shot(&s);
}

Test(unwind, an_unknown_register_ends_the_walk)
{
    struct shot s = {0};
    descend_variable(&s, 3);
    s.snap.regs.known = 1u << DWREG_RIP | 1u << DWREG_RSP;
    struct stack stack = walk(&s.snap);
    /* descend_variable()'s CFA needs RBP; under some compilers take_shot() happens to save it. */
    if (stack.end == STACK_COMPLETE) {
        assert_like_oracle(&stack, &s);
    } else {
        cr_assert_eq(stack.end, STACK_NO_REG);
        cr_assert_leq(stack.n, 2);
    }
    s.snap.regs.known = 0;
    stack = walk(&s.snap);
    cr_assert_eq(stack.end, STACK_NO_REG);
    cr_assert_eq(stack.n, 1);
    release_shot(&s);
}

/* As if take_shot() had called it. What it would return to. */
static uint64_t push_call(struct shot *s, uint64_t callee)
{
    uint64_t at = s->snap.regs.value[DWREG_RSP] - 8, ret = s->snap.regs.value[DWREG_RIP];
    memcpy(s->stack + (at - s->snap.stack_addr), &ret, sizeof(ret));
    s->snap.regs.value[DWREG_RSP] = at;
    s->snap.regs.value[DWREG_RIP] = callee;
    return ret;
}

/* glibc's clone() and clone3(), whose CFI leaves out what is around their system call. */
void clone_without_cfi(void);
__asm__(".text\n"
        ".type clone_without_cfi, @function\n"
        "clone_without_cfi:\n"
        ".fill 32, 1, 0x90\n"
        ".byte 0xb8, 0xb3, 1, 0, 0\n" /* mov $435, %eax */
        "syscall\n"
        "test %rax, %rax\n"
        "jl clone_without_cfi\n"
        "je clone_without_cfi\n"
        "ret\n"
        ".size clone_without_cfi, . - clone_without_cfi\n"
        ".fill 32, 1, 0x90\n");

Test(unwind, clone_has_no_cfi_around_its_system_call)
{
    static const uint64_t places[] = {37, 39, 42, 44, 46}; /* syscall, test, jl, je, ret */
    struct shot s = {0};
    descend(&s, 4);
    uint64_t ret = push_call(&s, 0);
    for (size_t i = 0; i < 5; i++) {
        s.snap.regs.value[DWREG_RIP] = (uintptr_t)clone_without_cfi + places[i];
        s.snap.regs.value[DWREG_RAX] = i ? 4711 : 435; /* who called it */
        struct stack stack = walk(&s.snap);
        cr_assert_eq(stack.end, STACK_COMPLETE, "end %d at %lu", stack.end, places[i]);
        cr_assert_eq(stack.n, s.oracle.n + 1);
        cr_assert_eq(stack.frames[1].addr, ret);
        cr_assert_eq(stack.frames[1].how, FRAME_KNOWN_CODE);
        s.snap.regs.value[DWREG_RAX] = 0; /* the new thread */
        stack = walk(&s.snap);
        cr_assert_eq(stack.end, STACK_COMPLETE);
        cr_assert_eq(stack.n, 1);
    }
    release_shot(&s);
}

Test(unwind, a_call_through_a_null_pointer)
{
    struct shot s = {0};
    descend(&s, 4);
    uint64_t ret = push_call(&s, 0);
    struct stack stack = walk(&s.snap);
    cr_assert_eq(stack.end, STACK_COMPLETE);
    cr_assert_eq(stack.n, s.oracle.n + 1);
    cr_assert_eq(stack.frames[0].addr, 0);
    cr_assert_eq(stack.frames[1].addr, ret);
    release_shot(&s);
}

/* First the kernel is asked, then the call is believed; never where a mapping has come meanwhile.
 */
Test(unwind, a_call_to_where_nothing_is)
{
    const uint64_t wild = 0x123456789000;
    struct shot s = {0};
    struct stack stack;
    descend(&s, 4);
    uint64_t ret = push_call(&s, wild);
    struct unwinder *u = unwinder_new();
    unwinder_walk(u, &s.snap, &maps, &stack);
    cr_assert_eq(stack.end, STACK_UNMAPPED);
    cr_assert_eq(stack.miss_addr, wild);
    unwinder_walk_on(u, &s.snap, &maps, &stack);
    cr_assert_eq(stack.end, STACK_COMPLETE);
    cr_assert_eq(stack.n, s.oracle.n + 1);
    cr_assert_eq(stack.frames[1].addr, ret);
    unwinder_walk(u, &s.snap, &maps, &stack); /* another snapshot, as it were */
    cr_assert_eq(stack.miss_addr, wild);
    unwinder_free(u);
    release_shot(&s);
}

Test(unwind, a_place_that_no_mapping_covers)
{
    struct shot s = {0};
    descend(&s, 4);
    struct mappings empty = {0};
    struct unwinder *u = unwinder_new();
    struct stack stack;
    unwinder_walk(u, &s.snap, &empty, &stack);
    cr_assert_eq(stack.end, STACK_UNMAPPED);
    cr_assert_eq(stack.n, 1);
    cr_assert_eq(stack.miss_addr, s.snap.regs.value[DWREG_RIP]);
    /* the mappings were read, the same unwinder goes on */
    unwinder_walk(u, &s.snap, &maps, &stack);
    assert_like_oracle(&stack, &s);
    unwinder_free(u);
    release_shot(&s);
}

/* A mapping that is learnt in the middle of a walk: it goes on there. */
Test(unwind, mappings_that_come_one_after_the_other)
{
    struct shot s = {0};
    struct stack stack;
    struct mappings known = {0};
    descend_variable(&s, 4);
    struct unwinder *u = unwinder_new();
    unwinder_walk(u, &s.snap, &known, &stack);
    size_t asked = 0, n = 0;
    for (; stack.end == STACK_UNMAPPED && stack.miss_addr; asked++) {
        struct mapping m = *mappings_find(&maps, stack.miss_addr);
        m.path = m.path ? mem_strdup(m.path) : NULL;
        cr_assert(mappings_put(&known, &m));
        cr_assert_geq(stack.n, n);
        n = stack.n;
        unwinder_walk_on(u, &s.snap, &known, &stack);
    }
    cr_assert_gt(asked, 1);
    assert_like_oracle(&stack, &s);
    mappings_release(&known);
    unwinder_free(u);
    release_shot(&s);
}

/* What was read of a frame's caller holds no longer: no call through a bad pointer stands there. */
Test(unwind, code_that_goes_in_the_middle_of_a_walk)
{
    struct shot s = {0};
    struct stack stack;
    struct mappings known = {0};
    descend(&s, 4);
    struct unwinder *u = unwinder_new();
    unwinder_walk(u, &s.snap, &known, &stack);
    struct mapping own = *mappings_find(&maps, stack.miss_addr);
    own.path = mem_strdup(own.path);
    cr_assert(mappings_put(&known, &own));
    unwinder_walk_on(u, &s.snap, &known, &stack);
    cr_assert_eq(stack.end, STACK_UNMAPPED);
    size_t n = stack.n;
    cr_assert_gt(n, 1);
    mappings_release(&known);
    unwinder_walk_on(u, &s.snap, &known, &stack);
    cr_assert_eq(stack.end, STACK_BAD, "end %d", stack.end);
    cr_assert_eq(stack.n, n);
    unwinder_free(u);
    release_shot(&s);
}

/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <elf.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

#include "base/clock.h"
#include "base/mem.h"
#include "self_target.h"
#include "unwind/unwind.h"

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

static void unwind_init(void)
{
    load_libgcc();
    load_self();
}

TestSuite(unwind, .init = unwind_init, .fini = release_self);

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

static NOINLINE void take_shot(struct shot *s)
{
    ucontext_t uc;
    getcontext(&uc);
    s->snap.regs = regs_of(&uc);
    s->snap.tid = gettid();
    copy_stack(s);
    libgcc_backtrace(oracle_frame, &s->oracle);
}

/* Function chains of known depth, plain and with a frame that only RBP can find. */
static NOINLINE int descend(struct shot *s, int depth)
{
    if (depth == 0)
        take_shot(s);
    else
        descend(s, depth - 1);
    __asm__ volatile("");
    return depth;
}

static NOINLINE int descend_variable(struct shot *s, int depth)
{
    volatile char room[depth * 16 + 16];
    room[0] = 1;
    if (depth == 0)
        take_shot(s);
    else
        descend_variable(s, depth - 1);
    return room[0];
}

static void release_shot(struct shot *s)
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

static struct stack walk(const struct snapshot *snap)
{
    struct unwinder *u = unwinder_new();
    struct stack stack;
    unwinder_walk(u, snap, &maps, &stack);
    walk_to_end(u, snap, &maps, &stack);
    unwinder_free(u);
    return stack;
}

/* Frame 0 differs: here the return from getcontext(), there the one from libgcc_backtrace(). */
static void assert_like_oracle(const struct stack *stack, const struct shot *s)
{
    cr_assert_eq(stack->end, STACK_COMPLETE, "end %d after %zu frames", stack->end, stack->n);
    cr_assert_eq(stack->n, s->oracle.n, "%zu frames, not %zu", stack->n, s->oracle.n);
    for (size_t i = 1; i < stack->n; i++)
        cr_assert_eq(stack->frames[i].addr, s->oracle.addrs[i], "frame %zu", i);
}

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

static struct shot signal_shot;

static void on_signal(int sig)
{
    (void)sig;
    take_shot(&signal_shot);
    __asm__ volatile("");
}

static NOINLINE void interrupted(int sig)
{
    raise(sig);
    __asm__ volatile("");
}

static size_t count_how(const struct stack *stack, enum frame_how how)
{
    size_t n = 0;
    for (size_t i = 0; i < stack->n; i++)
        n += stack->frames[i].how == how;
    return n;
}

Test(unwind, through_a_signal_handler)
{
    signal(SIGUSR1, on_signal);
    interrupted(SIGUSR1);
    struct stack stack = walk(&signal_shot.snap);
    assert_like_oracle(&stack, &signal_shot);
    cr_assert_eq(count_how(&stack, FRAME_SIGNAL), 2, "the trampoline, and what it interrupted");
    /* take_shot, on_signal, trampoline, then the code in libc that sent the signal to itself */
    cr_assert_eq(stack.frames[3].how, FRAME_SIGNAL);
    release_shot(&signal_shot);
}

/* As a musl or Go program has it: no CFI tells that this is a signal's trampoline. */
void restorer_without_cfi(void);
__asm__(".text\n"
        ".p2align 4\n"
        "nop\n"
        ".type restorer_without_cfi, @function\n"
        "restorer_without_cfi:\n"
        ".byte 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0\n" /* mov $15, %rax */
        "syscall\n"
        ".size restorer_without_cfi, . - restorer_without_cfi\n"
        ".p2align 4\n");

static void install_without_cfi(int sig)
{
    enum { WITH_RESTORER = 0x04000000 }; /* SA_RESTORER, which glibc keeps to itself */
    struct {
        void (*handler)(int);
        unsigned long flags;
        void (*restorer)(void);
        uint64_t mask;
    } action = {.handler = on_signal, .flags = WITH_RESTORER, .restorer = restorer_without_cfi};
    cr_assert_eq(syscall(SYS_rt_sigaction, sig, &action, NULL, sizeof(action.mask)), 0);
}

Test(unwind, through_a_trampoline_that_only_its_code_tells)
{
    install_without_cfi(SIGUSR2);
    interrupted(SIGUSR2);
    struct stack stack = walk(&signal_shot.snap);
    assert_like_oracle(&stack, &signal_shot);
    cr_assert_eq(count_how(&stack, FRAME_SIGNAL), 2);
    cr_assert_eq(stack.frames[2].addr, (uintptr_t)restorer_without_cfi);
    release_shot(&signal_shot);
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

struct sleeper {
    int ready[2], wake[2];
    pid_t tid;
    struct oracle oracle;
};

static NOINLINE void sleep_in_read(struct sleeper *sl)
{
    char byte;
    sl->tid = gettid();
    libgcc_backtrace(oracle_frame, &sl->oracle);
    cr_assert_eq(write(sl->ready[1], "r", 1), 1);
    cr_assert_eq(syscall(SYS_read, sl->wake[0], &byte, 1), 1);
    __asm__ volatile("");
}

static void *sleeper_main(void *arg)
{
    sleep_in_read(arg);
    return NULL;
}

/* As /proc/PID/task/TID/syscall says it, once the thread is in its read(). */
static void shoot_sleeper(const struct sleeper *sl, struct shot *s)
{
    OX_FREE char *path = mem_printf("/proc/self/task/%d/syscall", sl->tid);
    unsigned long nr = SYS_write, sp = 0, pc = 0;
    for (uint64_t limit = clock_now_ns() + 10 * OX_NS_PER_S;
         nr != SYS_read && clock_now_ns() < limit;) {
        FILE *f = fopen(path, "re");
        if (fscanf(f, "%lu %*x %*x %*x %*x %*x %*x %lx %lx", &nr, &sp, &pc) != 3)
            nr = SYS_write;
        fclose(f);
    }
    cr_assert_eq(nr, SYS_read);
    s->snap.regs.value[DWREG_RSP] = sp;
    s->snap.regs.value[DWREG_RIP] = pc;
    s->snap.regs.known = 1u << DWREG_RIP | 1u << DWREG_RSP;
    copy_stack(s);
}

/* Only optimised code does without RBP, which the snapshot of a sleeper does not hold. */
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__)
#define CODE_WITHOUT_FRAME_POINTERS 1
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#undef CODE_WITHOUT_FRAME_POINTERS
#endif
#endif
#endif
#ifndef CODE_WITHOUT_FRAME_POINTERS
#define CODE_WITHOUT_FRAME_POINTERS 0
#endif

/* Valgrind preloads its malloc(). <valgrind/valgrind.h> would be one more thing to install before
 * the tests are compiled. */
static bool is_on_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");
    return preload && strstr(preload, "/vgpreload_");
}

Test(unwind, a_sleeper_is_whole_from_sp_and_pc_alone)
{
    struct sleeper sl = {0};
    struct shot s = {0};
    pthread_t thread;
    char byte;
    if (is_on_valgrind())
        cr_skip_test("the kernel sees valgrind's registers there, not the program's");
    cr_assert_eq(pipe(sl.ready), 0);
    cr_assert_eq(pipe(sl.wake), 0);
    pthread_create(&thread, NULL, sleeper_main, &sl);
    cr_assert_eq(read(sl.ready[0], &byte, 1), 1);
    shoot_sleeper(&sl, &s);
    struct stack stack = walk(&s.snap);
    cr_assert_eq(write(sl.wake[1], "w", 1), 1);
    pthread_join(thread, NULL);
    if (!CODE_WITHOUT_FRAME_POINTERS) {
        release_shot(&s);
        cr_skip_test("compiled with frame pointers");
    }
    cr_assert_eq(stack.end, STACK_COMPLETE, "end %d after %zu", stack.end, stack.n);
    /* from sleep_in_read's caller on both saw the same */
    size_t common = sl.oracle.n - 1;
    cr_assert_geq(stack.n, common + 2);
    for (size_t i = 0; i < common; i++)
        cr_assert_eq(stack.frames[stack.n - 1 - i].addr, sl.oracle.addrs[sl.oracle.n - 1 - i]);
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

Test(unwind, never_more_than_its_frames)
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

Test(unwind, garbage_always_ends)
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

Test(unwind, spoilt_cfi_never_crashes)
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

/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "shot.h"

TestSuite(unwind_signals, .init = unwind_init, .fini = release_self);

static size_t count_how(const struct stack *stack, enum frame_how how)
{
    size_t n = 0;
    for (size_t i = 0; i < stack->n; i++)
        n += stack->frames[i].how == how;
    return n;
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

Test(unwind_signals, through_a_signal_handler)
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

Test(unwind_signals, through_a_trampoline_that_only_its_code_tells)
{
    install_without_cfi(SIGUSR2);
    interrupted(SIGUSR2);
    struct stack stack = walk(&signal_shot.snap);
    assert_like_oracle(&stack, &signal_shot);
    cr_assert_eq(count_how(&stack, FRAME_SIGNAL), 2);
    cr_assert_eq(stack.frames[2].addr, (uintptr_t)restorer_without_cfi);
    release_shot(&signal_shot);
}

/* On a stack of its own: a copy of the interrupted one, as it is now. */
static struct snapshot_piece below;

static void on_other_stack(int sig, siginfo_t *info, void *context)
{
    const ucontext_t *uc = context;
    (void)info;
    on_signal(sig);
    below.addr = (uint64_t)uc->uc_mcontext.gregs[REG_RSP];
    below.bytes = stack_end_of(below.addr) - below.addr;
    uint8_t *copy = mem_alloc(below.bytes);
    read_own_memory(copy, below.addr, below.bytes);
    below.data = copy;
}

static void use_other_stack(int sig)
{
    enum { BYTES = 1 << 20 };
    void *memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    stack_t stack = {.ss_sp = memory, .ss_size = BYTES};
    struct sigaction action = {.sa_sigaction = on_other_stack, .sa_flags = SA_ONSTACK | SA_SIGINFO};
    cr_assert_eq(sigaltstack(&stack, NULL), 0);
    cr_assert_eq(sigaction(sig, &action, NULL), 0);
}

/* The walk says where it can be found; a copy of some of it says how much more there is. */
Test(unwind_signals, the_interrupted_stack_is_another)
{
    use_other_stack(SIGUSR1);
    interrupted(SIGUSR1);
    struct snapshot *snap = &signal_shot.snap;
    struct stack stack = walk(snap);
    cr_assert_eq(stack.end, STACK_ELSEWHERE);
    cr_assert_eq(count_how(&stack, FRAME_SIGNAL), 2, "what was interrupted is known");
    uint64_t sp, at = stack.elsewhere_at - snap->stack_addr;
    cr_assert_leq(at, snap->stack_bytes - sizeof(sp));
    memcpy(&sp, snap->stack + at, sizeof(sp));
    cr_assert_eq(sp, below.addr);

    snap->interrupted = below;
    snap->interrupted.bytes = 32;
    snap->interrupted_cut = true;
    stack = walk(snap);
    cr_assert_eq(stack.end, STACK_CUT, "end %d after %zu", stack.end, stack.n);
    cr_assert_leq(32 + stack.cut_bytes, below.bytes);
    snap->interrupted = below;
    stack = walk(snap);
    assert_like_oracle(&stack, &signal_shot);
    free((void *)below.data);
    release_shot(&signal_shot);
}

enum { PART_BYTES = 1 << 20 };

static void *interrupted_above(void *handlers_stack)
{
    stack_t stack = {.ss_sp = handlers_stack, .ss_size = PART_BYTES};
    sigaltstack(&stack, NULL);
    interrupted(SIGUSR1);
    return NULL;
}

/* As Go has them: both in one mapping. No more of the handler's is wanted. */
Test(unwind_signals, the_interrupted_stack_lies_above_in_the_same_mapping)
{
    uint8_t *memory =
        mmap(NULL, 2 * PART_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t middle = (uint64_t)memory + PART_BYTES, sp;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    struct snapshot *snap = &signal_shot.snap;
    pthread_attr_t attr;
    pthread_t thread;
    cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);
    pthread_attr_init(&attr);
    cr_assert_eq(pthread_attr_setstack(&attr, memory + PART_BYTES, PART_BYTES), 0);
    cr_assert_eq(pthread_create(&thread, &attr, interrupted_above, memory), 0);
    pthread_join(thread, NULL);
    cr_assert_lt(snap->stack_addr, middle);
    size_t all = snap->stack_bytes;
    snap->stack_bytes = middle - snap->stack_addr;
    snap->stack_cut = true;
    struct stack stack = walk(snap);
    cr_assert_eq(stack.end, STACK_ELSEWHERE, "end %d", stack.end);
    memcpy(&sp, snap->stack + (stack.elsewhere_at - snap->stack_addr), sizeof(sp));
    snap->interrupted = (struct snapshot_piece){.addr = sp, .data = snap->stack};
    snap->interrupted.data += sp - snap->stack_addr;
    snap->interrupted.bytes = all - (sp - snap->stack_addr);
    stack = walk(snap);
    cr_assert_eq(stack.end, STACK_COMPLETE, "end %d", stack.end);
    release_shot(&signal_shot);
}

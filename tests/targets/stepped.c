/* SPDX-License-Identifier: MIT */
/*
 * Goes once through what makes a stack hard to unwind: tests/oracles/step.c executes it one
 * instruction at a time and looks at its stack at each. A region's name is told by prctl(2), which
 * does no harm when nobody looks; in one that begins with "signals" a signal is sent in between the
 * instructions. Exit code 0 where every answer was right.
 */
#include <alloca.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "stepped.h"

#define NOINLINE __attribute__((noinline))

static volatile long sink;
static volatile sig_atomic_t signals_seen;
static int wrong;
static sigjmp_buf back;

static void region(const char *name)
{
    prctl(PR_SET_NAME, name);
}

static void expect(long got, long wanted)
{
    wrong += got != wanted;
}

/* ---- plain frames */

static NOINLINE long twice(long x)
{
    sink = x;
    return 2 * x;
}

static NOINLINE long recurse(long depth, long a, long b, long c, long d, long e)
{
    if (!depth)
        return twice(a ^ b ^ c ^ d ^ e);
    long below = recurse(depth - 1, b, c, d, e, a);
    return below + a + twice(b) + c * d + e; /* all live across the calls */
}

static NOINLINE long many_arguments(long a, long b, long c, long d, long e, long f, long g, long h,
                                    long i)
{
    return twice(a + b) + twice(c + d) + e + f + g + h + i;
}

static NOINLINE long big_frame(long x)
{
    volatile char room[12000];
    room[0] = (char)x;
    room[sizeof(room) - 1] = 1;
    return twice(x) + room[0] + room[sizeof(room) - 1];
}

static NOINLINE long with_alloca(long n)
{
    volatile char *room = alloca((size_t)n * 16 + 16);
    room[0] = 1;
    return twice(n) + room[0] + (n ? with_alloca(n - 1) : 0);
}

static NOINLINE long aligned_frame(long x)
{
    _Alignas(64) volatile long room[8] = {x};
    return twice(room[0]) + room[1];
}

static NOINLINE long tail_callee(long x)
{
    return twice(x) + 1;
}

static NOINLINE long tail_caller(long x)
{
    sink = x;
    return tail_callee(x + 1);
}

static NOINLINE long early_exit(long x)
{
    if (x < 0)
        return -1;
    return recurse(1, x, x, x, x, x);
}

static void plain(void)
{
    region("plain");
    sink = recurse(5, 1, 2, 3, 4, 5);
    sink = many_arguments(1, 2, 3, 4, 5, 6, 7, 8, 9);
    expect(big_frame(3), 10);
    sink = with_alloca(4);
    expect(aligned_frame(4), 8);
    expect(tail_caller(5), 13);
    expect(early_exit(-3), -1);
    sink = early_exit(3);
}

static void assembly(void)
{
    region("assembly");
    expect(code_expression(twice, 4), 8);
    expect(code_other_base(twice, 4), 8);
    expect(code_moved_return(twice, 4), 8);
    expect(code_pushes(twice, 4), 8);
    expect(code_leave(twice, 4), 8);
    expect(code_tail(twice, 4), 8);
    expect(code_realigned(twice, 4), 8);
}

/* ---- other modules */

static void linkage_table(void)
{
    region("linkage table");
    for (int round = 0; round < 2; round++) { /* resolved in the first */
        expect(far_add(1, 2), 3);
        expect(far_apply(twice, 3), 14);
        expect(far_mix(2, 3, 1) > 6.5, 1);
        expect(far_chain(3), 7);
        expect(far_variadic(3, 1L, 2L, 3L), 6);
    }
}

static int compare(const void *a, const void *b)
{
    const long *x = a, *y = b;
    return (int)twice(*x > *y) - (*x < *y);
}

static void library(void)
{
    char text[200], copy[200];
    long numbers[9] = {5, 3, 8, 1, 9, 2, 7, 4, 6};
    region("library");
    qsort(numbers, 9, sizeof(*numbers), compare);
    expect(numbers[8], 9);
    expect(bsearch(&numbers[4], numbers, 9, sizeof(*numbers), compare) != NULL, 1);
    snprintf(text, sizeof(text), "%ld %s %5.2f %c", numbers[0], "text", 3.25, 'x');
    expect((long)strlen(text), 14);
    memcpy(copy, text, sizeof(copy));
    expect(memcmp(copy, text, strlen(text)), 0);
    expect(strchr(copy, 't') - copy, 2);
    for (size_t n = 1; n < 100000; n *= 7) {
        char *room = malloc(n);
        memset(room, 1, n);
        room = realloc(room, 2 * n);
        free(room);
    }
    expect(strtol("123", NULL, 10), 123);
    expect(getenv("NOTHING") == NULL, 1);
}

static void kernel_code(void)
{
    struct timespec now;
    struct timeval day;
    region("vdso");
    expect(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    expect(clock_gettime(CLOCK_REALTIME_COARSE, &now), 0);
    expect(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
    expect(clock_getres(CLOCK_MONOTONIC, &now), 0);
    expect(gettimeofday(&day, NULL), 0);
    expect(time(NULL) > 0, 1);
}

/* ---- jumps out of frames */

static jmp_buf out;

static NOINLINE void jump(long depth)
{
    if (!depth)
        longjmp(out, 3);
    jump(depth - 1);
    sink = depth;
}

static NOINLINE _Noreturn void leave(void)
{
    longjmp(out, 4);
}

/* Its call is its last instruction: the return address belongs to the next function. */
static NOINLINE _Noreturn void end_by_call(void)
{
    sink = 1;
    leave();
}

static void jumps(void)
{
    region("longjmp");
    if (setjmp(out) == 0)
        jump(3);
    region("noreturn");
    if (setjmp(out) == 0)
        end_by_call();
    if (sigsetjmp(back, 1) == 0)
        siglongjmp(back, 1);
}

/* ---- signals */

static void count(int sig)
{
    (void)sig;
    signals_seen = signals_seen + 1;
}

static void skip_ud2(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)sig, (void)info;
    sink = twice(3);
    uc->uc_mcontext.gregs[REG_RIP] += 2;
}

static void jump_back(int sig)
{
    sink = twice(sig);
    siglongjmp(back, sig);
}

static void raise_in_handler(int sig)
{
    if (sig == SIGUSR1)
        raise(SIGHUP);
    signals_seen = signals_seen + (int)twice(1);
}

static void handle(int sig, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigaction(sig, &action, NULL);
}

static void handlers(void)
{
    region("handlers");
    handle(SIGUSR1, raise_in_handler, 0);
    handle(SIGHUP, raise_in_handler, 0);
    raise(SIGUSR1);
    expect(signals_seen, 4);
}

static void other_stack(void)
{
    enum { BYTES = 65536 };
    stack_t stack = {.ss_size = BYTES};
    stack_t none = {.ss_flags = SS_DISABLE};
    region("alternate stack");
    stack.ss_sp = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaltstack(&stack, NULL);
    handle(SIGUSR1, raise_in_handler, SA_ONSTACK);
    raise(SIGUSR1);
    expect(signals_seen, 8);
    if (sigsetjmp(back, 1) == 0) {
        handle(SIGUSR1, jump_back, SA_ONSTACK);
        raise(SIGUSR1);
        wrong++;
    }
    sigaltstack(&none, NULL);
    munmap(stack.ss_sp, BYTES);
}

static void faults(void)
{
    struct sigaction action = {.sa_sigaction = skip_ud2, .sa_flags = SA_SIGINFO};
    region("illegal");
    sigaction(SIGILL, &action, NULL);
    code_illegal();
    code_illegal_behind();
    region("null call");
    handle(SIGSEGV, jump_back, 0);
    if (sigsetjmp(back, 1) == 0)
        code_call_wild(NULL);
    region("wild call");
    if (sigsetjmp(back, 1) == 0)
        code_call_wild((void *)&sink); /* mapped, not executable */
    if (sigsetjmp(back, 1) == 0)
        code_call_wild((void *)(uintptr_t)0x123456789000);
    region("bad access");
    if (sigsetjmp(back, 1) == 0)
        sink = *(volatile long *)(uintptr_t)8;
}

static void everywhere(void)
{
    handle(SIGUSR2, count, SA_NODEFER);
    region("signals: plain");
    sink = recurse(3, 1, 2, 3, 4, 5);
    sink = with_alloca(2);
    sink = big_frame(2);
    sink = tail_caller(2);
    region("signals: code");
    sink = code_expression(twice, 4) + code_other_base(twice, 4) + code_pushes(twice, 4) +
           code_leave(twice, 4) + code_tail(twice, 4) + code_realigned(twice, 4);
    region("signals: far");
    sink = far_chain(3) + far_apply(twice, 3);
    region("after");
}

#ifndef WITHOUT_THREAD
static void *thread(void *arg)
{
    sink = recurse(2, 1, 2, 3, 4, 5) + far_own(3);
    return arg;
}

static void threads(void)
{
    pthread_t id;
    void *result = NULL;
    region("thread");
    expect(pthread_create(&id, NULL, thread, &sink), 0);
    region("thread joined");
    expect(pthread_join(id, &result), 0);
    expect(result == &sink, 1);
}
#endif

int main(void)
{
    plain();
    assembly();
    linkage_table();
    library();
    kernel_code();
    jumps();
#ifndef WITHOUT_THROW
    region("throw");
    expect(throw_and_catch(4), 1);
    expect(throw_rethrown(2), 2);
    expect(throw_cleanups(3), 6);
#endif
    handlers();
    other_stack();
    faults();
#ifndef WITHOUT_THREAD
    threads();
#endif
    everywhere();
    return wrong != 0;
}

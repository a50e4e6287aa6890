/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/clock.h"
#include "base/mem.h"
#include "shot.h"

TestSuite(unwind_asleep, .init = unwind_init, .fini = release_self);

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

Test(unwind_asleep, a_sleeper_is_whole_from_sp_and_pc_alone)
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

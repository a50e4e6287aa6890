/* SPDX-License-Identifier: MIT */
/* Computes, and makes a cheap system call every ten microseconds or so: how much of its time is
 * that? */
#include <pthread.h>
#include <sys/syscall.h>

#include "fixture.h"

enum { STEPS = 4000, ROUNDS = 2000 };

NOINLINE static uint64_t think(uint64_t x)
{
    return fixture_steps(x, STEPS);
}

NOINLINE static uint64_t ask(uint64_t x)
{
    return x + (uint64_t)syscall(SYS_getppid);
}

static uint64_t time_of(uint64_t (*work)(uint64_t), uint64_t *x)
{
    uint64_t start = fixture_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    for (int i = 0; i < ROUNDS; i++)
        *x = work(*x);
    return fixture_clock_ns(CLOCK_THREAD_CPUTIME_ID) - start;
}

int main(void)
{
    uint64_t x = 1;
    fixture_begin();
    uint64_t thought_ns = time_of(think, &x), asked_ns = time_of(ask, &x);
    fixture_ready();
    while (!fixture_stop_asked())
        for (int i = 0; i < ROUNDS; i++)
            x = ask(think(x));
    printf("think=%.4f\nask=%.4f\n", (double)thought_ns / (double)(thought_ns + asked_ns),
           (double)asked_ns / (double)(thought_ns + asked_ns));
    return x == 0;
}

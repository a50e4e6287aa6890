/* SPDX-License-Identifier: MIT */
/*
 * Many threads, of which few compute, below a dozen of calls; the others sleep below as many, and
 * are awake every now and then.
 * usage: threads PROGRESS-FILE SECONDS ALL BUSY NAP-MS (0: for ever)
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "progress.h"

#define NOINLINE __attribute__((noinline))

enum { THREAD_STACK_BYTES = 64 * 1024, ROUND = 10000, DEPTH = 12 };

struct bench {
    struct progress *page;
    struct timespec nap;
    volatile uint64_t sink; /* what is done after a call keeps it from becoming a jump */
};

NOINLINE static uint64_t mix(uint64_t seed)
{
    for (unsigned i = 0; i < ROUND; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
    }
    return seed;
}

NOINLINE static void compute(struct bench *b)
{
    uint64_t seed = 88172645463325252U, last_ns = progress_clock_ns(CLOCK_MONOTONIC);
    while (seed != 0) { /* a xorshift never gets to 0 */
        seed = mix(seed);
        progress_unit(b->page, &last_ns);
    }
}

NOINLINE static void rest(struct bench *b)
{
    for (;;)
        if (b->nap.tv_sec || b->nap.tv_nsec)
            nanosleep(&b->nap, NULL);
        else
            pause();
}

NOINLINE static void descend(struct bench *b, void (*end)(struct bench *b), int depth)
{
    if (depth)
        descend(b, end, depth - 1);
    else
        end(b);
    b->sink++;
}

static void *run_busy(void *arg)
{
    descend(arg, compute, DEPTH);
    return NULL;
}

static void *run_idle(void *arg)
{
    descend(arg, rest, DEPTH);
    return NULL;
}

static bool start_threads(struct bench *b, unsigned long all, unsigned long busy)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
    for (unsigned long i = 1; i < all; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &attr, i <= busy ? run_busy : run_idle, b) != 0)
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct bench b = {.page = argc == 6 ? progress_open(argv[1]) : NULL};
    if (!b.page)
        return 2;
    alarm((unsigned)strtoul(argv[2], NULL, 10));
    unsigned long nap_ms = strtoul(argv[5], NULL, 10);
    b.nap = (struct timespec){.tv_sec = (time_t)(nap_ms / 1000),
                              .tv_nsec = (long)(nap_ms % 1000) * 1000000};
    if (!start_threads(&b, strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10)))
        return 1;
    run_idle(&b);
    return 0;
}

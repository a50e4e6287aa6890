/* SPDX-License-Identifier: MIT */
/* usage: deep_threads [DEPTH]: 8 threads compute 30 calls deep, or so many, until it is killed. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

enum { THREADS = 8, OUTER = 2 }; /* compute(), and the thread's first function */

static int depth = 30 - OUTER;
static volatile uint64_t sink;

__attribute__((noinline)) static uint64_t descend(uint64_t x, int left)
{
    for (int i = 0; left == 0 && i < 1000000; i++)
        x = x * 69069 + 1;
    return left ? descend(x, left - 1) ^ x : x;
}

static void *compute(void *arg)
{
    for (;;)
        sink = descend((uintptr_t)arg, depth);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (argc > 1)
        depth = (int)strtol(argv[1], NULL, 10) - OUTER;
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&thread, NULL, compute, (void *)i))
            return 1;
    for (;;)
        pause();
}

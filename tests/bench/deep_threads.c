/* SPDX-License-Identifier: MIT */
/* usage: deep_threads: 8 threads compute 30 calls deep, until it is killed. */
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

enum { THREADS = 8, DEPTH = 28 }; /* and compute(), and the thread's first function */

static volatile uint64_t sink;

__attribute__((noinline)) static uint64_t descend(uint64_t x, int depth)
{
    for (int i = 0; depth == 0 && i < 1000000; i++)
        x = x * 69069 + 1;
    return depth ? descend(x, depth - 1) ^ x : x;
}

static void *compute(void *arg)
{
    for (;;)
        sink = descend((uintptr_t)arg, DEPTH);
    return NULL;
}

int main(void)
{
    pthread_t thread;
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&thread, NULL, compute, (void *)i))
            return 1;
    for (;;)
        pause();
}

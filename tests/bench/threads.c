/* SPDX-License-Identifier: MIT */
/*
 * Many threads, of which few run: those count their iterations where others can read them, the rest
 * read a pipe that stays empty.
 * usage: threads COUNTER-FILE SECONDS ALL BUSY
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { COUNTER_BYTES = 4096, THREAD_STACK_BYTES = 64 * 1024, ROUND = 20000 };

struct bench {
    uint64_t *counter;
    int empty_pipe[2];
};

static uint64_t *open_counter(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *p = mmap(NULL, COUNTER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return p == MAP_FAILED ? NULL : p;
}

__attribute__((noinline)) static uint64_t mix(uint64_t seed)
{
    for (unsigned i = 0; i < ROUND; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
    }
    return seed;
}

static void *run(void *arg)
{
    struct bench *b = arg;
    uint64_t seed = 88172645463325252U;
    while (seed != 0) { /* a xorshift never gets to 0 */
        seed = mix(seed);
        __atomic_add_fetch(b->counter, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void *sleep_on(void *arg)
{
    struct bench *b = arg;
    char byte;
    return read(b->empty_pipe[0], &byte, 1) > 0 ? arg : NULL;
}

static bool start_threads(struct bench *b, unsigned long all, unsigned long busy)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
    for (unsigned long i = 1; i < all; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &attr, i <= busy ? run : sleep_on, b) != 0)
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct bench b = {.counter = argc == 5 ? open_counter(argv[1]) : NULL};
    if (!b.counter || pipe(b.empty_pipe) != 0)
        return 2;
    alarm((unsigned)strtoul(argv[2], NULL, 10));
    if (!start_threads(&b, strtoul(argv[3], NULL, 10), strtoul(argv[4], NULL, 10)))
        return 1;
    sleep_on(&b);
    return 0;
}

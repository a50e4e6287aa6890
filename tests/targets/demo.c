/* SPDX-License-Identifier: MIT */
/*
 * What `./dev run` profiles. Two threads compute, one waits on a condition, one reads a pipe that
 * stays empty. Of each round of compute() find_primes() takes about two parts, mix() about one.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct demo {
    int64_t end_ns;
    unsigned primes_span, mix_rounds;
    int empty_pipe[2];
    pthread_mutex_t lock;
    pthread_cond_t over; /* with `done`, under the lock */
    bool done;
};

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

__attribute__((noinline)) static bool is_prime(unsigned n)
{
    for (unsigned d = 2; d * d <= n; d++)
        if (n % d == 0)
            return false;
    return n > 1;
}

__attribute__((noinline)) static uint64_t find_primes(unsigned from, unsigned count)
{
    uint64_t found = 0;
    for (unsigned n = from; n < from + count; n++)
        found += is_prime(n);
    return found;
}

__attribute__((noinline)) static uint64_t mix(uint64_t seed, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
    }
    return seed;
}

__attribute__((noinline)) static uint64_t compute(const struct demo *d)
{
    uint64_t x = 88172645463325252U;
    while (now_ns() < d->end_ns) {
        x += find_primes(100000, d->primes_span);
        x = mix(x | 1, d->mix_rounds);
    }
    return x;
}

static void *worker(void *arg)
{
    return (void *)(uintptr_t)compute(arg);
}

static void *wait_for_the_end(void *arg)
{
    struct demo *d = arg;
    pthread_mutex_lock(&d->lock);
    while (!d->done)
        pthread_cond_wait(&d->over, &d->lock);
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

static void *read_pipe(void *arg)
{
    struct demo *d = arg;
    char byte;
    while (read(d->empty_pipe[0], &byte, 1) > 0)
        ;
    return NULL;
}

static void finish(struct demo *d)
{
    pthread_mutex_lock(&d->lock);
    d->done = true;
    pthread_cond_broadcast(&d->over);
    pthread_mutex_unlock(&d->lock);
    close(d->empty_pipe[1]);
}

int main(int argc, char **argv)
{
    struct demo d = {.primes_span = 4000,
                     .mix_rounds = 70000,
                     .lock = PTHREAD_MUTEX_INITIALIZER,
                     .over = PTHREAD_COND_INITIALIZER};
    void *(*const bodies[])(void *) = {worker, wait_for_the_end, read_pipe};
    pthread_t threads[3];
    long seconds = argc > 1 ? strtol(argv[1], NULL, 10) : 4;

    d.end_ns = now_ns() + seconds * 1000000000;
    if (pipe(d.empty_pipe) != 0)
        return 1;
    for (size_t i = 0; i < 3; i++)
        if (pthread_create(&threads[i], NULL, bodies[i], &d) != 0)
            return 1;
    uint64_t sum = compute(&d);
    finish(&d);
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    fprintf(stderr, "demo: done (%016llx)\n", (unsigned long long)sum);
    return 0;
}

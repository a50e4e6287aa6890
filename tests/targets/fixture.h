/* SPDX-License-Identifier: MIT */
#ifndef TARGETS_FIXTURE_H
#define TARGETS_FIXTURE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

/*
 * What every target does alike. A target prints "ready" when it does what it is there for, works
 * until it is sent SIGTERM, prints its counters as key=value lines, and exits 0. SIGTERM stays
 * blocked in all threads and is looked for: it never disturbs a system call.
 */

#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif

static inline void fixture_block(int sig)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Before any thread is made. The target dies with its parent, and after two minutes at the latest.
 */
static inline void fixture_begin(void)
{
    fixture_block(SIGTERM);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    /* Yama's scope 1 lets only ancestors trace, and oxprof is a sibling; EINVAL without Yama. */
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    alarm(120);
}

static inline void fixture_ready(void)
{
    if (write(STDOUT_FILENO, "ready\n", 6) != 6)
        _exit(1);
}

static inline bool fixture_asked(int sig)
{
    sigset_t set;
    sigpending(&set);
    return sigismember(&set, sig) == 1;
}

static inline bool fixture_stop_asked(void)
{
    return fixture_asked(SIGTERM);
}

static inline uint64_t fixture_clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static inline uint64_t fixture_now_ns(void)
{
    return fixture_clock_ns(CLOCK_MONOTONIC);
}

/* The kernel of all computing: n steps, each of which needs the one before. */
__attribute__((always_inline)) static inline uint64_t fixture_steps(uint64_t x, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    return x;
}

/* Computes for so long by the wall clock, in the caller's own frame. Returns what it computed. */
__attribute__((always_inline)) static inline uint64_t fixture_burn(uint64_t x, uint64_t ns)
{
    uint64_t end = fixture_now_ns() + ns;
    while (fixture_now_ns() < end)
        x = fixture_steps(x, 5000);
    return x;
}

static inline long fixture_arg(int argc, char **argv, int i, long otherwise)
{
    return argc > i ? strtol(argv[i], NULL, 10) : otherwise;
}

static inline void fixture_die(const char *what)
{
    perror(what);
    _exit(1);
}

#endif

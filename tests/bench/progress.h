/* SPDX-License-Identifier: MIT */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>

/*
 * What a target of the bench has done, in a page of a file that the bench reads while it runs
 * (targets.py, class Progress, has the same layout). All threads of the target may write it.
 */
enum { PROGRESS_BYTES = 4096, PROGRESS_FUNCTIONS = 8 };

struct progress {
    uint64_t work;       /* units done; what a unit is the target knows */
    uint64_t longest_ns; /* longest gap between two units of one thread, or answer to a request;
                            the bench writes 0 to begin anew */
    struct {
        uint64_t wall_ns, cpu_ns; /* spent in the target's n-th known function, turns that ended */
    } functions[PROGRESS_FUNCTIONS];
    uint64_t current, since_ns; /* the function, from 1, whose turn it is, since; 0 none */
};

/* NULL where it can't be mapped. */
static inline struct progress *progress_open(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *p = mmap(0, PROGRESS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return p == MAP_FAILED ? 0 : (struct progress *)p;
}

static inline uint64_t progress_clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void progress_gap(struct progress *p, uint64_t ns)
{
    uint64_t longest = __atomic_load_n(&p->longest_ns, __ATOMIC_RELAXED);
    while (ns > longest && !__atomic_compare_exchange_n(&p->longest_ns, &longest, ns, 1,
                                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

/* One more unit, done now; *last_ns is when this thread's last one was. */
static inline void progress_unit(struct progress *p, uint64_t *last_ns)
{
    uint64_t now = progress_clock_ns(CLOCK_MONOTONIC);
    progress_gap(p, now - *last_ns);
    *last_ns = now;
    __atomic_add_fetch(&p->work, 1, __ATOMIC_RELAXED);
}

#endif

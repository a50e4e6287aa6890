/* SPDX-License-Identifier: MIT */
#ifndef TARGETS_HOSTILE_CODE_H
#define TARGETS_HOSTILE_CODE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* A thread that computes and sleeps in turn, in code or on a stack of hostile making. */
struct hostile_work {
    struct timespec nap;
    _Atomic uint64_t rounds;
    _Atomic uint64_t slept_badly; /* waits with another result than 0 */
    _Atomic int stop;
};

/* Works with the stack pointer at sp until told to stop. Nothing is ever put on that stack. */
void hostile_work_at(struct hostile_work *w, uint64_t sp);

/*
 * Maps the code segment of this program out of another file, a damaged copy of this program's own.
 * What is returned works there, some calls deep, until told to stop; NULL where it can't be mapped.
 * The code needs nothing of its file but itself: only a profiler reads the rest.
 */
typedef void hostile_worker(struct hostile_work *w);
hostile_worker *hostile_code_map(int fd);

/* Code for a page made at run time: a hostile_worker in bytes that may lie anywhere. Its length; 0
 * where there is no room. */
size_t hostile_code_copy(uint8_t *dst, size_t bytes);

#endif

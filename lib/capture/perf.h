/* SPDX-License-Identifier: MIT */
#ifndef CAPTURE_PERF_H
#define CAPTURE_PERF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "capture/perf_records.h"

/*
 * Running threads sampled by the kernel (perf_event_open(2)): each time that a thread has run for
 * an interval, the timer interrupt of its CPU notes its registers and a piece of its stack in a
 * ring of ours; where it is in the kernel, and we may look there, also the kernel's call chain.
 * Nothing is stopped; the thread pays for the copy, 5 us or so.
 *
 * One event and one ring for each thread, opened when it is found to have run. Rings that all
 * threads of a CPU share would need an event for each thread and CPU: 4,000 descriptors for 2,000
 * threads on two CPUs, where nearly all of them sleep.
 */
enum {
    PERF_DUMP_FIRST_BYTES = 16 << 10, /* 8 KiB cut 6 of 1,123 samples of a PostgreSQL backend */
    PERF_ELSE_BYTES = 512 + 8 * SNAPSHOT_KERNEL_MAX, /* of a record, beside the stack */
    PERF_DUMP_MAX_BYTES = 65528 - PERF_ELSE_BYTES,   /* a record has 65,535 bytes at most */
};

struct perf_ring {
    int fd;
    void *pages; /* mapped; the first is the kernel's struct perf_event_mmap_page */
    size_t data_bytes;
    size_t dump_bytes; /* of the stack, in each sample */
    uint64_t interval_ns;
    uint64_t due_ns; /* at most so much running time until the next sample */
    bool in_kernel;  /* samples are taken there too; else only in user code */
    bool steady;     /* the first sample has come */
};

/* Whether the system lets us sample ourselves, and that in the kernel, too (ret_in_kernel may be
 * NULL). 0, or a negative errno with the cause and its cure. */
int perf_probe(bool *ret_in_kernel, struct error *err);

/*
 * Begins to sample a thread, the first time when it has run for first_ns: a random part of the
 * interval, so that threads that end sooner than that are met as often as they should be. It is
 * sampled every interval once perf_next() has seen that sample. ring_bytes: a power of two, at
 * least a page. Negative errno: -EACCES not allowed for this thread, -EPERM over the limit of
 * locked memory (or forbidden), -EMFILE, -ESRCH, -ENOMEM, ...
 */
int perf_open(struct perf_ring *r, pid_t tid, uint64_t interval_ns, uint64_t first_ns,
              size_t dump_bytes, size_t ring_bytes);
void perf_close(struct perf_ring *r);

/* From the next sample on. */
void perf_set_interval(struct perf_ring *r, uint64_t interval_ns);

/* Nothing is sampled until it is held no more. Harmless where that is so already. */
void perf_hold(struct perf_ring *r, bool held);

/* There is no room for another sample. */
bool perf_is_full(const struct perf_ring *r);

/* The next record; as perf_records_next(), whose buf it is. The ring's room is free again. */
enum perf_kind perf_next(struct perf_ring *r, uint8_t *buf, struct perf_record *ret);

#endif

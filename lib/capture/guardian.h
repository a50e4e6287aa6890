/* SPDX-License-Identifier: MIT */
#ifndef CAPTURE_GUARDIAN_H
#define CAPTURE_GUARDIAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A process beside the sampler that keeps the target from being held: where a stop has lasted 100
 * ms and /proc shows the sampler itself stopped, it continues the sampler (SIGCONT), which ends the
 * stop and then stops itself again; where that does not help within another 100 ms, or the sampler
 * hangs in the kernel or makes no progress for a second, it kills the sampler, which frees the
 * target, and says so. It also says what was lost when the sampler dies without having said
 * goodbye.
 */
struct guardian_page {
    _Atomic uint64_t open_since_ns; /* a thread may be stopped by us since; 0: none */
    _Atomic uint64_t heartbeat;     /* counts while the sampler makes progress */
    _Atomic uint64_t samples;       /* not yet reported */
    _Atomic bool stop_again;        /* the guardian continued a stopped sampler */
    _Atomic bool killed;            /* the guardian killed the sampler, and has said so */
    _Atomic bool goodbye;           /* the sampler leaves as it should */
};

struct guardian {
    pid_t pid;                  /* the guardian process; our child */
    struct guardian_page *page; /* shared with it */
};

/* To be called before any stop, while the process is small and has one thread. */
int guardian_start(struct guardian *g);

/* Tells it that all is well, and reaps it. */
void guardian_end(struct guardian *g);

/* While the guardian has us continued: stops ourselves again once no stop is left, but not if the
 * user has continued us too. */
void guardian_honour(struct guardian *g, bool stops_ended);

#endif

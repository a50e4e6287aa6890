/* SPDX-License-Identifier: MIT */
#ifndef SAMPLING_H
#define SAMPLING_H

#include "capture/stopper.h"
#include "living.h"

/*
 * Snapshots of living processes in great number, taken as the session takes them: sleepers by /proc
 * with two registers, running threads by a short stop. Each is handed over with the target already
 * running again. A sleeper that has not run since its last snapshot is not taken again.
 */
struct sampled {
    struct living living;
    struct threads threads;
};

struct sampling {
    struct guardian guardian;
    struct stopper stopper;
    struct fd_budget fds;
    struct sampled *processes; /* owned */
    size_t n;
    uint8_t *buf; /* owned; of a sleeper's stack */
    uint64_t tick, random;
    struct snapshot *queue; /* owned, with their stacks: to be handed over */
    struct sampled **queue_of;
    size_t n_queue, cap_queue, cap_queue_of;
};

/* Before anything else is started: forks the guardian. */
int sampling_init(struct sampling *s);
int sampling_add(struct sampling *s, pid_t pid, struct error *err);
void sampling_release(struct sampling *s);

/* One look at every thread. take() may be called for each; `teach` to be set where all registers of
 * this sleeper are wanted: it is stopped then. False once no process lives. */
bool sampling_tick(struct sampling *s,
                   void (*take)(void *arg, struct sampled *p, const struct snapshot *snap,
                                bool *teach),
                   void *arg);

#endif

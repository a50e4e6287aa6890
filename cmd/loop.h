/* SPDX-License-Identifier: MIT */
#ifndef CMD_LOOP_H
#define CMD_LOOP_H

#include <signal.h>
#include <stdint.h>

/*
 * Signals as events. Everything is blocked from the start and taken one at a time, so that none
 * arrives while a thread of the target stands still.
 */
struct loop {
    sigset_t inherited; /* the mask we were started with: for a launched command */
    sigset_t awaited;
};

/* Signals that we were started to ignore (nohup, background jobs of scripts) are left alone. */
void loop_begin(struct loop *l);

/* The next signal, or 0 once it is until_ns (CLOCK_MONOTONIC). */
int loop_wait(const struct loop *l, uint64_t until_ns);

/* From now on signals have their ordinary effect again; an interrupt exits at once. */
void loop_end(const struct loop *l);

#endif

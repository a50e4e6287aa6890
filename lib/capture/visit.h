/* SPDX-License-Identifier: MIT */
#ifndef CAPTURE_VISIT_H
#define CAPTURE_VISIT_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Where the sampler runs. To interrupt a thread it visits that thread's CPU and naps there, so that
 * what wakes it is that CPU's own timer, at a random point of what the thread does.
 *
 * A thread that is released while we have its CPU would be woken on an idle one instead, which is
 * cold: a program that computes lost 4 to 20 % by that at 100 Hz (Linux 6.18 on a virtual machine).
 * So, before it is released, either
 * - we step aside: take the policy SCHED_IDLE. To the kernel our CPU then counts as idle
 *   (sched_idle_cpu() in kernel/sched/fair.c, since Linux 5.4), and the thread is woken there.
 *   Beside one that computes we could not come back by ourselves: the usher, a thread of ours,
 *   brings us to another CPU. This needs the right to return from SCHED_IDLE (CAP_SYS_NICE, or
 *   RLIMIT_NICE: sched(7)). Not earlier: where others wait for the CPU too, we would lose it to
 *   them while the thread stands still.
 * - or, where that is not allowed, we leave its CPU as soon as it is interrupted (but if all CPUs
 *   are busy). The pause is longer then, by the way of two messages between CPUs.
 */
struct visit {
    cpu_set_t cpus; /* that we may run on */
    int cpu;        /* the one we visit; -1 none */
    uint64_t tick;  /* of the visit */
    int nice;       /* ours, before it was raised */
    uint64_t random;
    long cpus_online;
    int loadavg_fd;      /* of /proc/loadavg; -1 where there is none */
    bool crowded;        /* all CPUs are busy: no use in going to another */
    bool aside;          /* until the usher has brought us back */
    struct usher *usher; /* owned; NULL where it could not bring us back */
};

/* Raises our own priority where that is allowed, so that a stop is short on a busy machine too. */
void visit_init(struct visit *v);
void visit_release(struct visit *v);

/* Our priority is as it was before visit_init(). */
void visit_calm(struct visit *v);

/* To that CPU, and a nap there. False: we may not run there. */
bool visit_go(struct visit *v, int cpu, uint64_t tick);

/* All threads here are interrupted. */
void visit_make_room(struct visit *v);

/* Call immediately before the last thread here is released. */
void visit_step_aside(struct visit *v);

/* From another process: wherever the sampler waits for a CPU, as whoever, it may run on all of ours
 * again, with the raised priority. Does what is permitted. */
void visit_rescue(pid_t sampler);

/* The visit is over; we may run on any CPU again, and do not hold a visited one up. */
void visit_end(struct visit *v);

#endif

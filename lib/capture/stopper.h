/* SPDX-License-Identifier: MIT */
#ifndef CAPTURE_STOPPER_H
#define CAPTURE_STOPPER_H

#include "capture/guardian.h"
#include "capture/stop_histogram.h"
#include "capture/visit.h"
#include "capture/watch.h"
#include "target/snapshot.h"

/*
 * The short stop of running threads: seize, interrupt, and when the stop comes: repair, copy,
 * detach. Nothing else happens while a thread stands still: no allocation, no file, no message.
 *
 * The thread is interrupted from its own CPU, where a timer of ours has just taken the CPU from it
 * at a random point, and it stops before it executes anything more. Interrupted from another CPU it
 * would run on until that CPU's message arrives, or until its next system call ends, where the
 * kernel looks without a message: of a program that makes a system call every 10 us and spends 1 %
 * of its time there, 45 % of the stops would fall on the call (Linux 6.18 on a virtual machine;
 * from its own CPU 1 %, and the pause is 29 instead of 60 us).
 *
 * Stops come when they come. A thread that waits for a CPU stops before it executes anything
 * more, so what its stop shows is what it was at when it was interrupted, however much later.
 * SIGCHLD (blocked, waited for by the caller) says when to call stopper_collect(). All of this
 * must happen on one thread: the kernel's tracer is a thread.
 */
enum { STOPPER_MAX = 256 }; /* stops under way at a time */

enum stop_result {
    STOP_TAKEN,     /* the snapshot is filled */
    STOP_GONE,      /* the thread ended, or was killed, first */
    STOP_UNREADABLE /* its registers can't be read, or are not those of a 64-bit program */
};

struct stop {
    struct watch *watch; /* borrowed; must live until the stop is reported */
    uint64_t tick;       /* at which it was interrupted; the caller's */
    uint64_t interrupted_ns;
    bool visited; /* interrupted from its own CPU, so that it did not run at that moment */
    enum stop_result result;
    struct snapshot snapshot;
    uint8_t *buf; /* owned; SNAPSHOT_BUF_BYTES, pages used only as needed */
};

struct stopper {
    struct guardian *guardian; /* borrowed */
    struct stop stops[STOPPER_MAX];
    size_t n;       /* the first n are under way */
    size_t n_ended; /* the last n_ended have ended, and wait to be handed over */
    uint64_t count, ns_sum, ns_max;
    struct stop_histogram histogram;
    uint64_t repaired, disturbed;
    struct visit visit;
    bool interrupting; /* more are to be interrupted in this tick: until stopper_await() */
    pid_t child;       /* a launched command: our own child, 0 if none */
    int child_status;  /* of waitpid(2), once child_ended */
    bool child_ended;
    pid_t namer; /* another child of ours, told of in the same way; the caller's to reset */
    int namer_status;
    bool namer_ended;
};

/* Starts no thread of ours but the one that visits need. */
void stopper_init(struct stopper *s, struct guardian *g);

/* To be called when all threads of a tick have been interrupted. */
void stopper_await(struct stopper *s);

/* Sampling has ended: our priority is as it was. Late stops are still to be collected. */
void stopper_calm(struct stopper *s);

/* Every thread must have been collected; those that have not are freed by our exit. */
void stopper_release(struct stopper *s);

/*
 * Interrupts the thread. 0, or -ESRCH gone, -EPERM traced by another, -EACCES refused, -EBUSY it is
 * in a state that must not be interrupted (D), or about to exec, -EALREADY it has fallen asleep
 * meanwhile (and is not to be taught from: watch.teach), -EAGAIN too many stops under way.
 */
int stopper_start(struct stopper *s, struct watch *w, uint64_t tick);

/*
 * The least run counter (schedstat) with which the thread may have been released from that stop, if
 * `looked` was read before it was interrupted; 0: can't be said. While its counter is no greater
 * than that, the thread has not executed anything since the stop: it was not on a CPU when it was
 * interrupted, so it was switched in once to stop, and would have to be once more to go on.
 */
uint64_t stopper_release_run(const struct stop *stop, const struct proc_run *looked);

/*
 * Ends every stop that has come, and reaps what has ended. Calls done() for each, with the target
 * already running again; the snapshot holds until done() returns.
 */
void stopper_collect(struct stopper *s, void (*done)(void *arg, const struct stop *stop),
                     void *arg);

/* Gives up the stops of threads that have ended without a notice to us (an exec by another thread,
 * whose number is then the process's; a leader that waits for its threads), 0.2 seconds after they
 * began: as STOP_GONE. */
void stopper_expire(struct stopper *s, void (*done)(void *arg, const struct stop *stop), void *arg);

#endif

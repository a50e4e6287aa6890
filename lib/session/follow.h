/* SPDX-License-Identifier: MIT */
#ifndef SESSION_FOLLOW_H
#define SESSION_FOLLOW_H

#include <stdint.h>

struct session;
struct target;
struct thread;
struct watch;

/* Follows threads and processes as they come, rename themselves, exec and end. */
enum { THREAD_LABEL_BYTES = 130 };

/* The process that it is a thread of; borrowed. */
struct target *follow_target_of(struct session *s, const struct watch *w);

/* th->watch from now on, unless the thread is not wanted, or has ended already. */
void follow_begin(struct session *s, struct target *t, struct thread *th);
/* Frees w, unless a stop of it is under way: to be asked for again when that is done. Its account
 * must be settled. */
void follow_end(struct session *s, struct watch *w);

/* `owed`: the last tick that they were there for. Of those marked as gone; of all, and of their
 * process, which is closed once no stop of it is under way. */
void follow_end_gone(struct session *s, struct target *t, uint64_t owed);
void ticks_end_target(struct session *s, struct target *t, uint64_t owed);

/* Has it called exec, are its mappings and its threads' names still those? Not at each tick: `now`
 * (CLOCK_MONOTONIC, ns) says when. */
void follow_program(struct session *s, struct target *t, uint64_t now);

/* "python3: worker 1": the system's name, and Python's. */
void ticks_label(const struct thread *th, char label[THREAD_LABEL_BYTES]);
/* Of all targets, before a report. */
void ticks_renew_names(struct session *s);

#endif

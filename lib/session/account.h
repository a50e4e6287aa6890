/* SPDX-License-Identifier: MIT */
#ifndef SESSION_ACCOUNT_H
#define SESSION_ACCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "profile/profile.h"

struct session;
struct watch;

/*
 * The account of a thread's ticks. Every tick of every thread ends up in exactly one place: a hit
 * of some tally, or a loss with its reason. watch->tick is the last one that has.
 */

/* These leave watch->tick as it is: */
void account_lose(struct session *s, enum loss why, uint64_t ticks);
/*
 * The ticks between the last look and this one, at which nobody looked: `gap` of them, which must
 * be the oldest that are open; `missed` at most of those were lost to lateness. ran_ns: how long
 * the thread ran meanwhile; same_place: it slept before and after, with w->tally both times.
 */
void account_gap(struct session *s, struct watch *w, uint64_t gap, uint64_t ran_ns, bool same_place,
                 uint64_t missed);
/* Of hits of w->tally: counts what is wrong with them. */
void ticks_note_quality(struct session *s, const struct watch *w, uint64_t hits);

/* Hits of w->tally, the newest in this tick: nothing is open then. */
void account_hit(struct session *s, struct watch *w, uint64_t hits);
/* The thread has ended; `owed`: the last tick that it was there for. */
void account_end(struct session *s, struct watch *w, uint64_t owed);

/* How the walk under way has ended: what is said of the hits of w->tally from now on. */
void account_note_walk(const struct session *s, struct watch *w);

#endif

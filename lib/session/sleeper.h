/* SPDX-License-Identifier: MIT */
#ifndef SESSION_SLEEPER_H
#define SESSION_SLEEPER_H

#include <stdbool.h>
#include <stdint.h>

struct session;
struct snapshot;
struct target;
struct watch;

/*
 * The stack of a thread that sleeps. It waits for us: what a walk was in want of, another copy
 * holds, and the walk is done again.
 */

/* As asleep_capture(), with its errors; s->stack says how the stack's walk ended. */
int ticks_capture_asleep(struct session *s, struct target *t, struct watch *w, uint32_t *ret_tally,
                         struct snapshot *ret_snap);

/* What the walk under way was in want of, the next copy holds. False: no more than `last` did. */
bool sleeper_learn_copy(const struct session *s, struct watch *w, const struct snapshot *last);

/* What a capture has shown counts for all ticks that are open: `gap` of them, the oldest, as
 * account_gap() shares them out. It is looked at again in the next tick. */
void sleeper_found(struct session *s, struct watch *w, uint32_t tally, const struct snapshot *snap,
                   uint64_t gap, uint64_t ran_ns, uint64_t missed);

#endif

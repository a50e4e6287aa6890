/* SPDX-License-Identifier: MIT */
#ifndef SESSION_LOOK_H
#define SESSION_LOOK_H

#include <stdint.h>

struct session;
struct target;
struct watch;

/*
 * A look at one thread, in a tick: has it run since the last one, does it sleep, and where? Idle
 * threads are looked at ever more rarely, as far as their number needs it.
 */

/* Settles its open ticks, or asks for a stop, or for the kernel's samples, that will; `missed`: how
 * many ticks before this one came too late to be made. May end the watch. */
void look_at(struct session *s, struct target *t, struct watch *w, uint64_t missed);

/* Of one that has not run: w->next_look, by w->idle_ticks. */
void ticks_plan_next_look(struct session *s, struct watch *w);

#endif

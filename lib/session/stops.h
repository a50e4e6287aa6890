/* SPDX-License-Identifier: MIT */
#ifndef SESSION_STOPS_H
#define SESSION_STOPS_H

#include <stdbool.h>

struct session;
struct snapshot;
struct stop;
struct target;
struct watch;

/*
 * Whom a tick stops, and what comes of it. Stops are asked for while the threads are looked at,
 * made when all have been, and done whenever they come (capture/stopper.h), in this tick or a later
 * one. The ticks of a thread that was asked for stay open until its stop is done.
 */

/* A stop is under way: what may take long waits for a later tick. One that does not come (its
 * thread hangs in the kernel) does not stand still either: after 50 ms it counts no more. */
bool ticks_stop_open(const struct session *s);

/* Whether threads of this process may be stopped at all. */
bool stops_allowed(const struct session *s, const struct target *t);
/* Whether this sleeper's stack, just walked, shows that a stop would teach the unwinder what it
 * lacks. */
bool ticks_may_be_taught(const struct session *s, const struct target *t,
                         const struct snapshot *snap);

/* To be stopped at the end of this tick. */
void ticks_ask_stop(struct session *s, struct watch *w);
/* Stops all those; one that has ended, or can't be stopped, loses its open ticks. */
void stops_make(struct session *s);
/* Those that were to be stopped in this tick, but had fallen asleep. */
void ticks_capture_sleepers(struct session *s);
/* For stopper_collect(): what the stop has shown counts for the ticks that are open. */
void ticks_stop_done(void *session, const struct stop *stop);

#endif

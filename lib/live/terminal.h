/* SPDX-License-Identifier: MIT */
#ifndef LIVE_TERMINAL_H
#define LIVE_TERMINAL_H

#include "live/feed.h"

/*
 * The terminal view: a thread of its own that draws from its own copy of the counts, and never
 * keeps the sampler waiting, however slow the terminal. To be begun before the session, as web.h.
 */
struct terminal;

/* On the controlling terminal that standard input and output are. feed is borrowed. */
int terminal_start(struct terminal **ret, struct feed *feed, bool color, struct error *err);
/* The user wants to end, or the terminal is gone. */
bool terminal_ended(const struct terminal *t);
/* The user wants us stopped (Ctrl-Z): the terminal is as it was before; stop, then say so. */
bool terminal_wants_stop(const struct terminal *t);
void terminal_go_on(struct terminal *t);
/* The terminal is as it was before. */
void terminal_end(struct terminal *t);

/* Of a kind that the terminal database has (TERM): others end the program that asks for one. */
bool terminal_is_known(void);

/* From another process, after the one that drew has died: modes were read before it began. */
struct terminal_modes;
struct terminal_modes *terminal_remember(void);
void terminal_restore(struct terminal_modes *m); /* frees it */
void terminal_forget(struct terminal_modes *m);

#endif

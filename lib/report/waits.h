/* SPDX-License-Identifier: MIT */
#ifndef REPORT_WAITS_H
#define REPORT_WAITS_H

#include "report/table.h"

/*
 * What the waiting samples waited for: a table of its own, over the waits of their leaves. A leaf's
 * wait is "REASON" or "REASON: THING"; reasons hold no ": ".
 *
 * Rows as in a block of functions: `function` is the wait (a string of the profile; 0: not known),
 * self and total the hits, id the number of threads. By hits, then by the text. Example: the
 * threads 1 and 2 have 3 hits each in [read: /a], 1 has 2 more in epoll_wait: "read: /a" 6 hits,
 * 2 threads; "epoll_wait" 2 hits, 1 thread.
 * thread: index of a profile_thread, or UINT32_MAX for all.
 */
void waits_table(const struct profile *p, const struct report_options *opt, uint32_t thread,
                 struct report_table *ret_table);

/* The parts of a row, escaped, with `extra` as escape_text() has it; owned by the caller. thing is
 * "" where it has none. A wait that is not known has the reason "unknown". */
void waits_parts(const struct profile *p, const struct report_row *row, const char *extra,
                 char **ret_reason, char **ret_thing);

#endif

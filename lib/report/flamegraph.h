/* SPDX-License-Identifier: MIT */
#ifndef REPORT_FLAMEGRAPH_H
#define REPORT_FLAMEGRAPH_H

#include <stdio.h>

#include "report/report.h"

/*
 * The flame graph is a page, a style sheet, a script and data. report_flamegraph() writes all into
 * one file; a server hands them out apart, so that its policy can be `script-src 'self'`.
 */

/* The viewer's style sheet and script. Static, NUL-terminated UTF-8. */
const char *flamegraph_style(void);
const char *flamegraph_script(void);

/*
 * The page. Bytewise: `head` stands at the end of its <head>, `scripts` at the end of its <body>;
 * both are HTML, and where they come from the target, escaped by the caller. Does not flush.
 */
void flamegraph_page(const char *head, void (*scripts)(void *user, FILE *out), void *user,
                     FILE *out);

/*
 * The data, one JSON document of ASCII and UTF-8 without `<`, `>` and `&`, so that it can stand in
 * a <script> element:
 *
 *   schema      "oxprof.stacks/1"
 *   version     of oxprof
 *   title, mode, interval_ns, duration_ns, cpu_only, and the figures of report/head.h with "lost"
 *               and "cost", as in the schema oxprof.report/1
 *   kinds       names of enum frame_kind
 *   strings     all others are numbers of these
 *   functions   [[name, place, kind, module, file, line], ...]: the text report's rows; by name
 *   threads     [[pid, tid, name, process's name], ...] that have samples; the busiest first
 *   nodes       [function, depth, function, depth, ...]: the stacks as one tree in preorder,
 *               depth 1 below the root, siblings in the order of their functions. The first of them
 *               is node 1.
 *   counts      [node, thread * 2 + state, hits, ...]: node as the distance from the one before
 *               (the first: from 0), state as in enum profile_state
 *
 * Deterministic: the same stacks and counts give the same bytes, in whatever order they came.
 * Does not flush.
 */
void flamegraph_data(const struct profile *p, const struct report_options *opt, FILE *out);

/*
 * The same of two profiles: "sides" holds two objects with what the head has of one, and the hits
 * of tid 1 are those before, of tid 2 those after.
 */
void flamegraph_diff_data(const struct profile *before, const struct profile *after,
                          const struct report_options *opt, FILE *out);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef REPORT_TABLE_H
#define REPORT_TABLE_H

#include "report/report.h"

/*
 * What the writers share. A tabulation merges the profile's frames into functions and groups its
 * tallies by thread once; every table is then linear in the stacks that it counts.
 */
struct tab_function {
    struct report_row row;
    uint64_t seen; /* the stack that last counted here: recursion counts once */
};

struct tab_thread {
    uint32_t thread; /* index in the profile */
    uint64_t hits[PROFILE_STATES];
};

struct tabulation {
    const struct profile *p;
    const struct report_options *opt;
    struct tab_function *functions; /* owned, as are the arrays below */
    size_t n_functions;
    uint32_t *function_of;      /* by line */
    uint32_t *touched;          /* functions that the table at work has met */
    uint32_t *by_thread;        /* indices of the tallies that have hits, grouped */
    size_t *group;              /* thread t has by_thread[group[t]] up to group[t + 1] */
    struct tab_thread *threads; /* those with hits: by hits on CPU, all hits, tid */
    size_t n_threads;
    uint64_t stacks, stacks_before; /* counted so far, and before the table at work */
};

/* p and opt are borrowed and must not change meanwhile. */
void tabulation_init(struct tabulation *t, const struct profile *p,
                     const struct report_options *opt);
void tabulation_release(struct tabulation *t);

/* As report_table_make(). */
void tabulation_table(struct tabulation *t, enum profile_state state, uint32_t thread,
                      struct report_table *ret_table);

/* The functions in the order of their names, which is the same however the profile came about.
 * Owned by the caller. */
uint32_t *tabulation_by_name(const struct tabulation *t);

/* The lines of a frame that the options show: places in p->lines, the innermost first. */
struct shown_lines {
    uint32_t first, end;
};
struct shown_lines report_lines(const struct profile *p, const struct report_options *opt,
                                uint32_t frame);

/* The row that a frame's line belongs to, with nothing counted. */
struct report_row report_row_of(const struct profile *p, const struct report_options *opt,
                                const struct profile_frame *f, uint32_t line);

/* By function, module, file, line, address, kind: 0 for the same row only. Bytewise, as strcmp().
 */
int report_compare_names(const struct profile *p, const struct report_row *a,
                         const struct report_row *b);

/* Rows that a limit of the options leaves out. */
struct omitted {
    size_t functions;
    uint64_t self;
    bool by_top, by_percent, by_screen;
};

/* Drops rows below min_percent, then those past the top. */
struct omitted report_table_limit(struct report_table *table, const struct report_options *opt);

/* Owned by the caller. "[unknown]" for a function without a name. */
char *report_escaped(const struct profile *p, uint32_t string, const char *extra);
char *report_function(const struct profile *p, uint32_t function, const char *extra);

/* "app", "/srv/app.py:22", "app.c:7, app+0x3f1a": what stands in brackets behind a function. Owned
 * by the caller; "" where nothing is known. */
char *report_place(const struct profile *p, const struct report_options *opt,
                   const struct report_row *row);

/* What a writer of stacks calls the function of a row: its name, with its place where the options
 * ask for lines or addresses. Owned by the caller; escaped. */
char *report_function_label(const struct profile *p, const struct report_options *opt,
                            const struct report_row *row);

/* Flushes; -EIO where the stream has failed. */
int report_finish(FILE *out);

#endif

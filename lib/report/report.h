/* SPDX-License-Identifier: MIT */
#ifndef REPORT_REPORT_H
#define REPORT_REPORT_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "profile/profile.h"

enum report_sort { SORT_SELF, SORT_TOTAL, SORT_NAME };

struct report_options {
    enum report_sort sort;
    size_t top;                    /* functions per block; 0: all */
    double min_percent;            /* of the block's samples, by TOTAL; 0: all */
    bool threads;                  /* blocks (text) and rows (tsv) per thread */
    bool lines;                    /* functions apart by the line that was running */
    bool addresses;                /* and by the address */
    bool no_inlines;               /* inlined functions count as the one that they are part of */
    const regex_t *focus, *ignore; /* borrowed; NULL: none. See report_view_init(). */
    bool full_paths;
    bool ci;    /* the 95 % interval of each share */
    bool waits; /* text, tsv, json: what the waiting samples waited for, see waits.h */
    bool color;
    size_t width;        /* columns to cut lines to; 0: never cut */
    size_t height;       /* lines a screenful has; 0: everything. Only with width. */
    const char *version; /* of the program, for the head; never NULL */
};

/*
 * The profile with only those stacks that have the focus, and nothing to ignore, in the name,
 * module or source file of any function. Shares all but the tallies with p, which must outlive it,
 * and must not be changed meanwhile.
 */
void report_view_init(struct profile *ret_view, const struct profile *p,
                      const struct report_options *opt);
void report_view_release(struct profile *view);

/* One row: a function in one state, and in one thread where rows are per thread. */
struct report_row {
    uint32_t function, file; /* strings of the profile */
    uint32_t module;         /* the same: its name, or its path */
    uint32_t line;           /* where the function begins; with opt->lines, the one that ran */
    uint64_t address;        /* with opt->addresses, in the module */
    enum frame_kind kind;
    uint32_t id; /* of the function, in the tabulation that made it */
    uint64_t self, total;
};

struct report_table {
    struct report_row *rows; /* owned; sorted */
    size_t n;
    uint64_t samples; /* of the block */
};

/*
 * thread: index of a profile_thread, or UINT32_MAX for all. Rows are merged by kind, function and
 * module; those without a module, such as Python's, by kind, function, file and line. Where merged
 * frames differ in their file or line, the row has none.
 * Recursion counts once: a stack main > f > f with 3 hits gives f SELF 3, TOTAL 3. So do inlined
 * functions: where main has f inlined, the same hits give f SELF 3 TOTAL 3, main SELF 0 TOTAL 3.
 */
void report_table_make(const struct profile *p, const struct report_options *opt,
                       enum profile_state state, uint32_t thread, struct report_table *ret_table);
void report_table_release(struct report_table *t);

/*
 * Writers: 0, or -EIO where the stream has failed (errno says why). They flush.
 * folded writes plain stacks: both states of a stack in one line, Python frames as
 * "name (file:line)", all others as the function alone (with opt->lines or opt->addresses as in the
 * text). Where the samples are of several processes
 * each stack begins with "name (pid N)".
 */
int report_text(const struct profile *p, const struct report_options *opt, FILE *out);
int report_tsv(const struct profile *p, const struct report_options *opt, FILE *out);
int report_folded(const struct profile *p, const struct report_options *opt, FILE *out);
int report_flamegraph(const struct profile *p, const struct report_options *opt, FILE *out);
/* The saved profile: everything, whatever the options leave out of what is printed. */
int report_pprof(const struct profile *p, const struct report_options *opt, FILE *out);

/* Schema "oxprof.report/1": the head's figures, and under "functions" the rows of the tsv. */
int report_json(const struct profile *p, const struct report_options *opt, FILE *out);
/* For KCachegrind, callgrind_annotate. */
int report_callgrind(const struct profile *p, const struct report_options *opt, FILE *out);
/* As `perf script` prints it: an event for each sample, so it is by far the largest. -EFBIG, and
 * nothing written, where there are more than REPORT_PERF_EVENTS_MAX. */
enum { REPORT_PERF_EVENTS_MAX = 100 * 1000 * 1000 };
int report_perf(const struct profile *p, const struct report_options *opt, FILE *out);
/* For speedscope.app: a profile for each thread; in time where the profile is timed. */
int report_speedscope(const struct profile *p, const struct report_options *opt, FILE *out);
/* For profiler.firefox.com. -ENODATA where the profile is not timed. */
int report_firefox(const struct profile *p, const struct report_options *opt, FILE *out);

/* By name: the formats that this build writes. NULL where there is none of this name. */
typedef int report_writer(const struct profile *p, const struct report_options *opt, FILE *out);
report_writer *report_find(const char *format);
/* Their names, as many as there are; then NULL. */
const char *report_format_name(size_t i);
/* Whether it has rows: what sorts and limits them does nothing to others. */
bool report_has_table(const char *format);
/* The format that a file's suffix stands for; NULL where it tells none. */
const char *report_format_of(const char *path);

/*
 * What two profiles differ in, state by state: functions whose share of the samples has changed by
 * more than chance would do to any of them (see report/interval.h). By SELF, or with SORT_TOTAL by
 * TOTAL.
 */
int report_diff(const struct profile *before, const struct profile *after,
                const struct report_options *opt, FILE *out);
/* Stacks with both counts, as difffolded.pl writes them for flamegraph.pl. */
int report_diff_folded(const struct profile *before, const struct profile *after,
                       const struct report_options *opt, FILE *out);

/* The flame graph of both: a block is as wide as the mean of its shares, and coloured where they
 * differ by more than chance would do to any of the blocks. */
int report_diff_flamegraph(const struct profile *before, const struct profile *after,
                           const struct report_options *opt, FILE *out);

/* The ways to show differences, by name; NULL where there is none of this name. */
typedef int report_diff_writer(const struct profile *before, const struct profile *after,
                               const struct report_options *opt, FILE *out);
report_diff_writer *report_find_diff(const char *format);

/* What a format does with the order in time. */
enum report_time { TIME_NO_USE, TIME_USED, TIME_NEEDED };
enum report_time report_time_of(const char *format);

/*
 * Reads saved profiles, oxprof's own and others' in the same format, and adds them up in p, which
 * must be new and outlive the reader. Strings come as they are: hostile.
 */
struct report_reader;
struct report_reader *report_reader_new(struct profile *p);
void report_reader_free(struct report_reader *r);

/*
 * One file's bytes, compressed or not. -EBADMSG: it is no profile, or a damaged one; -E2BIG: over a
 * limit; -EINVAL: sampled at another interval than those before it, or a difference. The sentence
 * goes with "FILE: ". After an error p is only good to be freed.
 */
int report_reader_add(struct report_reader *r, const uint8_t *bytes, size_t n, struct error *err);

#endif

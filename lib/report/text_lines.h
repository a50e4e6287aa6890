/* SPDX-License-Identifier: MIT */
#ifndef REPORT_TEXT_LINES_H
#define REPORT_TEXT_LINES_H

#include "report/table.h"

/*
 * The text report as it is written, line by line: what the head and the blocks share; nobody else
 * includes it. Columns and lines are those of the screen, counted so that what is put last fits.
 */
struct text {
    const struct report_options *opt;
    FILE *out;
    struct tabulation tab;
    uint64_t samples[PROFILE_STATES];
    size_t column, lines; /* of the screen, written so far */
};

/* Part of a line, each byte of it counted as a column; what the target chose must be escaped. */
void text_put(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "1 stack", "2 stacks". */
void text_put_count(struct text *t, uint64_t n, const char *noun);
/* Comments are not cut: a terminal wraps them. */
void text_end_line(struct text *t);
/* The last field of a line, and its end: as much of it as the line has room for. */
void text_put_label(struct text *t, const char *label);
/* How many columns a label takes: some characters take two. */
size_t text_columns(const char *s);

/* Whether the report tells this state apart: all do but waiting where only running is sampled. */
bool text_has_block(const struct text *t, enum profile_state state);

/* text_head.c: the comments that a report begins with: of what it is, the samples and all that was
 * lost, what the sampling has cost. */
void text_put_head(struct text *t);

#endif

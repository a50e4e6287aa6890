/* SPDX-License-Identifier: MIT */
#ifndef REPORT_FIREFOX_H
#define REPORT_FIREFOX_H

#include "report/json_out.h"
#include "report/stack.h"

/*
 * Firefox Profiler's processed format, version 66
 * (github.com/firefox-devtools/profiler/blob/main/docs-developer/CHANGELOG-formats.md). Tables are
 * stored by columns and shared by the threads: strings, sources, functions, frames, stacks. A stack
 * is a node of the profile's own trie, spread out where functions are inlined.
 */

struct frame_entry {
    uint32_t frame, line, depth; /* of the profile; 0: not inlined */
};

struct stack_entry {
    uint32_t frame;  /* index of a frame_entry */
    uint32_t prefix; /* index + 1 of a stack_entry; 0: none */
};

/*
 * A sample holds until the next one: where nobody looked, and at the end, one without a stack or
 * weight follows. One entry stands for all ticks in which a thread stayed where it was, so what it
 * ran between a sample and the one before is what that one shows.
 */
struct sample {
    uint32_t stack; /* and 1; 0: none */
    uint64_t tick, weight, cpu_delta_ns;
};

struct firefox {
    struct json json;
    const struct profile *p;
    const struct report_options *opt;
    struct tabulation tab;
    struct timeline time;
    struct map processes;       /* pid -> thread, as stack_processes() */
    struct intern *strings;     /* owned; of the file */
    struct frame_entry *frames; /* owned, as are the arrays below */
    size_t n_frames, frames_cap;
    struct stack_entry *stacks;
    size_t n_stacks, stacks_cap;
    uint32_t *entry_of;  /* by frame: its first frame_entry + 1; 0: none yet */
    uint32_t *stack_of;  /* by node: its stack_entry + 1; 0: not used */
    uint32_t *sources;   /* strings of the profile */
    uint32_t *source_of; /* by function: its source + 1; 0: none */
    size_t n_sources;
    uint32_t *libraries;  /* modules */
    uint32_t *library_of; /* by module: its library + 1; 0: none */
    size_t n_libraries;
    uint32_t *module_of;    /* by function */
    struct sample *samples; /* of the thread at work */
    size_t n_samples, samples_cap;
};

/* Tables are written column by column: one value for each row. */
typedef void put_cell(struct firefox *f, size_t row);

struct column {
    const char *key;
    put_cell *put;
};

void firefox_put_column(struct firefox *f, const char *key, size_t n, put_cell *put);
void firefox_put_table(struct firefox *f, const char *key, size_t n, const struct column *columns,
                       size_t n_columns);
#define OX_TABLE(f, key, n, ...)                                       \
    firefox_put_table(f, key, n, (const struct column[]){__VA_ARGS__}, \
                      sizeof((const struct column[]){__VA_ARGS__}) / sizeof(struct column))

/* Cells. */
void firefox_put_null(struct firefox *f, size_t row);
void firefox_put_zero(struct firefox *f, size_t row);
void firefox_put_or_null(struct firefox *f, uint64_t value_and_1);

/* The rows of the tables that threads share; then those tables, written. */
void firefox_add_rows(struct firefox *f);
void firefox_put_shared(struct firefox *f);

#endif

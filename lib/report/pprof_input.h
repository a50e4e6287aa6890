/* SPDX-License-Identifier: MIT */
#ifndef REPORT_PPROF_INPUT_H
#define REPORT_PPROF_INPUT_H

#include <stdbool.h>

#include "base/lookup.h"
#include "report/report.h"
#include "report/wire.h"

/*
 * A saved profile that is being read: what pprof_read.c and its parts share. Functions return 0, or
 * a negative errno as report_reader_add() does, with the sentence in in->err.
 */

/* A saved profile is hostile: it may come from anybody. */
enum {
    RAW_BYTES_MAX = 256 << 20,
    STRINGS_MAX = 4 << 20,
    MAPPINGS_MAX = 1 << 16,
    FUNCTIONS_MAX = 2 << 20,
    LOCATIONS_MAX = 2 << 20,
    LINES_MAX = 4 << 20,
    LOCATION_LINES_MAX = 128,   /* functions inlined in each other */
    SPREAD_MAX = 8 << 20,       /* functions of the trie's nodes, which writers make tries of */
    STRING_BYTES_MAX = 1 << 16, /* as for the names of lib/symbols */
    COMMENTS_MAX = 1024,
    TYPES_MAX = 64,
    STACK_MAX = 1 << 16,
    TITLE_BYTES_MAX = 200,
};

/* What a label's name says, of oxprof's and of others' labels. */
enum role { ROLE_NONE, ROLE_THREAD, ROLE_TID, ROLE_PID, ROLE_STATE, ROLE_WAIT };

struct in_string {
    struct wire_in text;
    uint32_t known; /* in the profile; 0: not asked for yet, or "" */
    enum role role;
};

struct in_mapping {
    uint64_t id, start, limit, offset, file, build_id;
    uint32_t module; /* of the profile */
    enum frame_kind kind;
};

struct in_function {
    uint64_t id, name, linkage_name, file, start_line;
};

struct in_line {
    uint64_t function, line;
};

struct in_location {
    uint64_t id, mapping, address;
    uint32_t first_line, n_lines;
    uint32_t frame; /* of the profile */
    bool known;
};

struct in_type {
    uint64_t type, unit;
};

/* What a number of JSON holds exactly (RFC 8259 §6). */
#define SAMPLES_MAX (UINT64_C(1) << 53)

struct report_reader {
    struct profile *p; /* borrowed */
    uint64_t seed;     /* of the frames' keys */
    size_t n_files;
    uint64_t samples, spread; /* so far: see SAMPLES_MAX, SPREAD_MAX */
    size_t nodes;             /* of the trie that count in spread */
};

/* One file. The arrays are owned. */
struct input {
    struct report_reader *r;
    struct profile *p;
    struct error *err;
    struct in_string *strings;
    struct in_mapping *mappings;
    struct in_function *functions;
    struct in_location *locations;
    struct in_line *lines;
    size_t n_strings, strings_cap, n_mappings, mappings_cap, n_functions, functions_cap;
    size_t n_locations, locations_cap, n_lines, lines_cap;
    struct lookup by_mapping, by_function, by_location;
    struct in_type types[TYPES_MAX], period_type;
    size_t n_types, value; /* which of the types is read */
    bool divide;           /* it is a time: a sample for each period of it */
    uint64_t *comments;
    size_t n_comments, comments_cap;
    uint64_t default_type, period, time_ns, duration_ns;
    bool own;
    /* the sample at work */
    uint32_t *stack;
    uint64_t *ids;
    struct profile_line *named;
    size_t stack_cap, ids_cap, named_cap;
};

int input_malformed(struct input *in, const char *what);
int input_too_many(struct input *in, const char *what);

bool input_text_is(const struct input *in, uint64_t string, const char *text);
/* The string's number in the profile; text: what it says, which must not be kept. Past
 * STRING_BYTES_MAX it is "[other]", and counted. */
uint32_t input_string(struct input *in, uint64_t string);
const char *input_text(struct input *in, uint64_t string);
/* What the string says as a number; 0 where it is none. */
uint64_t input_text_number(const struct input *in, uint64_t string);

/* Numbers of a message go where `places` says; others are passed over. */
int input_numbers(struct input *in, struct wire_in message, uint64_t *const *places,
                  size_t n_places);

/* By the numbers that they have in the file; NULL where there is none. */
const struct in_mapping *input_mapping(const struct input *in, uint64_t id);
const struct in_function *input_function(const struct input *in, uint64_t id);
struct in_location *input_location(const struct input *in, uint64_t id);

/* pprof_tables.c: all fields of the profile other than its samples. */
int input_tables(struct input *in, struct wire_in raw);

/* pprof_head.c: which of its values is read; whether that goes with files before it; the figures of
 * the head, added to the profile's. After the tables. */
void input_choose_value(struct input *in);
int input_check_interval(struct input *in);
void input_head(struct input *in);

/* pprof_places.c: the mappings become modules, then locations frames. */
void input_name_mappings(struct input *in);
uint32_t input_frame(struct input *in, struct in_location *l);
/* The same place where a thread waits for something, a string of the profile: a frame of its own.
 */
uint32_t input_waiting_frame(struct input *in, uint32_t frame, uint32_t wait);

void input_release(struct input *in);

#endif

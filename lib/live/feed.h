/* SPDX-License-Identifier: MIT */
#ifndef LIVE_FEED_H
#define LIVE_FEED_H

#include "live/calls.h"

/*
 * Between the sampler's thread and that of a face (page, terminal): what was counted goes one way
 * as deltas that nobody changes any more, commands come back. Neither side ever waits for the
 * other with a lock held: there is one place for a delta, and until it has been taken the sampler
 * goes on adding up.
 */
struct feed;

struct delta_hits {
    uint32_t tally;
    uint64_t hits;
};

struct delta_name { /* of a frame, in lines of the delta */
    uint32_t frame;
    enum frame_kind kind;
    uint32_t module;
    uint32_t first_line, n_lines;
};

/* What is new since the delta before: indices go on where that ended. All arrays owned. */
struct delta {
    uint64_t taken_ns; /* CLOCK_MONOTONIC */
    bool reset;        /* all that was counted before is void */
    struct session_status status;
    uint32_t title, mode;         /* strings */
    char *text;                   /* n_strings, each with its 0 */
    struct profile_frame *frames; /* nameless */
    struct profile_node *nodes;
    struct profile_tally *tallies; /* without hits */
    struct profile_module *modules;
    struct profile_thread *threads; /* not only new ones: all, if any is new or renamed */
    struct delta_name *names;
    struct profile_line *lines;
    struct delta_hits *hits;
    size_t n_strings, n_frames, n_nodes, n_tallies, n_modules, n_threads, n_names, n_lines, n_hits;
    uint64_t folded, unattributed, names_folded;
    bool has_calls;
    struct call_row *calls; /* owned */
    size_t n_calls;
    struct calls_dropped calls_dropped;
};
void delta_free(struct delta *d);

struct feed *feed_new(void);
void feed_free(struct feed *f);

/* --- the sampler's thread */

/* From now on the session's hits go here too. All must outlive their last hit. calls: whose table
 * goes along; NULL: none. */
void feed_attach(struct feed *f, struct session *s, struct calls *calls);
/* To be called at each turn of the loop, with no stop under way where that can be had. Executes a
 * command, names some new frames, and four times a second hands over a delta. */
void feed_turn(struct feed *f);

/* --- the face's thread */

/* NULL: nothing new. To be freed by the caller. */
struct delta *feed_take(struct feed *f);

enum command_kind {
    COMMAND_PAUSE,
    COMMAND_RESUME,
    COMMAND_RESET,
    COMMAND_INTERVAL, /* value_ns */
    COMMAND_SNAPSHOT, /* every thread's hits so far are counted, of long sleepers too */
    COMMAND_STOP,     /* for good: the target is not touched any more */
};

/* For mirror_answer(). 0; -EBUSY: the command before is still to be done. */
int feed_ask(struct feed *f, enum command_kind kind, uint64_t value_ns, struct error *err);
/* Waits until the command has been done, and its outcome is in the delta that is to be taken: 0, or
 * what it was refused with (-ERANGE: an interval that the session refuses, -ESHUTDOWN: sampling has
 * ended). -EAGAIN: a delta is to be taken first. -EINPROGRESS at until_ns (CLOCK_MONOTONIC). */
int feed_answer(struct feed *f, uint64_t until_ns, struct error *err);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef LIVE_MIRROR_H
#define LIVE_MIRROR_H

#include "live/feed.h"

/*
 * A face's own copy of what was counted, made of the deltas, and the last minutes second by
 * second. Bounded as the profile is (PROFILE_*_MAX), the minutes by HISTORY_*.
 */
enum {
    HISTORY_SECONDS = 900,
    HISTORY_HITS_MAX = 2 << 20, /* 16 bytes each; past it the oldest seconds are dropped */
};

struct history_second {
    uint64_t second;         /* of CLOCK_MONOTONIC */
    struct delta_hits *hits; /* owned; a tally may occur several times */
    size_t n, cap;
};

struct mirror {
    struct profile *p; /* owned; its head is filled in for writers of whole reports */
    size_t n_strings;  /* of the sampler's, so far */
    struct session_status status;
    bool has_calls;
    struct call_row *calls; /* owned */
    size_t n_calls;
    struct calls_dropped calls_dropped;
    uint64_t updated_ns;
    uint64_t updates, resets; /* how many there were */
    uint64_t *by_process;     /* owned; by thread * PROFILE_STATES + state: hits ever */
    size_t by_process_cap;
    struct history_second history[HISTORY_SECONDS]; /* a ring, by second */
    uint64_t oldest_second;                         /* what is before it was dropped */
    size_t history_hits;
};

struct mirror *mirror_new(void);
void mirror_free(struct mirror *m);

/* Takes the delta. */
void mirror_apply(struct mirror *m, struct delta *d);
/* Applies what the feed has. False: nothing new. */
bool mirror_follow(struct mirror *m, struct feed *f);
/* Of what feed_ask() took: waits as feed_answer() does, but never returns -EAGAIN, and shows what
 * has come of it. until_ns 0: waits for nothing. */
int mirror_answer(struct mirror *m, struct feed *f, uint64_t until_ns, struct error *err);
/* Waits until the sampler has done it, for a second at most, and shows what has come of it: as
 * feed_answer(); -EINPROGRESS: it will be done; -EBUSY: it will not, the one before is still to be
 * done. One face's thread at a time. */
int mirror_command(struct mirror *m, struct feed *f, enum command_kind kind, uint64_t value_ns,
                   struct error *err);

/* The profile of some seconds, both ends included, of those that are still known. Shares all but
 * the tallies; holds until the next mirror_apply(). */
void mirror_between(const struct mirror *m, uint64_t first_second, uint64_t last_second,
                    struct profile *ret_view);

/* Hits by tally as they are now, for mirror_since(). */
struct mirror_mark {
    uint64_t *hits; /* owned */
    size_t n;
    uint64_t resets, sampled_ns;
    uint64_t lost[LOSS_N], truncated;
};
void mirror_mark(const struct mirror *m, struct mirror_mark *ret);
void mirror_mark_release(struct mirror_mark *mark);
/* The profile of what came since; since the last reset, where there was one. As mirror_between().
 */
void mirror_since(const struct mirror *m, const struct mirror_mark *mark, struct profile *ret_view);
void mirror_view_release(struct profile *view);

#endif

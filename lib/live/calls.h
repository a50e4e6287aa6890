/* SPDX-License-Identifier: MIT */
#ifndef LIVE_CALLS_H
#define LIVE_CALLS_H

#include <regex.h>
#include <stdio.h>

#include "session/session.h"

/*
 * How long functions take, from samples alone. Two samples in a row of a thread belong to the same
 * call of f if f stands at the same place above the same return addresses. Example, one letter a
 * frame, f called twice by main's lines 1 and 2, ticks from left to right:
 *
 *     main1 main1 main1 main  main2          calls of f: 2
 *     f     f     f           f              the first lasted 3 ticks, the second is running
 *
 * What sampling can't see: calls shorter than the interval (some are met, most are not), and that
 * one call has ended and the next begun at the same place within an interval: those count as one.
 * A call's ends lie halfway between the samples on either side, so a duration is right within an
 * interval. Calls that were under way when sampling began count, but not in the mean.
 */
struct call_row {
    uint32_t function, module; /* strings of the profile */
    uint64_t calls;            /* that have ended */
    uint64_t whole;            /* of those: seen from their beginning */
    uint64_t running;
    double sum_ns, longest_ns; /* of the whole ones; longest of the running ones too */
};

struct calls;

/* re is borrowed. */
struct calls *calls_new(const regex_t *re);
void calls_free(struct calls *c);
void calls_attach(struct calls *c, struct session *s);

/* Works off what was seen, as far as its names are known: frames below `named`. On the sampler's
 * thread, with no stop under way. */
void calls_digest(struct calls *c, size_t named);
/* Nobody looked for a while: calls under way count as ended, without a duration. */
void calls_interrupted(struct calls *c);
/* The counts begin anew. */
void calls_reset(struct calls *c);

/* The most calls first; owned by the caller. */
struct call_row *calls_table(struct calls *c, size_t *ret_n);

/* "calls,mean_s,longest_s,running,function,module" and a line for each; quoted as RFC 4180 says. */
void calls_csv(const struct profile *p, const struct call_row *rows, size_t n, FILE *out);

#endif

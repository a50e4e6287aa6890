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

/* What the limits took, since the last reset; of stretches: a thread on one stack. */
struct calls_dropped {
    uint64_t stretches; /* not worked off in time */
    uint64_t functions; /* stretches with a function past the most that are told apart */
    uint64_t nested;    /* stretches with more calls under way than are followed: the innermost */
};
bool calls_dropped_any(const struct calls_dropped *d);

struct calls;

/* re is borrowed. */
struct calls *calls_new(const regex_t *re);
void calls_free(struct calls *c);
void calls_attach(struct calls *c, struct session *s);

/* Works off what was seen, as far as its names are known: frames below `named`; no more than takes
 * a fraction of a millisecond. On the sampler's thread. */
void calls_digest(struct calls *c, size_t named);
/* All of it, however long it takes; every frame is named. */
void calls_digest_all(struct calls *c);
/* Code made at run time has got other names. */
void calls_renamed(struct calls *c);
/* Nobody looked for a while: calls under way count as ended, without a duration. */
void calls_interrupted(struct calls *c);
/* The counts begin anew. */
void calls_reset(struct calls *c);

/* The most calls first; owned by the caller. */
struct call_row *calls_table(struct calls *c, size_t *ret_n, struct calls_dropped *ret_dropped);

/* "calls,mean_s,longest_s,running,function,module" and a line for each; quoted as RFC 4180 says.
 * A time that is not known is empty. Where something was dropped, lines without figures say so at
 * the end. */
void calls_csv(const struct profile *p, const struct call_row *rows, size_t n,
               const struct calls_dropped *dropped, FILE *out);

#endif

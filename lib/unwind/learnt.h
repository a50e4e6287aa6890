/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_LEARNT_H
#define UNWIND_LEARNT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"

/*
 * A sleeper does not show its RBP, but at a given place in the code the distance from RSP is the
 * same each time, unless the function uses alloca. A walk with all registers teaches it for places
 * that were in want of it. All zero is empty.
 */
struct learnt {
    struct map places;
};

void learnt_release(struct learnt *l);

/* Notes that this place (addr) needs RBP, and says whether asking for a stop is worth it. */
bool learnt_want(struct learnt *l, uint64_t place);

/* RBP - RSP there; false where it is not known, or not the same each time. */
bool learnt_recall(const struct learnt *l, uint64_t place, uint64_t *ret_distance);

/* What a walk with all registers saw at a place, wanted or not. True where that was news. */
bool learnt_teach(struct learnt *l, uint64_t place, uint64_t distance);

/* Of a place that is known: its function was jumped to by the one that was called, so that the
 * return address does not tell whether a distance is right. */
void learnt_loosen(struct learnt *l, uint64_t place);
bool learnt_is_loose(const struct learnt *l, uint64_t place);

#endif

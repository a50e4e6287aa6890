/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_GUESS_H
#define UNWIND_GUESS_H

#include "unwind/walk.h"

/* A sleeper's RBP, which it does not show: taught by walks that have it, and checked by where it
 * leads (learnt.h). */

/* Sets an unknown RBP of the newest frame from what was learnt of its place. False: not known, or
 * nothing was learnt yet. */
bool guess_rbp(struct walk *w);

/* To be called where RBP leads on: is it one that was wanted? */
void guess_teach(struct walk *w);

/* Has what was learnt led to something that can't be the caller? code is the mapping of ip. */
bool guess_misled(struct walk *w, const struct mapping *code, uint64_t ip);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef REPORT_HEAD_H
#define REPORT_HEAD_H

#include <stdbool.h>

#include "profile/profile.h"
#include "report/json_out.h"

/*
 * The figures of a report's head under names that files keep: "ticks_missed", "lost.thread_gone",
 * "cost.stops". Those that a saved profile has no field of its own for.
 */
typedef void head_put(void *data, const char *name, uint64_t value);

/* All of them, 0 or not, always in the same order. */
void head_each(const struct profile *p, head_put *put, void *data);

/* Adds a figure of one more profile: the sum, or where sums mean nothing the largest. False where
 * no figure has this name. */
bool head_add(struct profile *p, const char *name, uint64_t value);

/* "thread_gone": a loss without blanks. */
void head_loss_name(enum loss loss, char *buf, size_t bytes);

/* As keys of an object that is open: the sums, then "lost" and "cost", objects of the others. */
void head_put_json(struct json *j, const struct profile *p);

/* Times that a name reads "[other]". */
uint64_t head_names_folded(const struct profile *p);

#endif

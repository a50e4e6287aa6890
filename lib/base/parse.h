/* SPDX-License-Identifier: MIT */
#ifndef BASE_PARSE_H
#define BASE_PARSE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Whole-string parsers for what users and /proc write. 0, or -EINVAL for anything that is not
 * exactly one value ("1abc", "", " 5"), or -ERANGE. Independent of the locale.
 */
int parse_u64(const char *s, uint64_t *ret_value);

/* "5" = seconds, "500ms", "2m", "1h", "250us", "100ns", "1.5s". Result in nanoseconds. */
int parse_duration_ns(const char *s, uint64_t *ret_ns);

/* A decimal number such as "99.5", not negative, up to nine digits after the point. */
int parse_decimal(const char *s, double *ret_value);

/*
 * Steps along a text of /proc: skips blanks, reads one number in the base 8, 10 or 16, moves *p
 * behind it. False where no digit stands or the number overflows; then *p is unchanged.
 */
bool parse_number_at(const char **p, const char *end, unsigned base, uint64_t *ret_value);

#endif

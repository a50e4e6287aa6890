/* SPDX-License-Identifier: MIT */
#ifndef BASE_INTERN_H
#define BASE_INTERN_H

#include <stddef.h>
#include <stdint.h>

/*
 * Strings, each kept once and known by a number. Number 0 is always "".
 * Bounded: past max_bytes, of which each string takes its own and INTERN_OVERHEAD_BYTES, every new
 * string becomes the number of "[other]", and overflowed counts how often that happened.
 */
struct intern;

/* What a short string costs beside its bytes, more or less: heap block, pointer, hash slot. */
enum { INTERN_OVERHEAD_BYTES = 48 };

struct intern *intern_new(size_t max_bytes);
void intern_free(struct intern *in);

uint32_t intern_put(struct intern *in, const char *s);
/* Of at most len bytes; it ends at a 0 before that. */
uint32_t intern_put_n(struct intern *in, const char *s, size_t len);

/* Borrowed; lives as long as the table. */
const char *intern_get(const struct intern *in, uint32_t id);

/* Their numbers are 0 to one less; a number never gets another string. */
size_t intern_count(const struct intern *in);

uint64_t intern_overflowed(const struct intern *in);

#endif

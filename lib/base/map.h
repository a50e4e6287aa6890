/* SPDX-License-Identifier: MIT */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A hash map from two 64-bit words to one. Open addressing, linear probing; the caller's storage
 * holds the struct (all zero is an empty map), the heap the table.
 * Keys may come from the target, so the hash is seeded per map.
 */
struct map_entry {
    uint64_t a, b; /* key */
    uint64_t value;
    bool used;
};

struct map {
    struct map_entry *entries;
    size_t cap; /* power of two, or 0 */
    size_t n;
    uint64_t seed;
};

/* What maps and lookups hash with: every bit of the key reaches every bit of the hash. */
uint64_t map_hash(uint64_t seed, uint64_t a, uint64_t b);
uint64_t map_new_seed(void);

void map_release(struct map *m);

/* NULL where the key is absent. The pointer holds until the next map_put or map_remove. */
uint64_t *map_find(const struct map *m, uint64_t a, uint64_t b);

/* Sets the value of the key, adding it if absent. */
void map_put(struct map *m, uint64_t a, uint64_t b, uint64_t value);

void map_remove(struct map *m, uint64_t a, uint64_t b);

/* Iteration in no particular order: start with *pos = 0; NULL ends it. No change meanwhile. */
const struct map_entry *map_next(const struct map *m, size_t *pos);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef BASE_LOOKUP_H
#define BASE_LOOKUP_H

#include <stddef.h>
#include <stdint.h>

/*
 * Finds the items of an array by their keys, which stay in the array: 11 to 21 bytes for each item,
 * where a map would take 43 to 85. The owner of the array compares the keys:
 *
 *     uint32_t hash = lookup_hash(&l, a, b), i;
 *     for (size_t pos = 0; (i = lookup_next(&l, hash, &pos)) != LOOKUP_NONE;)
 *         if (items[i].a == a && items[i].b == b)
 *             return i;
 *     lookup_put(&l, hash, n);
 *
 * Keys may come from the target, so the hash is seeded. Items are never removed.
 */
struct lookup_slot {
    uint32_t hash;
    uint32_t place; /* of the item, plus 1; 0: empty */
};

struct lookup {
    struct lookup_slot *slots; /* owned */
    size_t cap;                /* power of two, or 0 */
    size_t n;
    uint64_t seed;
};

#define LOOKUP_NONE UINT32_MAX

void lookup_init(struct lookup *l);
void lookup_release(struct lookup *l);

uint32_t lookup_hash(const struct lookup *l, uint64_t a, uint64_t b);

/* The next item that may have the key; LOOKUP_NONE ends it. Start with *pos = 0. */
uint32_t lookup_next(const struct lookup *l, uint32_t hash, size_t *pos);

/* Adds an item, which must not be there yet. */
void lookup_put(struct lookup *l, uint32_t hash, uint32_t item);

#endif

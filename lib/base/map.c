/* SPDX-License-Identifier: MIT */
#include "base/map.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/mem.h"

/* splitmix64's finaliser: every input bit reaches every output bit */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t map_hash(uint64_t seed, uint64_t a, uint64_t b)
{
    return mix(mix(a + seed) + b);
}

uint64_t map_new_seed(void)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) < 0)
        seed = clock_now_ns();
    return seed;
}

static size_t slot_of(const struct map *m, uint64_t a, uint64_t b)
{
    return map_hash(m->seed, a, b) & (m->cap - 1);
}

static struct map_entry *probe(const struct map *m, uint64_t a, uint64_t b)
{
    size_t i = slot_of(m, a, b);
    while (m->entries[i].used && (m->entries[i].a != a || m->entries[i].b != b))
        i = (i + 1) & (m->cap - 1);
    return &m->entries[i];
}

void map_release(struct map *m)
{
    if (!m)
        return;
    free(m->entries);
    memset(m, 0, sizeof(*m));
}

uint64_t *map_find(const struct map *m, uint64_t a, uint64_t b)
{
    if (!m->n)
        return NULL;
    struct map_entry *e = probe(m, a, b);
    return e->used ? &e->value : NULL;
}

static void rehash(struct map *m)
{
    struct map old = *m;
    if (!m->cap)
        m->seed = map_new_seed();
    m->cap = old.cap ? old.cap * 2 : 16;
    m->entries = mem_alloc(m->cap * sizeof(*m->entries));
    for (size_t i = 0; i < old.cap; i++)
        if (old.entries[i].used)
            *probe(m, old.entries[i].a, old.entries[i].b) = old.entries[i];
    free(old.entries);
}

void map_put(struct map *m, uint64_t a, uint64_t b, uint64_t value)
{
    if (4 * (m->n + 1) > 3 * m->cap)
        rehash(m);
    struct map_entry *e = probe(m, a, b);
    if (!e->used)
        m->n++;
    *e = (struct map_entry){.a = a, .b = b, .value = value, .used = true};
}

void map_remove(struct map *m, uint64_t a, uint64_t b)
{
    if (!m->n)
        return;
    struct map_entry *hole = probe(m, a, b);
    if (!hole->used)
        return;
    m->n--;
    hole->used = false;
    /* Close the gap: an entry whose home lies at or before the hole would no longer be found. */
    size_t mask = m->cap - 1, at = (size_t)(hole - m->entries);
    for (size_t i = (at + 1) & mask; m->entries[i].used; i = (i + 1) & mask) {
        size_t home = slot_of(m, m->entries[i].a, m->entries[i].b);
        if (((i - home) & mask) < ((i - at) & mask))
            continue;
        m->entries[at] = m->entries[i];
        m->entries[i].used = false;
        at = i;
    }
}

const struct map_entry *map_next(const struct map *m, size_t *pos)
{
    while (*pos < m->cap) {
        const struct map_entry *e = &m->entries[(*pos)++];
        if (e->used)
            return e;
    }
    return NULL;
}

/* SPDX-License-Identifier: MIT */
#include "base/intern.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

struct intern {
    struct map by_hash; /* (hash, length) -> first id of a chain */
    char **strings;     /* owned */
    uint32_t *next;     /* next id with the same hash and length; 0 ends the chain */
    size_t n, strings_cap, next_cap;
    size_t bytes, max_bytes;
    uint32_t other;
    uint64_t overflowed;
};

/* FNV-1a; the map behind it is seeded, the chain makes a collision merely slow */
static uint64_t hash_of(const char *s, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
    return h;
}

static uint32_t add(struct intern *in, const char *s, size_t len)
{
    in->strings = mem_grow(in->strings, &in->strings_cap, in->n + 1, sizeof(*in->strings));
    in->next = mem_grow(in->next, &in->next_cap, in->n + 1, sizeof(*in->next));
    in->strings[in->n] = mem_strndup(s, len);
    uint64_t hash = hash_of(s, len);
    uint64_t *first = map_find(&in->by_hash, hash, len);
    in->next[in->n] = first ? (uint32_t)*first : 0;
    map_put(&in->by_hash, hash, len, in->n);
    in->bytes += len + 1;
    return (uint32_t)in->n++;
}

struct intern *intern_new(size_t max_bytes)
{
    struct intern *in = mem_alloc(sizeof(*in));
    in->max_bytes = max_bytes;
    add(in, "", 0);
    in->other = add(in, "[other]", strlen("[other]"));
    return in;
}

void intern_free(struct intern *in)
{
    if (!in)
        return;
    for (size_t i = 0; i < in->n; i++)
        free(in->strings[i]);
    free(in->strings);
    free(in->next);
    map_release(&in->by_hash);
    free(in);
}

uint32_t intern_put(struct intern *in, const char *s)
{
    return intern_put_n(in, s, strlen(s));
}

uint32_t intern_put_n(struct intern *in, const char *s, size_t len)
{
    const uint64_t *first = map_find(&in->by_hash, hash_of(s, len), len);
    for (uint32_t id = first ? (uint32_t)*first : 0; id; id = in->next[id])
        if (!memcmp(in->strings[id], s, len))
            return id;
    if (!len)
        return 0;
    if (in->bytes + len + 1 > in->max_bytes) {
        in->overflowed++;
        return in->other;
    }
    return add(in, s, len);
}

const char *intern_get(const struct intern *in, uint32_t id)
{
    return id < in->n ? in->strings[id] : "";
}

uint64_t intern_overflowed(const struct intern *in)
{
    return in->overflowed;
}

/* SPDX-License-Identifier: MIT */
#include "base/intern.h"

#include <stdlib.h>
#include <string.h>

#include "base/lookup.h"
#include "base/map.h"
#include "base/mem.h"

struct intern {
    struct lookup by_text;
    uint64_t seed;
    char **strings; /* owned */
    size_t n, strings_cap;
    size_t bytes, max_bytes;
    uint32_t other;
    uint64_t overflowed;
};

/* Names may be made to collide: eight bytes at a time go through what the seed alone knows. */
static uint32_t hash_of(const struct intern *in, const char *s, size_t len)
{
    uint64_t h = in->seed, word;
    for (size_t i = 0; i < len; i += sizeof(word)) {
        word = 0;
        memcpy(&word, s + i, len - i < sizeof(word) ? len - i : sizeof(word));
        h = map_hash(h, word, i);
    }
    return lookup_hash(&in->by_text, h, len);
}

static uint32_t add(struct intern *in, uint32_t hash, const char *s, size_t len)
{
    in->strings = mem_grow(in->strings, &in->strings_cap, in->n + 1, sizeof(*in->strings));
    in->strings[in->n] = mem_strndup(s, len);
    lookup_put(&in->by_text, hash, (uint32_t)in->n);
    in->bytes += len + INTERN_OVERHEAD_BYTES;
    return (uint32_t)in->n++;
}

struct intern *intern_new(size_t max_bytes)
{
    static const char other[] = "[other]";
    const size_t len = sizeof(other) - 1;
    struct intern *in = mem_alloc(sizeof(*in));
    in->max_bytes = max_bytes;
    in->seed = map_new_seed();
    lookup_init(&in->by_text);
    add(in, hash_of(in, "", 0), "", 0);
    in->other = add(in, hash_of(in, other, len), other, len);
    return in;
}

void intern_free(struct intern *in)
{
    if (!in)
        return;
    for (size_t i = 0; i < in->n; i++)
        free(in->strings[i]);
    free(in->strings);
    lookup_release(&in->by_text);
    free(in);
}

uint32_t intern_put(struct intern *in, const char *s)
{
    return intern_put_n(in, s, strlen(s));
}

uint32_t intern_put_n(struct intern *in, const char *s, size_t len)
{
    len = strnlen(s, len);
    uint32_t hash = hash_of(in, s, len), id;
    for (size_t pos = 0; (id = lookup_next(&in->by_text, hash, &pos)) != LOOKUP_NONE;)
        if (!strncmp(in->strings[id], s, len) && !in->strings[id][len])
            return id;
    if (len > in->max_bytes || in->bytes + len + INTERN_OVERHEAD_BYTES > in->max_bytes) {
        in->overflowed++;
        return in->other;
    }
    return add(in, hash, s, len);
}

const char *intern_get(const struct intern *in, uint32_t id)
{
    return id < in->n ? in->strings[id] : "";
}

size_t intern_count(const struct intern *in)
{
    return in->n;
}

uint64_t intern_overflowed(const struct intern *in)
{
    return in->overflowed;
}

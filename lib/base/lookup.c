/* SPDX-License-Identifier: MIT */
#include "base/lookup.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"

void lookup_init(struct lookup *l)
{
    *l = (struct lookup){.seed = map_new_seed()};
}

void lookup_release(struct lookup *l)
{
    if (!l)
        return;
    free(l->slots);
    *l = (struct lookup){0};
}

uint32_t lookup_hash(const struct lookup *l, uint64_t a, uint64_t b)
{
    return (uint32_t)map_hash(l->seed, a, b);
}

uint32_t lookup_next(const struct lookup *l, uint32_t hash, size_t *pos)
{
    while (l->cap) {
        const struct lookup_slot *slot = &l->slots[(hash + *pos) & (l->cap - 1)];
        if (!slot->place)
            break;
        ++*pos;
        if (slot->hash == hash)
            return slot->place - 1;
    }
    return LOOKUP_NONE;
}

static void place(struct lookup *l, struct lookup_slot slot)
{
    size_t i = slot.hash & (l->cap - 1);
    while (l->slots[i].place)
        i = (i + 1) & (l->cap - 1);
    l->slots[i] = slot;
}

static void grow(struct lookup *l)
{
    struct lookup old = *l;
    l->cap = old.cap ? old.cap * 2 : 16;
    l->slots = mem_alloc(l->cap * sizeof(*l->slots));
    for (size_t i = 0; i < old.cap; i++)
        if (old.slots[i].place)
            place(l, old.slots[i]);
    free(old.slots);
}

void lookup_put(struct lookup *l, uint32_t hash, uint32_t item)
{
    if (4 * (l->n + 1) > 3 * l->cap)
        grow(l);
    place(l, (struct lookup_slot){.hash = hash, .place = item + 1});
    l->n++;
}

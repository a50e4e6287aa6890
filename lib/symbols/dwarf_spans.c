/* SPDX-License-Identifier: MIT */
#include "symbols/dwarf_spans.h"

#include <stdlib.h>

#include "base/mem.h"

enum { OVERLAPPING_MAX = 64 };

bool dwarf_spans_add(struct dwarf_spans *t, struct debug_room *room, const struct dwarf_span *span)
{
    size_t cap = t->cap;
    if (!debug_room_may_grow(room))
        return false;
    t->items = mem_grow(t->items, &t->cap, t->n + 1, sizeof(*t->items));
    room->bytes += (t->cap - cap) * sizeof(*t->items);
    t->items[t->n++] = *span;
    return true;
}

static int compare(const void *pa, const void *pb)
{
    const struct dwarf_span *a = pa, *b = pb;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    /* the longest first: it is the last that is looked at */
    if (a->end != b->end)
        return a->end > b->end ? -1 : 1;
    return a->value < b->value ? -1 : a->value > b->value;
}

void dwarf_spans_sort(struct dwarf_spans *t)
{
    if (t->n)
        qsort(t->items, t->n, sizeof(*t->items), compare);
}

void dwarf_spans_release(struct dwarf_spans *t, struct debug_room *room)
{
    room->bytes -= t->cap * sizeof(*t->items);
    free(t->items);
    *t = (struct dwarf_spans){0};
}

const struct dwarf_span *dwarf_spans_find(const struct dwarf_spans *t, uint64_t vaddr)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (t->items[mid].begin <= vaddr)
            low = mid + 1;
        else
            high = mid;
    }
    for (int tries = 0; low > 0 && tries < OVERLAPPING_MAX; tries++)
        if (vaddr < t->items[--low].end)
            return &t->items[low];
    return NULL;
}

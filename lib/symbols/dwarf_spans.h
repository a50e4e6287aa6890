/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_DWARF_SPANS_H
#define SYMBOLS_DWARF_SPANS_H

#include "symbols/dwarf_data.h"

/* Which of many overlapping ranges of code an address lies in. */
struct dwarf_span {
    uint64_t begin, end;
    uint64_t value; /* what is there: a unit, an entry */
};

/* Filled, sorted, then asked. Its memory is taken from the room. */
struct dwarf_spans {
    struct dwarf_span *items; /* owned */
    size_t n, cap;
};

/* False where there is no room. */
bool dwarf_spans_add(struct dwarf_spans *t, struct debug_room *room, const struct dwarf_span *span);
void dwarf_spans_sort(struct dwarf_spans *t);
void dwarf_spans_release(struct dwarf_spans *t, struct debug_room *room);

/* The last one to begin that covers vaddr, of several such the shortest: of ranges that are nested
 * the innermost. NULL if none of the 64 before the address does. */
const struct dwarf_span *dwarf_spans_find(const struct dwarf_spans *t, uint64_t vaddr);

#endif

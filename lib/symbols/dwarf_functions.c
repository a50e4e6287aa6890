/* SPDX-License-Identifier: MIT */
#include "symbols/dwarf_functions.h"

#include <dwarf.h>
#include <stdlib.h>

#include "base/mem.h"
#include "symbols/dwarf_die.h"

enum { OVERLAPPING_MAX = 64 };

struct range {
    uint64_t begin, end, off;
};

struct dwarf_functions {
    struct range *items; /* owned; by begin */
    size_t n, cap;
};

struct adding {
    struct dwarf_functions *t;
    struct dwarf_file *f;
    uint64_t off;
};

static bool add(void *arg, uint64_t begin, uint64_t end)
{
    const struct adding *a = arg;
    struct dwarf_functions *t = a->t;
    size_t cap = t->cap;
    if (!dwarf_file_is_code(a->f, begin))
        return false;
    if (a->f->room->bytes >= a->f->room->max_bytes)
        return true;
    t->items = mem_grow(t->items, &t->cap, t->n + 1, sizeof(*t->items));
    a->f->room->bytes += (t->cap - cap) * sizeof(*t->items);
    t->items[t->n++] = (struct range){.begin = begin, .end = end, .off = a->off};
    return false;
}

/* Where functions may stand: GCC's nested ones in functions, Rust's in namespaces. */
static bool may_hold_functions(uint32_t tag)
{
    switch (tag) {
    case DW_TAG_compile_unit:
    case DW_TAG_skeleton_unit:
    case DW_TAG_subprogram:
    case DW_TAG_lexical_block:
    case DW_TAG_try_block:
    case DW_TAG_catch_block:
    case DW_TAG_namespace:
    case DW_TAG_module:
    case DW_TAG_class_type:
    case DW_TAG_structure_type:
    case DW_TAG_union_type:
        return true;
    default:
        return false;
    }
}

/*
 * The entries stand in a row, children behind their parent: reading on is all it takes, and it
 * ends with the unit whatever the entries say. DW_AT_sibling leads past what is of no use.
 */
static void read_unit(struct dwarf_functions *t, struct dwarf_file *f, struct dwarf_unit *u)
{
    struct dwarf_die die;
    int64_t depth = 0;
    for (uint64_t off = u->die_off; dwarf_die_read(f, u, off, &die);) {
        uint64_t sibling = dwarf_die_sibling(&die);
        off = die.next;
        if (!die.tag) {
            if (--depth <= 0)
                return;
            continue;
        }
        struct adding a = {.t = t, .f = f, .off = die.off};
        if (die.tag == DW_TAG_subprogram)
            dwarf_die_ranges(&die, add, &a);
        if (!die.has_children)
            continue;
        if (sibling && !may_hold_functions(die.tag))
            off = sibling;
        else
            depth++;
    }
}

static int compare(const void *pa, const void *pb)
{
    const struct range *a = pa, *b = pb;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    if (a->end != b->end)
        return a->end > b->end ? -1 : 1;
    return a->off < b->off ? -1 : a->off > b->off;
}

struct dwarf_functions *dwarf_functions_of(struct dwarf_file *f, struct dwarf_unit *u)
{
    if (u->functions)
        return u->functions;
    u->functions = mem_alloc(sizeof(*u->functions));
    read_unit(u->functions, f, u);
    if (u->functions->n)
        qsort(u->functions->items, u->functions->n, sizeof(struct range), compare);
    return u->functions;
}

void dwarf_functions_free(struct dwarf_functions *t, struct debug_room *room)
{
    if (!t)
        return;
    room->bytes -= t->cap * sizeof(*t->items);
    free(t->items);
    free(t);
}

bool dwarf_functions_find(const struct dwarf_functions *t, uint64_t vaddr, uint64_t *ret_off)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (t->items[mid].begin <= vaddr)
            low = mid + 1;
        else
            high = mid;
    }
    for (int tries = 0; low > 0 && tries < OVERLAPPING_MAX; tries++) {
        const struct range *r = &t->items[--low];
        if (vaddr >= r->end)
            continue;
        *ret_off = r->off;
        return true;
    }
    return false;
}

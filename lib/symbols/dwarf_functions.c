/* SPDX-License-Identifier: MIT */
#include "symbols/dwarf_functions.h"

#include <dwarf.h>
#include <stdlib.h>

#include "base/mem.h"
#include "symbols/dwarf_die.h"

struct adding {
    struct dwarf_spans *t;
    struct dwarf_file *f;
    uint64_t off;
};

static bool add(void *arg, uint64_t begin, uint64_t end)
{
    const struct adding *a = arg;
    struct dwarf_span span = {.begin = begin, .end = end, .value = a->off};
    return dwarf_file_is_code(a->f, begin) && !dwarf_spans_add(a->t, a->f->room, &span);
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
static void read_unit(struct dwarf_spans *t, struct dwarf_file *f, struct dwarf_unit *u)
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

const struct dwarf_spans *dwarf_functions_of(struct dwarf_file *f, struct dwarf_unit *u)
{
    if (u->functions && !debug_cut_retry(&u->functions_cut, f->room))
        return u->functions;
    dwarf_functions_free(u->functions, f->room);
    uint64_t refusals = f->room->refusals;
    u->functions = mem_alloc(sizeof(*u->functions));
    read_unit(u->functions, f, u);
    dwarf_spans_sort(u->functions);
    u->functions_cut.cut = f->room->refusals != refusals;
    return u->functions;
}

void dwarf_functions_free(struct dwarf_spans *t, struct debug_room *room)
{
    if (!t)
        return;
    dwarf_spans_release(t, room);
    free(t);
}

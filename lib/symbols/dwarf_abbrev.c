/* SPDX-License-Identifier: MIT */
#include "symbols/dwarf_abbrev.h"

#include <dwarf.h>
#include <stdlib.h>

#include "base/mem.h"

enum { ABBREVS_MAX = 1 << 20, ATTRIBUTES_MAX = 1 << 22 };

static enum dwarf_slot slot_of(uint64_t attribute)
{
    switch (attribute) {
    case DW_AT_sibling:
        return SLOT_SIBLING;
    case DW_AT_name:
        return SLOT_NAME;
    case DW_AT_linkage_name:
    case DW_AT_MIPS_linkage_name: /* what it was called before DWARF 4 */
        return SLOT_LINKAGE_NAME;
    case DW_AT_low_pc:
        return SLOT_LOW_PC;
    case DW_AT_high_pc:
        return SLOT_HIGH_PC;
    case DW_AT_ranges:
        return SLOT_RANGES;
    case DW_AT_abstract_origin:
        return SLOT_ORIGIN;
    case DW_AT_specification:
        return SLOT_SPECIFICATION;
    case DW_AT_call_file:
        return SLOT_CALL_FILE;
    case DW_AT_call_line:
        return SLOT_CALL_LINE;
    case DW_AT_call_column:
        return SLOT_CALL_COLUMN;
    case DW_AT_decl_column:
        return SLOT_DECL_COLUMN;
    case DW_AT_decl_line:
        return SLOT_DECL_LINE;
    case DW_AT_stmt_list:
        return SLOT_STMT_LIST;
    case DW_AT_comp_dir:
        return SLOT_COMP_DIR;
    case DW_AT_language:
        return SLOT_LANGUAGE;
    case DW_AT_str_offsets_base:
        return SLOT_STR_OFFSETS_BASE;
    case DW_AT_addr_base:
        return SLOT_ADDR_BASE;
    case DW_AT_rnglists_base:
        return SLOT_RNGLISTS_BASE;
    default:
        return SLOT_NONE;
    }
}

static bool read_attributes(struct dwarf_abbrevs *a, struct debug_reader *r,
                            struct dwarf_abbrev *abbrev)
{
    for (;;) {
        uint64_t name = debug_read_uleb(r), form = debug_read_uleb(r);
        struct dwarf_attribute attribute = {.form = (uint16_t)form, .slot = (uint8_t)slot_of(name)};
        if (form == DW_FORM_implicit_const)
            attribute.implicit = debug_read_sleb(r);
        if (r->failed || form > UINT16_MAX || a->n_attributes == ATTRIBUTES_MAX)
            return false;
        if (!name && !form)
            return true;
        a->attributes = mem_grow(a->attributes, &a->attributes_cap, a->n_attributes + 1,
                                 sizeof(*a->attributes));
        a->attributes[a->n_attributes++] = attribute;
        abbrev->n++;
    }
}

static bool read_table(struct dwarf_abbrevs *a, struct debug_reader *r)
{
    for (;;) {
        struct dwarf_abbrev abbrev = {.code = debug_read_uleb(r),
                                      .first = (uint32_t)a->n_attributes};
        /* producers may leave out the 0 at the end of the section's last table */
        if (!abbrev.code)
            return true;
        abbrev.tag = (uint32_t)debug_read_uleb(r);
        abbrev.has_children = debug_read_fixed(r, 1) != 0;
        if (a->n == ABBREVS_MAX || !read_attributes(a, r, &abbrev) ||
            !debug_room_work_parts(r->d->room, abbrev.n))
            return false;
        a->items = mem_grow(a->items, &a->cap, a->n + 1, sizeof(*a->items));
        a->items[a->n++] = abbrev;
    }
}

static int compare(const void *pa, const void *pb)
{
    const struct dwarf_abbrev *a = pa, *b = pb;
    if (a->code != b->code)
        return a->code < b->code ? -1 : 1;
    return a->first < b->first ? -1 : a->first > b->first;
}

static uint64_t bytes_of(const struct dwarf_abbrevs *a)
{
    return a->cap * sizeof(*a->items) + a->attributes_cap * sizeof(*a->attributes);
}

struct dwarf_abbrevs *dwarf_abbrevs_read(struct debug_data *section, uint64_t off)
{
    struct dwarf_abbrevs *a = mem_alloc(sizeof(*a));
    struct debug_reader r = debug_reader_at(section, off, section->bytes);
    bool whole = !r.failed && read_table(a, &r);
    if (whole && debug_room_take(section->room, bytes_of(a))) {
        if (a->n)
            qsort(a->items, a->n, sizeof(*a->items), compare);
        return a;
    }
    a->cap = a->attributes_cap = 0; /* not taken from the room */
    dwarf_abbrevs_free(a, section->room);
    return NULL;
}

void dwarf_abbrevs_free(struct dwarf_abbrevs *a, struct debug_room *room)
{
    if (!a)
        return;
    room->bytes -= bytes_of(a);
    free(a->items);
    free(a->attributes);
    free(a);
}

const struct dwarf_abbrev *dwarf_abbrevs_find(const struct dwarf_abbrevs *a, uint64_t code)
{
    /* compilers number them 1, 2, 3, ... */
    if (code && code <= a->n && a->items[code - 1].code == code)
        return &a->items[code - 1];
    size_t low = 0, high = a->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (a->items[mid].code < code)
            low = mid + 1;
        else
            high = mid;
    }
    return low < a->n && a->items[low].code == code ? &a->items[low] : NULL;
}

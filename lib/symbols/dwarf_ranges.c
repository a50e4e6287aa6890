/* SPDX-License-Identifier: MIT */
#include <dwarf.h>

#include "symbols/dwarf_die.h"

/* DWARF 4 2.17.3: pairs of offsets from a base; -1 sets the base, two zeros end the list. */
static bool walk_ranges(const struct dwarf_die *die, uint64_t off, dwarf_range_function *each,
                        void *arg)
{
    struct debug_data *d = &die->file->sections[DEBUG_RANGES];
    struct debug_reader r = debug_reader_at(d, off, d->bytes);
    uint64_t base = die->unit->low_pc;
    for (;;) {
        uint64_t begin = debug_read_fixed(&r, 8), end = debug_read_fixed(&r, 8);
        if (r.failed || (!begin && !end) || !debug_room_work(die->file->room, 1))
            return false;
        if (begin == UINT64_MAX)
            base = end;
        else if (begin < end && each(arg, base + begin, base + end))
            return true;
    }
}

static uint64_t indexed_address(const struct dwarf_die *die, struct debug_reader *r)
{
    struct dwarf_value v = {.form = DW_FORM_addrx, .u = debug_read_uleb(r)};
    uint64_t vaddr = 0;
    if (!r->failed && !dwarf_value_address(die->file, die->unit, &v, &vaddr))
        r->failed = true;
    return vaddr;
}

struct entry {
    uint64_t base, begin, end; /* base changes only where the entry sets it */
};

/* One entry of .debug_rnglists (DWARF 5 2.17.3); false at the end of the list. */
static bool read_entry(const struct dwarf_die *die, struct debug_reader *r, struct entry *e)
{
    e->begin = e->end = 0;
    switch (debug_read_fixed(r, 1)) {
    case DW_RLE_base_addressx:
        e->base = indexed_address(die, r);
        break;
    case DW_RLE_startx_endx:
        e->begin = indexed_address(die, r);
        e->end = indexed_address(die, r);
        break;
    case DW_RLE_startx_length:
        e->begin = indexed_address(die, r);
        e->end = e->begin + debug_read_uleb(r);
        break;
    case DW_RLE_offset_pair:
        e->begin = e->base + debug_read_uleb(r);
        e->end = e->base + debug_read_uleb(r);
        break;
    case DW_RLE_base_address:
        e->base = debug_read_fixed(r, 8);
        break;
    case DW_RLE_start_end:
        e->begin = debug_read_fixed(r, 8);
        e->end = debug_read_fixed(r, 8);
        break;
    case DW_RLE_start_length:
        e->begin = debug_read_fixed(r, 8);
        e->end = e->begin + debug_read_uleb(r);
        break;
    default: /* DW_RLE_end_of_list; nothing can be said about the unknown */
        return false;
    }
    return !r->failed;
}

static bool walk_rnglists(const struct dwarf_die *die, uint64_t off, dwarf_range_function *each,
                          void *arg)
{
    struct debug_data *d = &die->file->sections[DEBUG_RNGLISTS];
    struct debug_reader r = debug_reader_at(d, off, d->bytes);
    struct entry e = {.base = die->unit->low_pc};
    while (debug_room_work(die->file->room, 1) && read_entry(die, &r, &e))
        if (e.begin < e.end && each(arg, e.begin, e.end))
            return true;
    return false;
}

/* DW_FORM_rnglistx: the unit's table says where each of its lists begins. */
static bool offset_of_list(const struct dwarf_die *die, uint64_t index, uint64_t *ret_off)
{
    struct debug_data *d = &die->file->sections[DEBUG_RNGLISTS];
    unsigned bytes = die->unit->dwarf64 ? 8 : 4;
    uint64_t at;
    if (__builtin_mul_overflow(index, bytes, &at) ||
        __builtin_add_overflow(at, die->unit->rnglists_base, &at))
        return false;
    struct debug_reader r = debug_reader_at(d, at, d->bytes);
    *ret_off = die->unit->rnglists_base + debug_read_fixed(&r, bytes);
    return !r.failed;
}

static bool walk_list(const struct dwarf_die *die, const struct dwarf_value *list,
                      dwarf_range_function *each, void *arg)
{
    uint64_t off = list->u;
    if (die->unit->version < 5)
        return walk_ranges(die, off, each, arg);
    if (list->form == DW_FORM_rnglistx && !offset_of_list(die, list->u, &off))
        return false;
    return walk_rnglists(die, off, each, arg);
}

bool dwarf_die_ranges(const struct dwarf_die *die, dwarf_range_function *each, void *arg)
{
    const struct dwarf_value *list = dwarf_die_get(die, SLOT_RANGES);
    const struct dwarf_value *high = dwarf_die_get(die, SLOT_HIGH_PC);
    uint64_t begin, end;
    if (list)
        return walk_list(die, list, each, arg);
    if (!high ||
        !dwarf_value_address(die->file, die->unit, dwarf_die_get(die, SLOT_LOW_PC), &begin))
        return false;
    /* since DWARF 4 a plain number is the size */
    if (!dwarf_value_address(die->file, die->unit, high, &end) &&
        __builtin_add_overflow(begin, high->u, &end))
        return false;
    return begin < end && each(arg, begin, end);
}

static bool covers(void *arg, uint64_t begin, uint64_t end)
{
    uint64_t vaddr = *(const uint64_t *)arg;
    return vaddr >= begin && vaddr < end;
}

bool dwarf_die_covers(const struct dwarf_die *die, uint64_t vaddr)
{
    return dwarf_die_ranges(die, covers, &vaddr);
}

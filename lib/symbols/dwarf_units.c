/* SPDX-License-Identifier: MIT */
#include "symbols/dwarf_units.h"

#include <dwarf.h>
#include <stdlib.h>

#include "base/mem.h"
#include "symbols/dwarf_die.h"

enum {
    UNITS_MAX = 1 << 20, /* of a file; 128 MiB. A web browser has some 50,000 */
    SPANS_MAX = 4 << 20, /* 96 MiB */
    TOGETHER = 256       /* units whose abbreviations are kept while indexing */
};

/* DWARF 5 7.5.1; what follows the abbreviations' offset differs with the type. */
static void read_header_5(struct dwarf_unit *u, struct debug_reader *r)
{
    uint64_t type = debug_read_fixed(r, 1);
    u->bad |= debug_read_fixed(r, 1) != 8;
    u->abbrev_off = debug_read_fixed(r, u->dwarf64 ? 8 : 4);
    u->is_code = type == DW_UT_compile || type == DW_UT_skeleton;
    if (type == DW_UT_skeleton || type == DW_UT_split_compile)
        debug_skip(r, 8);
    else if (type == DW_UT_type || type == DW_UT_split_type)
        debug_skip(r, u->dwarf64 ? 16 : 12);
    else
        u->bad |= type != DW_UT_compile && type != DW_UT_partial;
}

static bool read_header(struct debug_reader *r, struct dwarf_unit *u)
{
    u->off = r->pos;
    uint64_t length = debug_read_length(r, &u->dwarf64);
    if (r->failed || length > r->end - r->pos)
        return false;
    u->end = r->pos + length;
    u->version = (uint16_t)debug_read_fixed(r, 2);
    if (u->version >= 5) {
        read_header_5(u, r);
    } else {
        u->is_code = true;
        u->abbrev_off = debug_read_fixed(r, u->dwarf64 ? 8 : 4);
        u->bad |= debug_read_fixed(r, 1) != 8;
    }
    u->bad |= u->version < 2 || u->version > 5;
    u->die_off = r->pos;
    return !r->failed && r->pos <= u->end;
}

static bool add_unit(struct dwarf_file *f, const struct dwarf_unit *u)
{
    size_t cap = f->units_cap;
    if (!debug_room_may_grow(f->room))
        return false;
    f->units = mem_grow(f->units, &f->units_cap, f->n_units + 1, sizeof(*u));
    f->room->bytes += (f->units_cap - cap) * sizeof(*u);
    f->units[f->n_units++] = *u;
    return true;
}

/* Goes on where the last address' work ended. */
static void list_units(struct dwarf_file *f)
{
    struct debug_data *info = &f->sections[DEBUG_INFO];
    uint64_t refusals = f->room->refusals;
    while (f->listed_bytes < info->bytes && !f->cut && debug_room_work(f->room, 1)) {
        struct debug_reader r = debug_reader_at(info, f->listed_bytes, info->bytes);
        struct dwarf_unit u = {.stmt_list = UINT64_MAX};
        /* one that is bad is kept: the offsets in it are nobody else's */
        if (!read_header(&r, &u) || !add_unit(f, &u))
            break;
        f->listed_bytes = u.end;
        f->cut = f->n_units == UNITS_MAX;
    }
    f->listed = f->room->refusals == refusals;
}

/* What the other entries of the unit need to be understood. */
static void read_bases(struct dwarf_unit *u, const struct dwarf_die *root)
{
    /* where the first table's header ends: what DWARF 5's producers say, or should have */
    uint64_t header = u->dwarf64 ? 16 : 8;
    u->str_offsets_base = dwarf_die_number(root, SLOT_STR_OFFSETS_BASE, header);
    u->addr_base = dwarf_die_number(root, SLOT_ADDR_BASE, header);
    u->rnglists_base = dwarf_die_number(root, SLOT_RNGLISTS_BASE, u->dwarf64 ? 20 : 12);
    u->stmt_list = dwarf_die_number(root, SLOT_STMT_LIST, UINT64_MAX);
    u->language = (uint16_t)dwarf_die_number(root, SLOT_LANGUAGE, 0);
    const struct dwarf_value *dir = dwarf_die_get(root, SLOT_COMP_DIR);
    if (dir)
        u->comp_dir = *dir;
    if (!dwarf_value_address(root->file, u, dwarf_die_get(root, SLOT_LOW_PC), &u->low_pc))
        u->low_pc = 0;
}

static bool read_root(struct dwarf_file *f, struct dwarf_unit *u, struct dwarf_die *ret_root)
{
    uint64_t refusals = f->room->refusals;
    bool read = !u->bad && dwarf_die_read(f, u, u->die_off, ret_root) && ret_root->tag;
    u->root_read = read || f->room->refusals == refusals;
    u->bad |= !read && u->root_read;
    if (!read)
        return false;
    u->is_code &= ret_root->tag == DW_TAG_compile_unit || ret_root->tag == DW_TAG_skeleton_unit;
    read_bases(u, ret_root);
    return true;
}

struct indexing {
    struct dwarf_file *f;
    size_t unit;
};

static bool add_span(void *arg, uint64_t begin, uint64_t end)
{
    const struct indexing *in = arg;
    struct dwarf_file *f = in->f;
    struct dwarf_span span = {.begin = begin, .end = end, .value = in->unit};
    if (!dwarf_file_is_code(f, begin))
        return false;
    f->cut |= f->spans.n == SPANS_MAX;
    return f->spans.n == SPANS_MAX || !dwarf_spans_add(&f->spans, f->room, &span);
}

/* False where there is no room for it, or no work left. */
static bool index_unit(struct dwarf_file *f, size_t unit)
{
    struct indexing in = {.f = f, .unit = unit};
    struct dwarf_unit *u = &f->units[unit];
    struct dwarf_die root;
    uint64_t refusals = f->room->refusals;
    size_t n = f->spans.n;
    if (u->is_code && read_root(f, u, &root) && u->is_code)
        dwarf_die_ranges(&root, add_span, &in);
    if (f->room->refusals == refusals)
        return true;
    f->spans.n = n;
    return false;
}

/* A unit that takes most of what an address may work is left out. */
static bool index_next(struct dwarf_file *f)
{
    struct debug_room *room = f->room;
    bool early = room->work <= room->max_work / 2;
    bool done = index_unit(f, f->n_indexed);
    bool never = !done && early && room->work > room->max_work;
    f->cut |= never;
    return done || never;
}

/* Goes on where the last address' work ended. */
static void index_units(struct dwarf_file *f)
{
    while (f->n_indexed < f->n_units && index_next(f))
        if (++f->n_indexed % TOGETHER == 0)
            dwarf_file_trim_abbrevs(f);
    dwarf_spans_sort(&f->spans);
    f->indexed = f->n_indexed == f->n_units;
}

static const struct dwarf_span *span_of_address(struct dwarf_file *f, uint64_t vaddr)
{
    if (!f->listed)
        list_units(f);
    if (!f->indexed && f->listed)
        index_units(f);
    return dwarf_spans_find(&f->spans, vaddr);
}

struct dwarf_unit *dwarf_unit_of_address(struct dwarf_file *f, uint64_t vaddr)
{
    const struct dwarf_span *span = span_of_address(f, vaddr);
    f->room->refusals += f->cut && !span;
    return span ? &f->units[span->value] : NULL;
}

struct dwarf_unit *dwarf_unit_of_offset(struct dwarf_file *f, uint64_t off)
{
    if (!f->listed)
        list_units(f);
    size_t low = 0, high = f->n_units;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (f->units[mid].end <= off)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == f->n_units || off < f->units[low].die_off)
        return NULL;
    struct dwarf_unit *u = &f->units[low];
    struct dwarf_die root;
    if (!u->root_read)
        read_root(f, u, &root);
    return u->bad ? NULL : u;
}

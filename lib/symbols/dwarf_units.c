/* SPDX-License-Identifier: MIT */
#include "symbols/dwarf_units.h"

#include <dwarf.h>
#include <stdlib.h>

#include "base/mem.h"
#include "symbols/dwarf_die.h"

enum {
    UNITS_MAX = 1 << 20, /* of a file; 128 MiB. A web browser has some 50,000 */
    SPANS_MAX = 4 << 20, /* 96 MiB */
    TOGETHER = 256,      /* units whose abbreviations are kept while indexing */
    OVERLAPPING_MAX = 64 /* ranges looked at for an address */
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
    if (f->n_units == UNITS_MAX || f->room->bytes >= f->room->max_bytes)
        return false;
    f->units = mem_grow(f->units, &f->units_cap, f->n_units + 1, sizeof(*u));
    f->room->bytes += (f->units_cap - cap) * sizeof(*u);
    f->units[f->n_units++] = *u;
    return true;
}

static void list_units(struct dwarf_file *f)
{
    struct debug_data *info = &f->sections[DEBUG_INFO];
    for (uint64_t off = 0; off < info->bytes;) {
        struct debug_reader r = debug_reader_at(info, off, info->bytes);
        struct dwarf_unit u = {.stmt_list = UINT64_MAX};
        if (!read_header(&r, &u))
            break;
        /* kept although bad: the offsets in it are nobody else's */
        f->cut = !debug_room_work(f->room, 1) || !add_unit(f, &u);
        if (f->cut)
            break;
        off = u.end;
    }
    f->listed = true;
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
    u->root_read = true;
    u->bad = u->bad || !dwarf_die_read(f, u, u->die_off, ret_root) || !ret_root->tag;
    if (u->bad)
        return false;
    u->is_code &= ret_root->tag == DW_TAG_compile_unit || ret_root->tag == DW_TAG_skeleton_unit;
    read_bases(u, ret_root);
    return true;
}

struct indexing {
    struct dwarf_file *f;
    uint32_t unit;
};

static bool add_span(void *arg, uint64_t begin, uint64_t end)
{
    const struct indexing *in = arg;
    struct dwarf_file *f = in->f;
    if (!dwarf_file_is_code(f, begin))
        return false;
    if (f->n_spans == SPANS_MAX) {
        f->cut = true;
        return true;
    }
    f->spans = mem_grow(f->spans, &f->spans_cap, f->n_spans + 1, sizeof(*f->spans));
    f->spans[f->n_spans++] = (struct dwarf_span){.begin = begin, .end = end, .unit = in->unit};
    return false;
}

static int compare_spans(const void *pa, const void *pb)
{
    const struct dwarf_span *a = pa, *b = pb;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    /* the longest first: it is the last that is looked at */
    if (a->end != b->end)
        return a->end > b->end ? -1 : 1;
    return a->unit < b->unit ? -1 : a->unit > b->unit;
}

static void index_units(struct dwarf_file *f)
{
    struct dwarf_die root;
    for (size_t i = 0; i < f->n_units && !f->cut; i++) {
        struct indexing in = {.f = f, .unit = (uint32_t)i};
        if (f->units[i].is_code && read_root(f, &f->units[i], &root) && f->units[i].is_code)
            dwarf_die_ranges(&root, add_span, &in);
        if (i % TOGETHER == TOGETHER - 1)
            dwarf_file_trim_abbrevs(f);
    }
    if (f->n_spans)
        qsort(f->spans, f->n_spans, sizeof(*f->spans), compare_spans);
    f->room->bytes += f->spans_cap * sizeof(*f->spans);
    f->indexed = true;
}

struct dwarf_unit *dwarf_unit_of_address(struct dwarf_file *f, uint64_t vaddr)
{
    if (!f->listed)
        list_units(f);
    if (!f->indexed)
        index_units(f);
    size_t low = 0, high = f->n_spans;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (f->spans[mid].begin <= vaddr)
            low = mid + 1;
        else
            high = mid;
    }
    for (int tries = 0; low > 0 && tries < OVERLAPPING_MAX; tries++) {
        const struct dwarf_span *span = &f->spans[--low];
        if (vaddr < span->end)
            return &f->units[span->unit];
    }
    return NULL;
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

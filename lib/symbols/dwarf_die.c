/* SPDX-License-Identifier: MIT */
#include "symbols/dwarf_die.h"

#include <dwarf.h>

#include "symbols/dwarf_units.h"

/* Numbers of a fixed size; 0: not one of these. */
static unsigned fixed_bytes(uint16_t form, const struct dwarf_unit *u)
{
    switch (form) {
    case DW_FORM_data1:
    case DW_FORM_ref1:
    case DW_FORM_flag:
    case DW_FORM_strx1:
    case DW_FORM_addrx1:
        return 1;
    case DW_FORM_data2:
    case DW_FORM_ref2:
    case DW_FORM_strx2:
    case DW_FORM_addrx2:
        return 2;
    case DW_FORM_strx3:
    case DW_FORM_addrx3:
        return 3;
    case DW_FORM_data4:
    case DW_FORM_ref4:
    case DW_FORM_ref_sup4:
    case DW_FORM_strx4:
    case DW_FORM_addrx4:
        return 4;
    case DW_FORM_addr:
    case DW_FORM_data8:
    case DW_FORM_ref8:
    case DW_FORM_ref_sig8:
    case DW_FORM_ref_sup8:
        return 8;
    case DW_FORM_strp:
    case DW_FORM_line_strp:
    case DW_FORM_sec_offset:
    case DW_FORM_strp_sup:
    case DW_FORM_GNU_strp_alt:
    case DW_FORM_GNU_ref_alt:
        return u->dwarf64 ? 8 : 4;
    case DW_FORM_ref_addr: /* an address in DWARF 2 */
        return u->version < 3 || u->dwarf64 ? 8 : 4;
    default:
        return 0;
    }
}

/* Blocks are passed over: none is of use here. */
static bool skip_block(struct debug_reader *r, uint16_t form)
{
    switch (form) {
    case DW_FORM_block1:
        debug_skip(r, debug_read_fixed(r, 1));
        return true;
    case DW_FORM_block2:
        debug_skip(r, debug_read_fixed(r, 2));
        return true;
    case DW_FORM_block4:
        debug_skip(r, debug_read_fixed(r, 4));
        return true;
    case DW_FORM_block:
    case DW_FORM_exprloc:
        debug_skip(r, debug_read_uleb(r));
        return true;
    case DW_FORM_data16:
        debug_skip(r, 16);
        return true;
    default:
        return false;
    }
}

static bool read_variable(struct debug_reader *r, const struct dwarf_attribute *a,
                          struct dwarf_value *v)
{
    switch (v->form) {
    case DW_FORM_udata:
    case DW_FORM_ref_udata:
    case DW_FORM_strx:
    case DW_FORM_addrx:
    case DW_FORM_rnglistx:
    case DW_FORM_loclistx:
    case DW_FORM_GNU_addr_index:
    case DW_FORM_GNU_str_index:
        v->u = debug_read_uleb(r);
        return true;
    case DW_FORM_sdata:
        v->u = (uint64_t)debug_read_sleb(r);
        return true;
    case DW_FORM_string:
        v->u = debug_skip_string(r);
        return true;
    case DW_FORM_flag_present:
        v->u = 1;
        return true;
    case DW_FORM_implicit_const:
        v->u = (uint64_t)a->implicit;
        return true;
    default:
        return skip_block(r, v->form);
    }
}

static bool is_unit_reference(uint16_t form)
{
    return form == DW_FORM_ref1 || form == DW_FORM_ref2 || form == DW_FORM_ref4 ||
           form == DW_FORM_ref8 || form == DW_FORM_ref_udata;
}

bool dwarf_value_read(const struct dwarf_unit *u, struct debug_reader *r,
                      const struct dwarf_attribute *a, struct dwarf_value *ret_value)
{
    struct dwarf_value v = {.form = a->form};
    if (v.form == DW_FORM_indirect) {
        v.form = (uint16_t)debug_read_uleb(r);
        if (v.form == DW_FORM_implicit_const)
            return false;
    }
    unsigned bytes = fixed_bytes(v.form, u);
    if (bytes)
        v.u = debug_read_fixed(r, bytes);
    else if (!read_variable(r, a, &v))
        return false;
    if (is_unit_reference(v.form)) {
        v.form = DW_FORM_ref_addr;
        v.u += u->off;
    }
    *ret_value = v;
    return !r->failed;
}

bool dwarf_die_read(struct dwarf_file *f, struct dwarf_unit *u, uint64_t off,
                    struct dwarf_die *ret_die)
{
    struct debug_reader r = debug_reader_at(&f->sections[DEBUG_INFO], off, u->end);
    const struct dwarf_abbrevs *abbrevs = dwarf_file_abbrevs(f, u->abbrev_off);
    if (off < u->die_off || !abbrevs)
        return false;
    ret_die->file = f;
    ret_die->unit = u;
    ret_die->off = off;
    ret_die->tag = 0;
    ret_die->has_children = false;
    ret_die->present = 0;
    uint64_t code = debug_read_uleb(&r);
    ret_die->next = r.pos;
    if (r.failed || !code)
        return !r.failed && debug_room_work(f->room, 1);
    const struct dwarf_abbrev *abbrev = dwarf_abbrevs_find(abbrevs, code);
    if (!abbrev || !abbrev->tag || !debug_room_work_parts(f->room, abbrev->n))
        return false;
    ret_die->tag = abbrev->tag;
    ret_die->has_children = abbrev->has_children;
    for (uint32_t i = 0; i < abbrev->n; i++) {
        const struct dwarf_attribute *a = &abbrevs->attributes[abbrev->first + i];
        struct dwarf_value v;
        if (!dwarf_value_read(u, &r, a, &v))
            return false;
        if (a->slot == SLOT_NONE)
            continue;
        ret_die->values[a->slot] = v;
        ret_die->present |= 1u << a->slot;
    }
    ret_die->next = r.pos;
    return true;
}

uint64_t dwarf_die_number(const struct dwarf_die *die, enum dwarf_slot slot, uint64_t otherwise)
{
    const struct dwarf_value *v = dwarf_die_get(die, slot);
    return v ? v->u : otherwise;
}

static const char *string_by_index(struct dwarf_file *f, const struct dwarf_unit *u, uint64_t index)
{
    unsigned bytes = u->dwarf64 ? 8 : 4;
    struct debug_data *offsets = &f->sections[DEBUG_STR_OFFSETS];
    uint64_t at;
    if (__builtin_mul_overflow(index, bytes, &at) ||
        __builtin_add_overflow(at, u->str_offsets_base, &at))
        return NULL;
    struct debug_reader r = debug_reader_at(offsets, at, offsets->bytes);
    uint64_t off = debug_read_fixed(&r, bytes);
    return r.failed ? NULL : debug_data_string(&f->sections[DEBUG_STR], off);
}

const char *dwarf_value_string(struct dwarf_file *f, const struct dwarf_unit *u,
                               const struct dwarf_value *v)
{
    switch (v ? v->form : 0) {
    case DW_FORM_string: /* of .debug_info; line tables have their own */
        return debug_data_string(&f->sections[DEBUG_INFO], v->u);
    case DW_FORM_strp:
        return debug_data_string(&f->sections[DEBUG_STR], v->u);
    case DW_FORM_line_strp:
        return debug_data_string(&f->sections[DEBUG_LINE_STR], v->u);
    case DW_FORM_strp_sup:
    case DW_FORM_GNU_strp_alt:
        return f->alt ? debug_data_string(&f->alt->sections[DEBUG_STR], v->u) : NULL;
    case DW_FORM_strx:
    case DW_FORM_strx1:
    case DW_FORM_strx2:
    case DW_FORM_strx3:
    case DW_FORM_strx4:
    case DW_FORM_GNU_str_index:
        return string_by_index(f, u, v->u);
    default:
        return NULL;
    }
}

bool dwarf_value_address(struct dwarf_file *f, const struct dwarf_unit *u,
                         const struct dwarf_value *v, uint64_t *ret_vaddr)
{
    uint64_t at;
    switch (v ? v->form : 0) {
    case DW_FORM_addr:
        *ret_vaddr = v->u;
        return true;
    case DW_FORM_addrx:
    case DW_FORM_addrx1:
    case DW_FORM_addrx2:
    case DW_FORM_addrx3:
    case DW_FORM_addrx4:
    case DW_FORM_GNU_addr_index:
        break;
    default:
        return false;
    }
    if (__builtin_mul_overflow(v->u, 8, &at) || __builtin_add_overflow(at, u->addr_base, &at))
        return false;
    struct debug_data *addresses = &f->sections[DEBUG_ADDR];
    struct debug_reader r = debug_reader_at(addresses, at, addresses->bytes);
    uint64_t vaddr = debug_read_fixed(&r, 8);
    if (!r.failed)
        *ret_vaddr = vaddr;
    return !r.failed;
}

bool dwarf_die_reference(const struct dwarf_die *die, enum dwarf_slot slot,
                         struct dwarf_file **ret_file, uint64_t *ret_off)
{
    const struct dwarf_value *v = dwarf_die_get(die, slot);
    struct dwarf_file *f = NULL;
    if (v && v->form == DW_FORM_ref_addr)
        f = die->file;
    else if (v && (v->form == DW_FORM_GNU_ref_alt || v->form == DW_FORM_ref_sup4 ||
                   v->form == DW_FORM_ref_sup8))
        f = die->file->alt;
    if (!f)
        return false;
    *ret_file = f;
    *ret_off = v->u;
    return true;
}

bool dwarf_die_follow(const struct dwarf_die *die, enum dwarf_slot slot, struct dwarf_die *ret_die)
{
    struct dwarf_file *f;
    uint64_t off;
    if (!dwarf_die_reference(die, slot, &f, &off))
        return false;
    struct dwarf_unit *u = dwarf_unit_of_offset(f, off);
    return u && dwarf_die_read(f, u, off, ret_die) && ret_die->tag;
}

uint64_t dwarf_die_sibling(const struct dwarf_die *die)
{
    const struct dwarf_value *v = dwarf_die_get(die, SLOT_SIBLING);
    bool forward = v && v->form == DW_FORM_ref_addr && v->u > die->off && v->u >= die->next &&
                   v->u < die->unit->end;
    return forward ? v->u : 0;
}

/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_DWARF_ABBREV_H
#define SYMBOLS_DWARF_ABBREV_H

#include "symbols/dwarf_data.h"

/* The attributes that names, lines and inlined functions are made of. */
enum dwarf_slot {
    SLOT_SIBLING,
    SLOT_NAME,
    SLOT_LINKAGE_NAME,
    SLOT_LOW_PC,
    SLOT_HIGH_PC,
    SLOT_RANGES,
    SLOT_ORIGIN,
    SLOT_SPECIFICATION,
    SLOT_CALL_FILE,
    SLOT_CALL_LINE,
    SLOT_CALL_COLUMN,
    SLOT_DECL_LINE,
    SLOT_DECL_COLUMN,
    SLOT_STMT_LIST,
    SLOT_COMP_DIR,
    SLOT_LANGUAGE,
    SLOT_STR_OFFSETS_BASE,
    SLOT_ADDR_BASE,
    SLOT_RNGLISTS_BASE,
    SLOT_N,
    SLOT_NONE = SLOT_N
};

struct dwarf_attribute {
    uint16_t form;
    uint8_t slot;     /* enum dwarf_slot */
    int64_t implicit; /* of DW_FORM_implicit_const */
};

struct dwarf_abbrev {
    uint64_t code;
    uint32_t tag;
    bool has_children;
    uint32_t first, n; /* of its attributes */
};

/* One table of .debug_abbrev: what the DIEs of its units look like. */
struct dwarf_abbrevs {
    struct dwarf_abbrev *items; /* owned; sorted by code */
    size_t n, cap;
    struct dwarf_attribute *attributes; /* owned */
    size_t n_attributes, attributes_cap;
};

/* NULL where it makes no sense or there is no room for it. */
struct dwarf_abbrevs *dwarf_abbrevs_read(struct debug_data *section, uint64_t off);
void dwarf_abbrevs_free(struct dwarf_abbrevs *a, struct debug_room *room);

/* NULL where the table has no such code. */
const struct dwarf_abbrev *dwarf_abbrevs_find(const struct dwarf_abbrevs *a, uint64_t code);

#endif

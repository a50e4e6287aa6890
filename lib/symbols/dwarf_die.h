/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_DWARF_DIE_H
#define SYMBOLS_DWARF_DIE_H

#include "symbols/dwarf_file.h"

/* A debugging information entry; of its attributes those of enum dwarf_slot. */
struct dwarf_die {
    struct dwarf_file *file; /* borrowed */
    struct dwarf_unit *unit; /* borrowed */
    uint64_t off, next;      /* next: behind its attributes, always more than off */
    uint32_t tag;            /* 0: the entry that ends a list of children */
    bool has_children;
    uint32_t present; /* bit for each slot */
    struct dwarf_value values[SLOT_N];
};

/* False where the unit ends there or what is there makes no sense. */
bool dwarf_die_read(struct dwarf_file *f, struct dwarf_unit *u, uint64_t off,
                    struct dwarf_die *ret_die);

/* One value of that form at the reader's place; false where the form is unknown. */
bool dwarf_value_read(const struct dwarf_unit *u, struct debug_reader *r,
                      const struct dwarf_attribute *a, struct dwarf_value *ret_value);

static inline const struct dwarf_value *dwarf_die_get(const struct dwarf_die *die,
                                                      enum dwarf_slot slot)
{
    return die->present & 1u << slot ? &die->values[slot] : NULL;
}

/* A small number such as a line; `otherwise` where there is none. */
uint64_t dwarf_die_number(const struct dwarf_die *die, enum dwarf_slot slot, uint64_t otherwise);

/* Borrowed until the next trim; NULL where v is no string or there is none. */
const char *dwarf_value_string(struct dwarf_file *f, const struct dwarf_unit *u,
                               const struct dwarf_value *v);

/* The address that v is or refers to. */
bool dwarf_value_address(struct dwarf_file *f, const struct dwarf_unit *u,
                         const struct dwarf_value *v, uint64_t *ret_vaddr);

/* Where the entry is that an attribute refers to: in this unit, another one or dwz's file. */
bool dwarf_die_reference(const struct dwarf_die *die, enum dwarf_slot slot,
                         struct dwarf_file **ret_file, uint64_t *ret_off);
/* That entry. */
bool dwarf_die_follow(const struct dwarf_die *die, enum dwarf_slot slot, struct dwarf_die *ret_die);

/* Where the next entry on its level may begin: DW_AT_sibling, if it leads forward; else 0. */
uint64_t dwarf_die_sibling(const struct dwarf_die *die);

/* Calls for each of its address ranges, until one returns true (which is returned then). */
typedef bool dwarf_range_function(void *arg, uint64_t begin, uint64_t end);
bool dwarf_die_ranges(const struct dwarf_die *die, dwarf_range_function *each, void *arg);

bool dwarf_die_covers(const struct dwarf_die *die, uint64_t vaddr);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_DWARF_FUNCTIONS_H
#define SYMBOLS_DWARF_FUNCTIONS_H

#include "symbols/dwarf_file.h"

/* The functions of a unit that have code, by address: 24 bytes for each of their ranges. */
struct dwarf_functions;

/* Reads through all of the unit's entries at the first use; never NULL. */
struct dwarf_functions *dwarf_functions_of(struct dwarf_file *f, struct dwarf_unit *u);
void dwarf_functions_free(struct dwarf_functions *t, struct debug_room *room);

/* The offset of the innermost function's entry that covers vaddr; false if none does. */
bool dwarf_functions_find(const struct dwarf_functions *t, uint64_t vaddr, uint64_t *ret_off);

#endif

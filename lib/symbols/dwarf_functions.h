/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_DWARF_FUNCTIONS_H
#define SYMBOLS_DWARF_FUNCTIONS_H

#include "symbols/dwarf_file.h"

/* The functions of a unit that have code: spans whose value is the offset of the function's entry.
 * Reads through all of the unit's entries at the first use. */
const struct dwarf_spans *dwarf_functions_of(struct dwarf_file *f, struct dwarf_unit *u);
void dwarf_functions_free(struct dwarf_spans *t, struct debug_room *room);

#endif

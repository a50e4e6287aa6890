/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_DWARF_LINES_H
#define SYMBOLS_DWARF_LINES_H

#include "symbols/dwarf_file.h"

/* The line table of a unit (DWARF 5 6.2): which place in the source each address comes from. */
struct dwarf_lines;

/* Reads the table at its first use. NULL where the unit has none, or it can't be had. */
struct dwarf_lines *dwarf_lines_of(struct dwarf_file *f, struct dwarf_unit *u);
void dwarf_lines_free(struct dwarf_lines *t, struct debug_room *room);

/* False where no line covers vaddr. *ret_line 0: compiled from no line. */
bool dwarf_lines_find(const struct dwarf_lines *t, uint64_t vaddr, uint32_t *ret_file,
                      uint32_t *ret_line);

/* The path of the table's file of this number, absolute where the unit says what it is relative
 * to; owned by the caller; NULL where there is none. */
char *dwarf_lines_path(struct dwarf_file *f, const struct dwarf_unit *u,
                       const struct dwarf_lines *t, uint64_t file);

#endif

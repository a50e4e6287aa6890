/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_DWARF_UNITS_H
#define SYMBOLS_DWARF_UNITS_H

#include "symbols/dwarf_file.h"

/*
 * Which unit is meant. The units are listed and their code indexed once for each file, from the
 * units' own first entries: .debug_aranges would not spare reading their headers, and clang, Rust
 * and LTO write none.
 */

/* The unit with the code at vaddr, of several the one with the shortest range; NULL if none. */
struct dwarf_unit *dwarf_unit_of_address(struct dwarf_file *f, uint64_t vaddr);

/* The unit with the entry at this offset of .debug_info; its root has been read. NULL if none. */
struct dwarf_unit *dwarf_unit_of_offset(struct dwarf_file *f, uint64_t off);

#endif

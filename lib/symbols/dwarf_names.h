/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_DWARF_NAMES_H
#define SYMBOLS_DWARF_NAMES_H

#include "symbols/dwarf_die.h"

/* How a function is called. */
struct dwarf_name {
    char *linkage;                     /* owned; NULL where DWARF does not say */
    char *plain;                       /* the same; with namespaces and classes ("app::work") */
    uint32_t start_line, start_column; /* where it is declared; 0 not known */
    struct debug_cut cut;
};

/* Of a function or an inlined one, found once for all places where it was inlined. Borrowed from
 * the file until its next trim; both names may be NULL. */
const struct dwarf_name *dwarf_name_of(const struct dwarf_die *function);

/* For dwarf_file_trim(). */
void dwarf_names_release(struct map *names, struct debug_room *room);

#endif

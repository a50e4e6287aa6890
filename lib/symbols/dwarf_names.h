/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_DWARF_NAMES_H
#define SYMBOLS_DWARF_NAMES_H

#include "symbols/dwarf_die.h"

/* How a function is called. */
struct dwarf_name {
    char *linkage;       /* owned by the caller; NULL where DWARF does not say */
    char *plain;         /* the same; with namespaces and classes ("app::work") */
    uint32_t start_line; /* where it is declared; 0 not known */
};

/* Of a function or an inlined one. Both names may be NULL. */
void dwarf_name_of(const struct dwarf_die *function, struct dwarf_name *ret_name);
void dwarf_name_release(struct dwarf_name *name);

#endif

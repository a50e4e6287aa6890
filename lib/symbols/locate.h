/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_LOCATE_H
#define SYMBOLS_LOCATE_H

#include <stdbool.h>
#include <stddef.h>

#include "target/module.h"

/* The other way round: from names to where they lie. */
struct located {
    size_t name; /* which of the names */
    uint64_t vaddr, bytes;
};

enum { LOCATED_MAX = 256 };

/*
 * Finds the defined symbols that bear one of the names, also with what compilers append to a
 * function's pieces (".cold", ".lto_priv.0"), in .symtab and .dynsym; the same place only once.
 * Returns how many, at most LOCATED_MAX. Tables of over 64 MiB are not read.
 */
size_t locate_symbols(struct module *m, const char *const *names, size_t n,
                      struct located ret[LOCATED_MAX]);

/* Where a section lies; false where there is none of that name, or it is not loaded. */
bool locate_section(struct module *m, const char *name, uint64_t *ret_vaddr);

#endif

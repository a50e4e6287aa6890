/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_PLT_H
#define SYMBOLS_PLT_H

#include <stdint.h>

#include "target/module.h"
#include "target/sections.h"

struct plt_entry {
    char *name; /* owned by the caller; as linked; NULL where no relocation names the entry */
    uint64_t vaddr, bytes;
};

/*
 * The entry of a procedure linkage table (.plt, .plt.sec, .plt.got) that covers vaddr.
 * -ENODATA where vaddr lies in none.
 */
int plt_find(struct module *m, const struct sections *s, uint64_t vaddr,
             struct plt_entry *ret_entry);

#endif

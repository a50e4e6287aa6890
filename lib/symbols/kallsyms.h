/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_KALLSYMS_H
#define SYMBOLS_KALLSYMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the kernel calls its code: /proc/kallsyms, lines of "ADDRESS TYPE NAME", of loadable modules
 * with a tab and "[MODULE]" (kernel/kallsyms.c: s_show()). Types are those of nm(1); t, T, w and W
 * are functions. Up to 64 MiB of text and 1 M functions; lines that are none are skipped.
 */
struct kallsyms;

struct kernel_symbol {
    const char *name;   /* as linked; borrowed */
    const char *module; /* "ext4"; NULL: of the kernel itself; borrowed */
};

/* Whether it tells us addresses: without the right to know them all are 0
 * (kernel/ksyms_common.c: kallsyms_show_value(); kernel.kptr_restrict). */
bool kallsyms_shown(void);

/* Never NULL: it may be empty. */
struct kallsyms *kallsyms_read(void);
/* The text may go when the call returns. */
struct kallsyms *kallsyms_parse(const char *text, size_t bytes);
void kallsyms_free(struct kallsyms *k);

/*
 * The function that covers addr: each reaches to the next one. Of several that begin at the same
 * place the one with the fewest leading underscores, global before weak before local, then the
 * shorter, then the smaller name. False where there is none.
 */
bool kallsyms_find(const struct kallsyms *k, uint64_t addr, struct kernel_symbol *ret);

#endif

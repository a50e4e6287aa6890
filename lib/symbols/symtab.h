/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_SYMTAB_H
#define SYMBOLS_SYMTAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "symbols/heartbeat.h"
#include "target/module.h"
#include "target/sections.h"

/*
 * The functions of one symbol table, sorted by vaddr. 24 bytes for each; names stay in the file
 * and are read when asked for, since a report names hundreds of a table's hundred thousands.
 */
struct symtab;

/* For how many functions there is memory, and how many tables were cut short by that. */
struct symtab_room {
    size_t left;
    uint64_t cut;
    struct heartbeat *heartbeat; /* borrowed; NULL, or stepped for each symbol that is read */
};

/*
 * Reads the first section of this type (SHT_SYMTAB, SHT_DYNSYM). NULL where there is none, it can't
 * be read, or no function is in it. Takes what it keeps from the room.
 * m must outlive the table; the sections need not.
 */
struct symtab *symtab_read(struct module *m, const struct sections *s, uint32_t type,
                           struct symtab_room *room);
void symtab_free(struct symtab *t);

/* Where a vaddr lies: symbols that start at one place and cover it. */
struct symtab_hit {
    uint32_t first, n;
};

bool symtab_find(const struct symtab *t, uint64_t vaddr, struct symtab_hit *ret_hit);

struct symtab_symbol {
    char *name; /* owned by the caller; without its version ("@@GLIBC_2.3.2") */
    uint64_t vaddr, bytes;
};

/*
 * The best name of a hit: the default version before others, fewest leading underscores, global
 * before weak before local, then the shorter, then the smaller name. Names are cut at 64 KiB.
 * -ENODATA where none has a name.
 */
int symtab_name(const struct symtab *t, const struct symtab_hit *hit,
                struct symtab_symbol *ret_symbol);

/* Is this one of the names of a hit? */
bool symtab_has_name(const struct symtab *t, const struct symtab_hit *hit, const char *name);

/* Visits the symbols of a table (the first `most`) in turn, until visit() returns false. -ENODATA
 * where they can't be read. */
typedef bool symtab_visit(void *arg, const Elf64_Sym *symbol);
int symtab_each(struct module *m, const Elf64_Shdr *table, uint64_t most, symtab_visit *visit,
                void *arg);

/* The name at this place of a symbol table (.dynsym of a relocation section); owned by the caller
 * or NULL. */
char *symtab_name_of_index(struct module *m, const struct sections *s, const Elf64_Shdr *table,
                           uint64_t index);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef TARGET_SECTIONS_H
#define TARGET_SECTIONS_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "target/module.h"

/*
 * The section header table of an ELF file. Unchecked beyond its own bounds: offsets and sizes in it
 * are whatever the file says, so everything is read through module_read().
 */
struct sections {
    Elf64_Shdr *items; /* owned */
    size_t n;
    char *names; /* owned; NULL where they are missing or too many: no section has a name then */
    size_t names_bytes;
};

/* 0, -ENODATA without a table, -EBADMSG where the file or the table makes no sense. */
int sections_read(struct sections *ret_sections, struct module *m);
void sections_release(struct sections *s);

/* The first section of this type (SHT_...) and, unless NULL, this name; NULL if there is none. */
const Elf64_Shdr *sections_find(const struct sections *s, uint32_t type, const char *name);

/* The first executable section that covers vaddr, or NULL. */
const Elf64_Shdr *sections_at(const struct sections *s, uint64_t vaddr);

bool sections_named(const struct sections *s, const Elf64_Shdr *section, const char *name);

/* Compares with the build-id in the file's note sections (a separate debug file's program headers
 * still describe the file it was made from). */
bool sections_have_build_id(const struct sections *s, struct module *m, const uint8_t *id,
                            size_t bytes);

#endif

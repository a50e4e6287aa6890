/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_PAGES_H
#define UNWIND_PAGES_H

#include <stddef.h>
#include <stdint.h>

#include "target/module.h"

/*
 * Bytes of modules' files, fetched a page at a time and kept in a table of fixed size: CFI is read
 * byte by byte, and a system call for each would cost more than all the rest.
 */
struct pages;

struct pages *pages_new(void);
void pages_free(struct pages *p);
void pages_forget(struct pages *p);

/* As module_read_vaddr(), but a read may not span segments. */
int pages_read_vaddr(struct pages *p, struct module *m, void *dst, size_t bytes, uint64_t vaddr);

#endif

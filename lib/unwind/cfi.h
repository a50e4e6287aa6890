/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_CFI_H
#define UNWIND_CFI_H

#include <stdbool.h>
#include <stdint.h>

#include "target/module.h"
#include "unwind/cfi_entry.h"
#include "unwind/pages.h"

/*
 * Finds the call frame information of an address: in .eh_frame, and where that has nothing for it,
 * in .debug_frame.
 */
struct cfi;

/* Sections that were unpacked and indexes of our own, of all modules; the largest that was seen, a
 * browser's, takes a tenth. What goes beyond is left out, and counted. */
enum { CFI_KEPT_BYTES_MAX = 256 << 20 };

/* Borrowed from the struct cfi: holds until its next call. */
struct cfi_fde {
    uint64_t start, end; /* vaddr of the code it describes, end excluded */
    struct cfi_reader program;
    const struct cfi_cie *cie;
};

/* Borrows pages. */
struct cfi *cfi_new(struct pages *pages);
void cfi_free(struct cfi *c);
void cfi_forget(struct cfi *c);

/* 0; -ENODATA where none covers vaddr; -EBADMSG where it is malformed or beyond what we allow. */
int cfi_find(struct cfi *c, struct module *m, uint64_t vaddr, struct cfi_fde *ret_fde);

/* How many bytes of CIEs and FDEs the look-ups have opened, all in all: what reading and
 * interpreting them costs. Indexing a module is not in it. Never goes back. */
uint64_t cfi_spent(const struct cfi *c);

/* Of how many modules some section was not read, or not to its end, for a limit. Each once, however
 * often all is forgotten. */
uint64_t cfi_cut(const struct cfi *c);

/* Interprets its program, as cfi_run(). */
int cfi_fde_run(const struct cfi_fde *fde, cfi_visit *visit, void *arg);

#endif

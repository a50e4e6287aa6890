/* SPDX-License-Identifier: MIT */
#ifndef CAPTURE_SNAPFILE_FORMAT_H
#define CAPTURE_SNAPFILE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "target/snapshot.h"

/* The numbers of the format that snapfile.h describes, for its writer and its reader; nobody else
 * includes it. */

#define SNAPFILE_MAGIC "OXSNAP\0\1" /* without the string's own end */
enum { SNAPFILE_MAGIC_BYTES = sizeof(SNAPFILE_MAGIC) - 1 };

enum { KIND_MODULE = 1, KIND_MAPPINGS, KIND_SNAPSHOT, KIND_END, KIND_SHOWN };

/* In place of a string's length, or of a module's number: there is none. */
#define SNAPFILE_NONE UINT32_MAX

/* DWREG_*, in their order. */
enum { REGS_N = sizeof((struct regs){0}.value) / sizeof(uint64_t) };

/* A record's payload, while it is put together, or taken apart. */
struct payload {
    uint8_t *data; /* owned */
    size_t n, cap;
};

#endif

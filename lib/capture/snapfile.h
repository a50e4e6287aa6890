/* SPDX-License-Identifier: MIT */
#ifndef CAPTURE_SNAPFILE_H
#define CAPTURE_SNAPFILE_H

#include <stddef.h>
#include <stdio.h>

#include "base/error.h"
#include "target/mappings.h"
#include "target/snapshot.h"

/*
 * Snapshots in a file, with all that is needed to unwind them anywhere: mappings, and of the
 * modules their identity, headers, call frame information and the pages noted in module->touched.
 *
 * Format, little-endian: the magic "OXSNAP\0\1", then records: u32 kind, u64 bytes, payload. A
 * string is a u32 length and its bytes; length 0xffffffff means none.
 *
 *   kind 1, module    u64 dev, ino, file_bytes; string path; string build-id (for information);
 *                     u32 n; n times: u64 off, bytes; bytes of the file. Sorted by off.
 *   kind 2, mappings  u32 pid, n; n times: u64 start, end, off, dev, ino; u32 prot, shared; u32
 *                     module (place among the module records, 0xffffffff: none); string path.
 *   kind 3, snapshot  u32 pid, tid, state, source; u64 syscall; u32 known registers; u64 x 17
 *                     registers; u64 stack_addr; u32 cut; string thread name; string stack; where
 *                     it is known a string: what the thread waits for
 *   kind 4, end       nothing; nothing follows
 *   kind 5, shown     of the snapshot before it, where the session did not show the native stack as
 *                     it is: u32 n; n times, innermost first: u32 frame of the native stack, from
 *                     its innermost (0xffffffff: another, which follows); string function, file;
 *                     u32 first line of the function, line
 */

struct snapfile_shown {
    uint32_t native;       /* SNAPFILE_NOT_NATIVE: what follows */
    char *function, *file; /* owned; NULL: none */
    uint32_t first_line, line;
};
#define SNAPFILE_NOT_NATIVE UINT32_MAX
enum { SNAPFILE_SHOWN_MAX = 4096 };

struct snapfile_process {
    pid_t pid;
    struct mappings maps;
};

struct snapfile_item {
    struct snapshot snap;         /* its stack: borrowed from stack, below */
    char *name;                   /* of the thread; owned; may be NULL */
    char *wait;                   /* "read: /var/lib/x.db"; owned; NULL: not known */
    uint8_t *stack;               /* owned; may be NULL */
    struct snapfile_shown *shown; /* owned; NULL: the native stack */
    size_t n_shown;
};

struct snapfile {
    struct modules modules;
    struct snapfile_process *processes; /* owned */
    size_t n_processes, cap_processes;
    struct snapfile_item *items; /* owned */
    size_t n_items, cap_items;
};

void snapfile_release(struct snapfile *s);
void snapfile_free_shown(struct snapfile_shown *shown, size_t n);

/* The mappings of pid, or NULL. */
const struct mappings *snapfile_maps(const struct snapfile *s, pid_t pid);

/*
 * Writes s, whose parts may all be borrowed. The modules' bytes are read here: their files must be
 * open. 0, or the negative errno of the write that failed.
 */
int snapfile_write(FILE *to, const struct snapfile *s, struct error *err);

/* -EBADMSG for anything but a whole file of this format, -E2BIG past 1 GiB; nothing is left then.
 */
int snapfile_read(FILE *from, struct snapfile *ret_file, struct error *err);

#endif

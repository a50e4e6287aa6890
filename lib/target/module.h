/* SPDX-License-Identifier: MIT */
#ifndef TARGET_MODULE_H
#define TARGET_MODULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A module: one ELF file (or the vDSO) that a target has mapped. Plain data and its bytes: the
 * unwinder and the symbolizer read modules, and never learn whether the bytes come from an open
 * file, from memory, or from a saved snapshot.
 *
 * Three kinds of address, never mixed: addr (in the target), vaddr (in the ELF file, as its
 * symbols say), off (in the file).
 */

/* A PT_LOAD segment. */
struct module_load {
    uint64_t off, file_bytes, vaddr;
    uint32_t flags; /* PF_R, PF_W, PF_X */
};

enum { MODULE_BUILD_ID_MAX = 64, MODULE_LOADS_MAX = 64 };

/* A piece of a file's bytes, in memory. */
struct module_piece {
    uint64_t off, bytes;
    uint8_t *data; /* owned by the module */
};

struct module {
    uint32_t id; /* place in struct modules, from 0 */
    char *path;  /* owned; as the target's mappings name it, unescaped; "[vdso]" for the vDSO */
    uint64_t dev, ino;
    uint64_t file_bytes; /* size of the file */

    /* Where the bytes come from: fd >= 0, or else pieces sorted by off. */
    int fd; /* owned, O_RDONLY, a regular file */
    struct module_piece *pieces;
    size_t n_pieces;

    /* Filled by module_read_headers(); n_loads == 0 where the file is no x86-64 ELF file. */
    struct module_load loads[MODULE_LOADS_MAX];
    size_t n_loads;
    bool position_independent;                       /* ET_DYN */
    uint64_t eh_frame_hdr_vaddr, eh_frame_hdr_bytes; /* PT_GNU_EH_FRAME; bytes 0: none */
    uint8_t build_id[MODULE_BUILD_ID_MAX];
    size_t build_id_bytes; /* 0: none */
    char trouble[160];     /* why there are no bytes or no headers; "" if all is well */

    /* While not NULL, module_read() notes here which 4 KiB pages it was asked for (bit per page);
     * owned, sized by file_bytes. A saved snapshot carries just these. */
    uint8_t *touched;
};

/*
 * Copies bytes of the file: all of them or none. 0, -EFAULT where the file has no such bytes
 * (truncated, or not saved in the snapshot). Never faults on a file that shrinks.
 */
int module_read(struct module *m, void *dst, size_t bytes, uint64_t off);

/* As module_read() but by vaddr, through the PT_LOAD segments. */
int module_read_vaddr(struct module *m, void *dst, size_t bytes, uint64_t vaddr);

/* false where no segment with file bytes covers it */
bool module_vaddr_of_off(const struct module *m, uint64_t off, uint64_t *ret_vaddr);
bool module_off_of_vaddr(const struct module *m, uint64_t vaddr, uint64_t *ret_off);

/* Parses the ELF header, program headers and build-id. -EBADMSG with m->trouble set. */
int module_read_headers(struct module *m);

/* Basename of the path, for display; "(deleted)" is cut off. Borrowed into buf. */
const char *module_short_name(const struct module *m, char *buf, size_t buf_bytes);

/* "ab12": lower case, cut to what buf holds. */
void module_hex(const uint8_t *bytes, size_t n, char *buf, size_t buf_bytes);

/* "" where it has none; else lower case, as the debug files' names have it. */
void module_build_id_hex(const struct module *m, char *buf, size_t buf_bytes);

/* What one run keeps of a target's: 3 KiB and an open file each. */
enum { MODULES_KEPT_MAX = 8192 };

/* All modules of a run, each file once. Modules live as long as the table. */
struct modules {
    struct module **items; /* owned */
    size_t n, cap;
    struct module *other; /* one of them; NULL until a limit asks for it */
    uint64_t folded;      /* how often it was handed out */
};

void modules_release(struct modules *t);

/* The module with this identity, or NULL. Matches dev, ino and path. */
struct module *modules_find(const struct modules *t, uint64_t dev, uint64_t ino, const char *path);

/* Adds an empty one: fd -1, no pieces. Whoever adds what a target can make asks first. */
struct module *modules_add(struct modules *t, uint64_t dev, uint64_t ino, const char *path);
bool modules_full(const struct modules *t);

/* The one called "[other]", in place of whatever a limit keeps out: no bytes of its file can be
 * read, and its vaddr are offsets in the file. */
struct module *modules_other(struct modules *t);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef TARGET_MAPPINGS_H
#define TARGET_MAPPINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "target/module.h"

/* One line of /proc/PID/maps: plain data. */
struct mapping {
    uint64_t start, end; /* addr, end excluded */
    uint64_t off;        /* in the file */
    uint64_t dev, ino;   /* 0, 0: no file */
    unsigned prot;       /* PROT_READ | PROT_WRITE | PROT_EXEC */
    bool shared;
    char *path; /* owned; NULL where anonymous; "[stack]", "[vdso]", "/memfd:x (deleted)" */
    struct module
        *module; /* borrowed from a struct modules; NULL unless executable and of a file */
};

/* Past either, further mappings are left out: what lies there is unmapped to whoever asks. */
enum {
    MAPPINGS_MAX = 1 << 17, /* twice the kernel's vm.max_map_count, as it comes */
    MAPPINGS_PATH_BYTES_MAX = 32 << 20,
};

/* Sorted by start, without overlaps. */
struct mappings {
    struct mapping *items; /* owned */
    size_t n, cap;
    size_t path_bytes; /* of all items */
};

void mappings_release(struct mappings *t);

/* The mapping that covers addr, or NULL. Holds until the table changes. */
const struct mapping *mappings_find(const struct mappings *t, uint64_t addr);

/* Parses one line, without its newline. -EBADMSG on anything malformed. Owns nothing on failure. */
int mapping_parse(const char *line, size_t line_bytes, struct mapping *ret_mapping);

/* Takes the mapping, replacing whatever it overlaps. False where the table is full: it is dropped.
 */
bool mappings_put(struct mappings *t, struct mapping *take);

/* The vaddr in m->module that addr shows; false without module or segment. */
bool mapping_vaddr(const struct mapping *m, uint64_t addr, uint64_t *ret_vaddr);

#endif

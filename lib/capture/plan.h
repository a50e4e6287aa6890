/* SPDX-License-Identifier: MIT */
#ifndef CAPTURE_PLAN_H
#define CAPTURE_PLAN_H

#include "target/process.h"
#include "target/snapshot.h"

/*
 * Memory to be copied in the same moment as a thread's stack: fixed ranges, the records of linked
 * lists, and where that is wanted the objects that they refer to. Records and objects are copied by
 * the page, so that neighbours come along. All is bounded by SNAPSHOT_PIECES_MAX and
 * SNAPSHOT_PIECES_BYTES.
 */
struct copy_chain {
    uint64_t head_addr; /* of the pointer to the first record */
    uint32_t hop;       /* unless COPY_NO_HOP: that pointer leads to the true one, at this offset */
    uint32_t next_off;  /* in a record, of the pointer to the next */
    uint32_t record_bytes; /* at most COPY_RECORD_MAX_BYTES */
    bool has_refs;         /* copy_plan.refs are those of its records */
};
#define COPY_NO_HOP UINT32_MAX

enum {
    COPY_RANGES_MAX = 8,
    COPY_CHAINS_MAX = 8,
    COPY_PARTS_MAX = 3,
    COPY_RECORD_MAX_BYTES = 256,
    COPY_OBJECT_MAX_BYTES = 512,
    COPY_RECORDS_MAX = 2048
};

/* What the records of a chain refer to: an object each, and the parts that it points to itself. */
struct copy_refs {
    bool wanted;      /* turned on and off by the owner as it goes */
    uint32_t ref_off; /* in a record, of the pointer to the object, whose low 3 bits don't count */
    uint32_t object_bytes;              /* at most COPY_OBJECT_MAX_BYTES */
    uint32_t part_offs[COPY_PARTS_MAX]; /* in the object, of pointers to its parts */
    uint32_t part_bytes;                /* as much of each as is copied */
};

struct copy_range {
    uint64_t addr;
    size_t bytes;
};

struct copy_plan {
    struct copy_range ranges[COPY_RANGES_MAX];
    size_t n_ranges;
    struct copy_chain chains[COPY_CHAINS_MAX];
    size_t n_chains;
    bool cut;                     /* there were more than have room here */
    const struct copy_refs *refs; /* borrowed; NULL: of no chain */
    /* Private mappings of this file are read too; other memory must be anonymous. 0: none. */
    uint64_t file_dev, file_ino;
};

/*
 * Fills the pieces of snap, whose stack has been copied already; buf holds SNAPSHOT_PIECES_BYTES.
 * What can't be read is left out; what a limit leaves out is told by pieces_cut. No allocation:
 * made for the time that a thread stands still. plan may be NULL.
 */
void plan_copy(const struct copy_plan *plan, const struct process *p, uint8_t *buf,
               struct snapshot *snap);

/* May memory that lies there be read, without a file system's server having a say in it? Anonymous
 * memory, and private mappings of one file. */
bool plan_may_read(const struct memory_region *region, uint64_t file_dev, uint64_t file_ino);

/* Copies from the stack and the pieces of a snapshot; false where they don't hold all of it. */
bool plan_find(const struct snapshot *snap, void *dst, size_t bytes, uint64_t addr);

#endif

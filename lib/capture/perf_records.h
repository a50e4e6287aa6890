/* SPDX-License-Identifier: MIT */
#ifndef CAPTURE_PERF_RECORDS_H
#define CAPTURE_PERF_RECORDS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "target/snapshot.h"

/*
 * The records that the kernel writes for a perf event (perf_event_open(2), "MMAP layout"), with
 * PERF_SAMPLE_TID, TIME, CALLCHAIN, REGS_USER and STACK_USER. The bytes are the kernel's, but what
 * it copied from the target's stack is not looked at here; lengths are checked all the same.
 */

/* PERF_REG_X86_* of asm/perf_regs.h: AX BX CX DX SI DI BP SP IP and R8 to R15. */
#define PERF_REGS_MASK UINT64_C(0xff01ff)

/* Where the next record is to be read: the data of a ring, whose size is a power of two. */
struct perf_reader {
    const uint8_t *data;
    size_t data_bytes;
    uint64_t head; /* written up to there; counts on past the ring's end, as does tail */
    uint64_t tail; /* read up to there */
};

enum perf_kind {
    PERF_NOTHING, /* no more at present */
    PERF_SAMPLED, /* the snapshot is filled, but for its state; of a call chain the frames
                     of the kernel */
    PERF_NO_REGS, /* a sample without the registers of 64-bit user code: nothing to walk */
    PERF_LOST,    /* records that found no room: how many is in `lost` */
    PERF_EXECED,  /* the thread has become another program */
    PERF_OTHER,
    PERF_SPOILT, /* no record as we know them: all that was there is skipped */
};

struct perf_record {
    enum perf_kind kind;
    uint64_t lost;
    uint64_t kernel[SNAPSHOT_KERNEL_MAX]; /* borrowed by the snapshot */
    struct snapshot snapshot;
};

enum { PERF_RECORD_MAX_BYTES = 65536 }; /* its size is a uint16_t */

/*
 * Reads the next record into *ret, and moves the tail past it. A sample's stack is copied to buf,
 * which holds PERF_RECORD_MAX_BYTES and is borrowed by the snapshot.
 */
enum perf_kind perf_records_next(struct perf_reader *r, uint8_t *buf, struct perf_record *ret);

#endif

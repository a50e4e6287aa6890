/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_CFI_READER_H
#define UNWIND_CFI_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reads bytes in order. The first read that goes past the end, or makes no sense, sets bad; from
 * then on every read gives 0.
 */
struct cfi_reader {
    const uint8_t *bytes; /* borrowed */
    uint64_t vaddr;       /* of bytes[0]: pc-relative pointers count from there */
    size_t at, end;       /* in bytes */
    bool bad;
};

/* DW_EH_PE_*: how .eh_frame writes a pointer (LSB 5.0 Core, 10.5.1). */
enum {
    ENC_PTR = 0x00,
    ENC_UDATA2 = 0x02,
    ENC_UDATA4 = 0x03,
    ENC_UDATA8 = 0x04,
    ENC_SDATA2 = 0x0a,
    ENC_SDATA4 = 0x0b,
    ENC_SDATA8 = 0x0c,
    ENC_FORMAT_MASK = 0x0f,
    ENC_PCREL = 0x10,
    ENC_DATAREL = 0x30,
    ENC_BASE_MASK = 0x70,
    ENC_INDIRECT = 0x80,
    ENC_OMIT = 0xff
};

uint64_t cfi_read_uint(struct cfi_reader *r, unsigned bytes);
uint64_t cfi_read_uleb(struct cfi_reader *r);
int64_t cfi_read_sleb(struct cfi_reader *r);

/* The bytes skipped, or NULL where they are not all there. */
const uint8_t *cfi_skip(struct cfi_reader *r, uint64_t bytes);

/* Absolute and pc-relative pointers only; DW_EH_PE_indirect is not followed. */
uint64_t cfi_read_pointer(struct cfi_reader *r, unsigned encoding);

#endif

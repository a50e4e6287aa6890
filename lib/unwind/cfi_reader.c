/* SPDX-License-Identifier: MIT */
#include "unwind/cfi_reader.h"

#include <string.h>

enum { LEB_BYTES_MAX = 10 };

const uint8_t *cfi_skip(struct cfi_reader *r, uint64_t bytes)
{
    if (r->bad || r->at > r->end || bytes > r->end - r->at) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *from = r->bytes + r->at;
    r->at += bytes;
    return from;
}

uint64_t cfi_read_uint(struct cfi_reader *r, unsigned bytes)
{
    uint64_t v = 0;
    const uint8_t *from = cfi_skip(r, bytes);
    if (from)
        memcpy(&v, from, bytes);
    return v;
}

/* Bits beyond the 64th are dropped, as libunwind and libgcc do. */
static uint64_t read_leb(struct cfi_reader *r, unsigned *ret_bits, bool *ret_negative)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < LEB_BYTES_MAX; i++) {
        uint64_t byte = cfi_read_uint(r, 1);
        v |= (byte & 0x7f) << (7 * i);
        *ret_bits = 7 * (i + 1);
        *ret_negative = byte & 0x40;
        if (!(byte & 0x80))
            return v;
    }
    r->bad = true;
    return 0;
}

uint64_t cfi_read_uleb(struct cfi_reader *r)
{
    unsigned bits;
    bool negative;
    return read_leb(r, &bits, &negative);
}

int64_t cfi_read_sleb(struct cfi_reader *r)
{
    unsigned bits;
    bool negative;
    uint64_t v = read_leb(r, &bits, &negative);
    if (negative && bits < 64)
        v |= UINT64_MAX << bits;
    return (int64_t)v;
}

static uint64_t sign_extend(uint64_t v, unsigned bytes)
{
    unsigned shift = 64 - 8 * bytes;
    return (uint64_t)((int64_t)(v << shift) >> shift);
}

uint64_t cfi_read_pointer(struct cfi_reader *r, unsigned encoding)
{
    uint64_t base = 0, v = 0;
    if ((encoding & ENC_BASE_MASK) == ENC_PCREL)
        base = r->vaddr + r->at;
    else if ((encoding & ENC_BASE_MASK) != 0)
        r->bad = true;
    switch (encoding & ENC_FORMAT_MASK) {
    case ENC_PTR:
    case ENC_UDATA8:
    case ENC_SDATA8:
        v = cfi_read_uint(r, 8);
        break;
    case ENC_UDATA4:
        v = cfi_read_uint(r, 4);
        break;
    case ENC_SDATA4:
        v = sign_extend(cfi_read_uint(r, 4), 4);
        break;
    case ENC_UDATA2:
        v = cfi_read_uint(r, 2);
        break;
    case ENC_SDATA2:
        v = sign_extend(cfi_read_uint(r, 2), 2);
        break;
    default:
        r->bad = true;
    }
    return r->bad ? 0 : base + v;
}

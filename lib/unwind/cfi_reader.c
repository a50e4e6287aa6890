/* SPDX-License-Identifier: MIT */
#include "unwind/cfi_reader.h"

enum { LEB_BYTES_MAX = 10 };

uint64_t cfi_read_uint(struct cfi_reader *r, unsigned bytes)
{
    uint64_t v = 0;
    if (r->bad || r->at > r->end || bytes > r->end - r->at ||
        pages_read_vaddr(r->pages, r->module, &v, bytes, r->at) < 0) {
        r->bad = true;
        return 0;
    }
    r->at += bytes;
    return v;
}

uint64_t cfi_read_uleb(struct cfi_reader *r)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < LEB_BYTES_MAX; i++) {
        uint64_t byte = cfi_read_uint(r, 1);
        v |= (byte & 0x7f) << (7 * i);
        if (!(byte & 0x80))
            return v;
    }
    r->bad = true;
    return 0;
}

void cfi_skip(struct cfi_reader *r, uint64_t bytes)
{
    if (r->bad || r->at > r->end || bytes > r->end - r->at)
        r->bad = true;
    else
        r->at += bytes;
}

void cfi_skip_leb(struct cfi_reader *r)
{
    (void)cfi_read_uleb(r);
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
        base = r->at;
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

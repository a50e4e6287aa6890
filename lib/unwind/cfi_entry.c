/* SPDX-License-Identifier: MIT */
#include "unwind/cfi_entry.h"

#include <errno.h>

static const uint64_t long_form = 0xffffffff; /* DWARF 5, 7.4: a 64-bit length follows */

bool cfi_entry_open(struct cfi_reader r, enum cfi_form form, struct cfi_entry *ret_entry)
{
    unsigned width = 4;
    uint64_t bytes = cfi_read_uint(&r, 4);
    if (bytes == long_form && form == CFI_DEBUG_FRAME) {
        bytes = cfi_read_uint(&r, 8);
        width = 8;
    }
    size_t id_at = r.at;
    if (r.bad || bytes < width || bytes > CFI_ENTRY_BYTES_MAX || bytes > r.end - id_at)
        return false;
    r.end = id_at + bytes;
    uint64_t id = cfi_read_uint(&r, width), here = r.vaddr + id_at;
    if (form == CFI_EH_FRAME) {
        if (id > here)
            return false;
        *ret_entry = (struct cfi_entry){.body = r, .is_cie = !id, .cie = here - id};
    } else {
        bool is_cie = id == (width == 8 ? UINT64_MAX : UINT32_MAX);
        *ret_entry = (struct cfi_entry){.body = r, .is_cie = is_cie, .cie = id};
    }
    return true;
}

/* "zPLRS": all that compilers write; what we don't know would leave the rest unreadable. */
static bool augmentation_read(struct cfi_reader *r, char *aug, size_t aug_bytes)
{
    for (size_t i = 0; i < aug_bytes; i++) {
        aug[i] = (char)cfi_read_uint(r, 1);
        if (!aug[i])
            return !r->bad && (!i || aug[0] == 'z');
    }
    return false;
}

static bool augmentation_apply(struct cfi_reader *r, const char *aug, struct cfi_cie *cie)
{
    for (; *aug; aug++) {
        if (*aug == 'R')
            cie->terms.pointer_encoding = (unsigned)cfi_read_uint(r, 1);
        else if (*aug == 'L')
            (void)cfi_read_uint(r, 1); /* how FDEs point to their exception tables */
        else if (*aug == 'P')
            (void)cfi_read_pointer(r, (unsigned)cfi_read_uint(r, 1) & ~(unsigned)ENC_INDIRECT);
        else if (*aug == 'S')
            cie->signal_frame = true;
        else
            return false;
    }
    return !r->bad && !(cie->terms.pointer_encoding & ENC_INDIRECT);
}

/* What DWARF 4 has put behind the augmentation string. */
static bool is_flat_64_bit(struct cfi_reader *r)
{
    uint64_t address_bytes = cfi_read_uint(r, 1), segment_bytes = cfi_read_uint(r, 1);
    return address_bytes == 8 && segment_bytes == 0;
}

int cfi_cie_read(const struct cfi_entry *e, enum cfi_form form, struct cfi_cie *ret_cie)
{
    struct cfi_cie cie = {.terms.pointer_encoding = ENC_PTR};
    struct cfi_reader r = e->body;
    char aug[8];
    uint64_t version = cfi_read_uint(&r, 1);
    bool known = version == 1 || version == 3 || (version == 4 && form == CFI_DEBUG_FRAME);
    if (!e->is_cie || !known || !augmentation_read(&r, aug, sizeof(aug)) ||
        (version == 4 && !is_flat_64_bit(&r)))
        return -EBADMSG;
    cie.terms.code_align = cfi_read_uleb(&r);
    cie.terms.data_align = cfi_read_sleb(&r);
    uint64_t return_column = version == 1 ? cfi_read_uint(&r, 1) : cfi_read_uleb(&r);
    cie.sized = aug[0] == 'z';
    if (cie.sized) {
        uint64_t bytes = cfi_read_uleb(&r), from = r.at;
        if (!augmentation_apply(&r, aug + 1, &cie) || r.at - from != bytes)
            return -EBADMSG;
    }
    if (r.bad || return_column != DWREG_RIP || cfi_run_initial(r, &cie.terms, &cie.initial) < 0)
        return -EBADMSG;
    *ret_cie = cie;
    return 0;
}

bool cfi_fde_range(struct cfi_entry *e, const struct cfi_cie *cie, uint64_t *ret_start,
                   uint64_t *ret_end)
{
    unsigned encoding = cie->terms.pointer_encoding;
    uint64_t start = cfi_read_pointer(&e->body, encoding);
    uint64_t bytes = cfi_read_pointer(&e->body, encoding & ENC_FORMAT_MASK);
    *ret_start = start;
    return !e->body.bad && !__builtin_add_overflow(start, bytes, ret_end);
}

bool cfi_fde_program(struct cfi_entry *e, const struct cfi_cie *cie)
{
    if (cie->sized)
        (void)cfi_skip(&e->body, cfi_read_uleb(&e->body));
    return !e->body.bad;
}

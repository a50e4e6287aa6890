/* SPDX-License-Identifier: MIT */
#include "unwind/call_site.h"

#include <string.h>

enum { CALL_REL32 = 0xe8, CALL_REL32_BYTES = 5, GROUP5 = 0xff, GROUP5_CALL = 2, LONGEST = 7 };

/* Bytes of an instruction with ModRM and without immediate (Intel SDM 2, 2.1.3 and 2.1.5). */
static unsigned modrm_bytes(const uint8_t *code)
{
    unsigned mod = code[1] >> 6, rm = code[1] & 7, sib = mod != 3 && rm == 4;
    bool bare_disp = mod == 0 && (rm == 5 || (sib && (code[2] & 7) == 5));
    unsigned disp = mod == 1 ? 1 : mod == 2 || bare_disp ? 4 : 0;
    return 2 + sib + disp;
}

enum call_site call_site_before(struct pages *p, struct module *m, uint64_t vaddr,
                                uint64_t *ret_target)
{
    int32_t distance;
    uint8_t code[LONGEST + 1] = {0}; /* modrm_bytes() looks one byte ahead for a SIB */
    const uint8_t *end = code + LONGEST;
    if (vaddr < LONGEST || pages_read_vaddr(p, m, code, LONGEST, vaddr - LONGEST) < 0)
        return CALL_NONE;
    if (end[-CALL_REL32_BYTES] == CALL_REL32) {
        memcpy(&distance, end - sizeof(distance), sizeof(distance));
        *ret_target = vaddr + (uint64_t)(int64_t)distance;
        return CALL_DIRECT;
    }
    for (unsigned n = 2; n <= LONGEST; n++) {
        const uint8_t *at = end - n;
        if (at[0] == GROUP5 && (at[1] >> 3 & 7) == GROUP5_CALL && modrm_bytes(at) == n)
            return CALL_INDIRECT;
    }
    return CALL_NONE;
}

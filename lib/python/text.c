/* SPDX-License-Identifier: MIT */
#include "python/text.h"

#include <errno.h>
#include <string.h>

/* Bits of PyASCIIObject.state above the kind: Include/cpython/unicodeobject.h */
enum { KIND_MASK = 7, COMPACT = 1 << 3, ASCII = 1 << 4 };

static size_t put_utf8(char *to, uint32_t c)
{
    if (c >= 0xdc80 && c <= 0xdcff) {
        to[0] = (char)(c & 0xff);
        return 1;
    }
    if (!c || (c >= 0xd800 && c <= 0xdfff) || c > 0x10ffff)
        c = 0xfffd;
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        to[0] = (char)(0xc0 | c >> 6);
        to[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        to[0] = (char)(0xe0 | c >> 12);
        to[1] = (char)(0x80 | (c >> 6 & 0x3f));
        to[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    to[0] = (char)(0xf0 | c >> 18);
    to[1] = (char)(0x80 | (c >> 12 & 0x3f));
    to[2] = (char)(0x80 | (c >> 6 & 0x3f));
    to[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

static uint32_t char_at(const uint8_t *data, unsigned kind, size_t i)
{
    uint32_t c = 0;
    memcpy(&c, data + i * kind, kind); /* little-endian */
    return c;
}

int python_text(const struct python_memory *m, const struct python_layout *l, uint64_t addr,
                char *ret_text)
{
    uint8_t data[4 * PYTHON_TEXT_CHARS_MAX];
    uint64_t length;
    uint32_t state;
    if (python_read_u64(m, addr + l->unicode_length, &length) < 0 ||
        python_read(m, &state, sizeof(state), addr + l->unicode_state) < 0)
        return -EFAULT;
    state >>= l->unicode_kind_shift;
    unsigned kind = state & KIND_MASK;
    if ((kind != 1 && kind != 2 && kind != 4) || !(state & COMPACT) || length > INT32_MAX)
        return -EBADMSG;
    size_t n = length < PYTHON_TEXT_CHARS_MAX ? (size_t)length : PYTHON_TEXT_CHARS_MAX;
    uint64_t start = addr + (state & ASCII ? l->unicode_ascii : l->unicode_compact);
    if (n && python_read(m, data, n * kind, start) < 0)
        return -EFAULT;
    char *p = ret_text;
    for (size_t i = 0; i < n; i++)
        p += put_utf8(p, char_at(data, kind, i));
    memcpy(p, length > n ? "..." : "", length > n ? 4 : 1);
    return 0;
}

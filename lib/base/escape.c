/* SPDX-License-Identifier: MIT */
#include "base/escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static uint32_t decode(const unsigned char *s, size_t len)
{
    if (len == 1)
        return s[0];
    uint32_t c = s[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++)
        c = c << 6 | (s[i] & 0x3f);
    return c;
}

size_t escape_utf8_len(const char *text, size_t bytes)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *s = (const unsigned char *)text;
    if (!bytes)
        return 0;
    size_t len = s[0] < 0x80 ? 1 : (s[0] & 0xe0) == 0xc0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : 4;
    if (len == 4 && (s[0] & 0xf8) != 0xf0)
        return 0;
    if (len > bytes)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    uint32_t c = decode(s, len);
    bool overlong = c < least[len], surrogate = c >= 0xd800 && c <= 0xdfff;
    return overlong || surrogate || c > 0x10ffff ? 0 : len;
}

static bool hides_or_reorders(uint32_t c)
{
    return c == 0xad || c == 0x61c || c == 0x180e || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x2069) || c == 0xfeff ||
           (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

static bool plain(const char *s, size_t len, const char *extra)
{
    if (!len)
        return false;
    uint32_t c = decode((const unsigned char *)s, len);
    if (c < 0x20 || (c >= 0x7f && c < 0xa0) || hides_or_reorders(c))
        return false;
    return c >= 0x80 || !extra || !strchr(extra, (int)c);
}

size_t escape_text(char *dst, size_t dst_bytes, const char *src, const char *extra)
{
    static const char hex[] = "0123456789abcdef";
    size_t n = 0, left = strlen(src);
    while (left && dst_bytes) {
        size_t len = escape_utf8_len(src, left);
        bool ok = plain(src, len, extra);
        size_t take = len ? len : 1, need = ok ? take : 4 * take;
        if (n + need + 1 > dst_bytes)
            break;
        for (size_t i = 0; i < take; i++) {
            unsigned char c = (unsigned char)src[i];
            if (ok) {
                dst[n++] = src[i];
                continue;
            }
            dst[n++] = '\\';
            dst[n++] = 'x';
            dst[n++] = hex[c >> 4];
            dst[n++] = hex[c & 15];
        }
        src += take;
        left -= take;
    }
    if (dst_bytes)
        dst[n] = '\0';
    return n;
}

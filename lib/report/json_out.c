/* SPDX-License-Identifier: MIT */
#include "report/json_out.h"

#include <string.h>

#include "base/escape.h"

static void separate(struct json *j)
{
    if (j->comma)
        putc_unlocked(',', j->out);
    j->comma = true;
}

void json_open(struct json *j, char bracket)
{
    separate(j);
    putc_unlocked(bracket, j->out);
    j->comma = false;
}

void json_close(struct json *j, char bracket)
{
    putc_unlocked(bracket, j->out);
    j->comma = true;
}

void json_word(struct json *j, const char *word)
{
    separate(j);
    fputs_unlocked(word, j->out);
}

void json_decimal(struct json *j, const char *number)
{
    json_word(j, number);
}

/* Most of a large profile is numbers: printf, or a call for the comma, would take most of its time.
 */
void json_number(struct json *j, uint64_t value)
{
    char digits[24], *end = digits + sizeof(digits), *at = end;
    do
        *--at = (char)('0' + value % 10);
    while (value /= 10);
    if (j->comma)
        *--at = ',';
    j->comma = true;
    fwrite_unlocked(at, 1, (size_t)(end - at), j->out);
}

void json_signed(struct json *j, int64_t value)
{
    if (value >= 0) {
        json_number(j, (uint64_t)value);
        return;
    }
    separate(j);
    putc_unlocked('-', j->out);
    j->comma = false;
    json_number(j, -(uint64_t)value);
}

static void put_unit(FILE *out, uint32_t unit)
{
    static const char hex[] = "0123456789abcdef";
    fputs_unlocked("\\u", out);
    for (int shift = 12; shift >= 0; shift -= 4)
        putc_unlocked(hex[unit >> shift & 15], out);
}

static uint32_t decode(const char *s, size_t len)
{
    uint32_t c = (unsigned char)s[0] & (len == 1 ? 0x7fu : 0x7fu >> len);
    for (size_t i = 1; i < len; i++)
        c = c << 6 | ((unsigned char)s[i] & 0x3f);
    return c;
}

/* UTF-16, beyond 0xffff in two halves. */
static void put_code(FILE *out, uint32_t c)
{
    if (c > 0xffff)
        put_unit(out, 0xd800 + ((c - 0x10000) >> 10));
    put_unit(out, c > 0xffff ? 0xdc00 + ((c - 0x10000) & 0x3ff) : c);
}

/* What escape_text() would show as bytes can be written whole here. */
static void put_char(FILE *out, const char *s, size_t len)
{
    char one[5] = {0}, shown[24];
    memcpy(one, s, len);
    bool plain = escape_text(shown, sizeof(shown), one, "<>&") == len;
    if (plain && (*s == '"' || *s == '\\'))
        putc_unlocked('\\', out);
    if (plain)
        fwrite_unlocked(s, 1, len, out);
    else
        put_code(out, decode(s, len));
}

void json_text(struct json *j, const char *text)
{
    separate(j);
    putc_unlocked('"', j->out);
    for (size_t left = strlen(text), len; left; text += len, left -= len) {
        len = escape_utf8_len(text, left);
        if (len) {
            put_char(j->out, text, len);
            continue;
        }
        fprintf(j->out, "\\\\x%02x", (unsigned char)*text);
        len = 1;
    }
    putc_unlocked('"', j->out);
}

void json_key(struct json *j, const char *key)
{
    json_text(j, key);
    putc_unlocked(':', j->out);
    j->comma = false;
}

void json_number_at(struct json *j, const char *key, uint64_t value)
{
    json_key(j, key);
    json_number(j, value);
}

void json_text_at(struct json *j, const char *key, const char *text)
{
    json_key(j, key);
    json_text(j, text);
}

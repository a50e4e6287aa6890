/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/escape.h"
#include "report/text_lines.h"

enum { NAME_COLUMNS_MIN = 10 }; /* of the last field, however little room is left */

void text_put(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vfprintf(t->out, fmt, ap);
    va_end(ap);
    t->column += n > 0 ? (size_t)n : 0;
}

void text_end_line(struct text *t)
{
    fputc('\n', t->out);
    t->lines += t->opt->width && t->column ? 1 + (t->column - 1) / t->opt->width : 1;
    t->column = 0;
}

void text_put_count(struct text *t, uint64_t n, const char *noun)
{
    text_put(t, "%" PRIu64 " %s%s", n, noun, n == 1 ? "" : "s");
}

bool text_has_block(const struct text *t, enum profile_state state)
{
    return state == PROFILE_CPU || !t->tab.p->cpu_only || t->samples[state];
}

/* CJK, emoji and their like take two columns; all from Hangul on is taken for such, save the
 * punctuation and symbols between: better cut too early than wrapped. */
static size_t columns_at(const char *s, size_t bytes)
{
    unsigned char lead = (unsigned char)s[0];
    return bytes == 4 || (bytes == 3 && lead >= 0xe1 && lead != 0xe2) ? 2 : 1;
}

static size_t char_at(const char *s)
{
    size_t bytes = escape_utf8_len(s, strnlen(s, 4));
    return bytes ? bytes : 1;
}

size_t text_columns(const char *s)
{
    size_t columns = 0;
    for (size_t n; *s; s += n) {
        n = char_at(s);
        columns += columns_at(s, n);
    }
    return columns;
}

/* Puts "first half...second half" of a label that is wider than `columns`. */
static void put_cut(FILE *out, const char *s, size_t columns)
{
    size_t all = text_columns(s), head = (columns - 1) / 2, tail = columns - 1 - head;
    const char *end = s;
    for (size_t used = 0, n; used + columns_at(end, n = char_at(end)) <= head; end += n)
        used += columns_at(end, n);
    const char *rest = s;
    for (size_t n; all > tail; rest += n) {
        n = char_at(rest);
        all -= columns_at(rest, n);
    }
    fprintf(out, "%.*s\u2026%s", (int)(end - s), s, rest);
}

void text_put_label(struct text *t, const char *label)
{
    size_t width = t->opt->width, columns = text_columns(label), left = NAME_COLUMNS_MIN;
    if (width > t->column + left)
        left = width - t->column;
    if (!width || columns <= left)
        fputs(label, t->out);
    else
        put_cut(t->out, label, left);
    t->column += columns <= left ? columns : left;
    text_end_line(t);
}

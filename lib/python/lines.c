/* SPDX-License-Identifier: MIT */
#include "python/lines.h"

#include <stdlib.h>

#include "base/mem.h"

/* Lines are 32 bits wide, and a hostile table may add up to anything. */
static void add(struct python_line_table *t, uint64_t start, int64_t line)
{
    if (start > UINT32_MAX || line <= 0 || line > INT32_MAX)
        return;
    struct python_line item = {.start = (uint32_t)start, .line = (uint32_t)line};
    if (t->n && t->items[t->n - 1].line == item.line)
        return;
    if (t->n && t->items[t->n - 1].start == item.start) {
        t->items[t->n - 1] = item;
        return;
    }
    t->items = mem_grow(t->items, &t->cap, t->n + 1, sizeof(*t->items));
    t->items[t->n++] = item;
}

/* Pairs: bytes of code, unsigned, then lines, signed. */
static void decode_lnotab(const uint8_t *p, size_t bytes, int64_t line, struct python_line_table *t)
{
    uint64_t at = 0;
    for (size_t i = 0; i + 1 < bytes; i += 2) {
        at += p[i];
        line += (int8_t)p[i + 1];
        if (p[i + 1])
            add(t, at, line);
    }
}

/* Pairs: bytes of code that follow, and their line less that before; -128 for none. */
static void decode_3_10(const uint8_t *p, size_t bytes, int64_t line, struct python_line_table *t)
{
    enum { NO_LINE = -128 };
    uint64_t at = 0;
    for (size_t i = 0; i + 1 < bytes; i += 2) {
        int8_t delta = (int8_t)p[i + 1];
        if (delta != NO_LINE) {
            line += delta;
            if (p[i])
                add(t, at, line);
        }
        at += p[i];
    }
}

/* Six bits a byte, the least first; 64 says that more follow; the lowest bit is the sign. */
static int64_t signed_varint(const uint8_t *p, size_t bytes, size_t *i)
{
    uint64_t value = 0;
    for (unsigned shift = 0; *i < bytes && shift < 36; shift += 6) {
        uint8_t byte = p[(*i)++];
        value |= (uint64_t)(byte & 63) << shift;
        if (!(byte & 64))
            break;
    }
    return value & 1 ? -(int64_t)(value >> 1) : (int64_t)(value >> 1);
}

/* A byte with bit 7 begins an entry: 4 bits of its kind, 3 of its length in code units less 1. */
static void decode_locations(const uint8_t *p, size_t bytes, int64_t line,
                             struct python_line_table *t)
{
    enum { ONE_LINE_0 = 10, ONE_LINE_2 = 12, NO_COLUMNS = 13, LONG = 14, NONE = 15, UNIT = 2 };
    uint64_t at = 0;
    for (size_t i = 0; i < bytes;) {
        unsigned kind = p[i] >> 3 & 15, units = (p[i] & 7) + 1u;
        i++;
        if (kind == NO_COLUMNS || kind == LONG)
            line += signed_varint(p, bytes, &i);
        else if (kind >= ONE_LINE_0 && kind <= ONE_LINE_2)
            line += kind - ONE_LINE_0;
        if (kind != NONE)
            add(t, at, line);
        at += (uint64_t)units * UNIT;
        while (i < bytes && !(p[i] & 128))
            i++;
    }
}

void python_lines_decode(enum python_lines how, const uint8_t *table, size_t bytes,
                         uint32_t first_line, struct python_line_table *ret)
{
    *ret = (struct python_line_table){0};
    add(ret, 0, first_line);
    switch (how) {
    case PYTHON_LNOTAB:
        decode_lnotab(table, bytes, first_line, ret);
        break;
    case PYTHON_LINETABLE_3_10:
        decode_3_10(table, bytes, first_line, ret);
        break;
    case PYTHON_LOCATIONS:
        decode_locations(table, bytes, first_line, ret);
        break;
    }
}

void python_lines_release(struct python_line_table *t)
{
    free(t->items);
    *t = (struct python_line_table){0};
}

uint32_t python_lines_find(const struct python_line_table *t, int64_t off, uint32_t first_line)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if ((int64_t)t->items[mid].start <= off)
            low = mid + 1;
        else
            high = mid;
    }
    return low ? t->items[low - 1].line : first_line;
}

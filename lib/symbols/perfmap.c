/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "symbols/symbols.h"

enum { TEXT_MAX_BYTES = 256 * 1024 * 1024, SYMBOLS_MAX = 4 * 1024 * 1024 };

struct range {
    uint64_t start, end;
    uint32_t name; /* in the names */
    uint32_t line; /* later lines win */
};

struct ranges {
    struct range *items; /* owned */
    size_t n, cap;
};

struct perfmap {
    struct ranges ranges; /* sorted, without overlaps */
    char *names;          /* owned; each terminated */
    size_t names_bytes, names_cap;
    size_t skipped;
};

static void push(struct ranges *r, struct range item)
{
    r->items = mem_grow(r->items, &r->cap, r->n + 1, sizeof(*r->items));
    r->items[r->n++] = item;
}

static bool hex_at(const char **p, const char *end, uint64_t *ret_value)
{
    const char *s = *p;
    if (end - s > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X'))
        s += 2;
    if (s == end || *s == ' ' || !parse_number_at(&s, end, 16, ret_value))
        return false;
    if (s == end || *s != ' ')
        return false;
    *p = s + 1;
    return true;
}

static bool parse_line(struct perfmap *p, struct ranges *lines, const char *s, const char *end)
{
    struct range r = {.line = (uint32_t)lines->n};
    uint64_t bytes;
    if (!hex_at(&s, end, &r.start) || !hex_at(&s, end, &bytes) || !bytes ||
        __builtin_add_overflow(r.start, bytes, &r.end))
        return false;
    size_t len = (size_t)(end - s);
    if (!len || memchr(s, '\0', len) || lines->n == SYMBOLS_MAX)
        return false;
    r.name = (uint32_t)p->names_bytes;
    p->names = mem_grow(p->names, &p->names_cap, p->names_bytes + len + 1, 1);
    memcpy(p->names + p->names_bytes, s, len);
    p->names[p->names_bytes + len] = '\0';
    p->names_bytes += len + 1;
    push(lines, r);
    return true;
}

static int compare(const void *pa, const void *pb)
{
    const struct range *a = pa, *b = pb;
    if (a->start != b->start)
        return a->start < b->start ? -1 : 1;
    return a->line < b->line ? -1 : a->line > b->line;
}

/* A heap of the ranges that cover the sweep's position, the latest line on top. */
static void heap_down(struct ranges *h, size_t i)
{
    for (;;) {
        size_t top = i, left = 2 * i + 1, right = left + 1;
        if (left < h->n && h->items[left].line > h->items[top].line)
            top = left;
        if (right < h->n && h->items[right].line > h->items[top].line)
            top = right;
        if (top == i)
            return;
        struct range swap = h->items[i];
        h->items[i] = h->items[top];
        h->items[top] = swap;
        i = top;
    }
}

static void heap_put(struct ranges *h, struct range item)
{
    push(h, item);
    for (size_t i = h->n - 1; i && h->items[(i - 1) / 2].line < h->items[i].line; i = (i - 1) / 2) {
        struct range swap = h->items[i];
        h->items[i] = h->items[(i - 1) / 2];
        h->items[(i - 1) / 2] = swap;
    }
}

static void heap_pop(struct ranges *h)
{
    h->items[0] = h->items[--h->n];
    heap_down(h, 0);
}

/* Appends [start, end) of the winner; pieces of one line that meet become one. */
static void emit(struct ranges *out, struct range r, uint64_t start, uint64_t end)
{
    struct range *last = out->n ? &out->items[out->n - 1] : NULL;
    if (last && last->line == r.line && last->end == start) {
        last->end = end;
        return;
    }
    r.start = start;
    r.end = end;
    push(out, r);
}

/*
 * [10,40) on line 1 and [20,30) on line 2 become [10,20) 1, [20,30) 2, [30,40) 1.
 * Each step either takes a line into the heap or drops one from it, so at most 2n pieces come out.
 */
static void sweep(const struct ranges *lines, struct ranges *out)
{
    struct ranges heap = {0};
    uint64_t at = 0;
    for (size_t i = 0; i < lines->n || heap.n;) {
        if (heap.n && heap.items[0].end <= at) {
            heap_pop(&heap);
            continue;
        }
        if (!heap.n && lines->items[i].start > at)
            at = lines->items[i].start;
        if (i < lines->n && lines->items[i].start <= at) {
            heap_put(&heap, lines->items[i++]);
            continue;
        }
        uint64_t end = heap.items[0].end;
        if (i < lines->n && lines->items[i].start < end)
            end = lines->items[i].start;
        emit(out, heap.items[0], at, end);
        at = end;
    }
    free(heap.items);
}

struct perfmap *perfmap_parse(const char *text, size_t bytes)
{
    struct perfmap *p = mem_alloc(sizeof(*p));
    struct ranges lines = {0};
    if (bytes > TEXT_MAX_BYTES)
        bytes = TEXT_MAX_BYTES;
    for (const char *s = text, *end = text + bytes; s < end;) {
        const char *newline = memchr(s, '\n', (size_t)(end - s));
        const char *line_end = newline ? newline : end;
        /* The JIT may be in the middle of writing the last line. */
        if (!newline || !parse_line(p, &lines, s, line_end))
            p->skipped++;
        s = line_end + 1;
    }
    if (lines.n)
        qsort(lines.items, lines.n, sizeof(*lines.items), compare);
    sweep(&lines, &p->ranges);
    free(lines.items);
    return p;
}

void perfmap_free(struct perfmap *p)
{
    if (!p)
        return;
    free(p->ranges.items);
    free(p->names);
    free(p);
}

const char *perfmap_find(const struct perfmap *p, uint64_t addr)
{
    size_t low = 0, high = p->ranges.n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (p->ranges.items[mid].start <= addr)
            low = mid + 1;
        else
            high = mid;
    }
    if (!low || addr >= p->ranges.items[low - 1].end)
        return NULL;
    return p->names + p->ranges.items[low - 1].name;
}

size_t perfmap_skipped(const struct perfmap *p)
{
    return p->skipped;
}

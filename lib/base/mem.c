/* SPDX-License-Identifier: MIT */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"

void *mem_alloc(size_t bytes)
{
    void *p = calloc(1, bytes ? bytes : 1);
    if (!p)
        die("out of memory");
    return p;
}

void *mem_resize(void *p, size_t bytes)
{
    void *q = realloc(p, bytes ? bytes : 1);
    if (!q)
        die("out of memory");
    return q;
}

char *mem_strdup(const char *s)
{
    return mem_strndup(s, strlen(s));
}

char *mem_strndup(const char *s, size_t len)
{
    char *copy = mem_alloc(len + 1);
    memcpy(copy, s, len);
    return copy;
}

char *mem_printf(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        die("out of memory");
    return text;
}

void *mem_grow(void *items, size_t *cap, size_t need, size_t elem_bytes)
{
    if (need <= *cap)
        return items;
    size_t grown = *cap + *cap / 2;
    if (grown < need)
        grown = need;
    if (grown < 8)
        grown = 8;
    size_t bytes;
    if (__builtin_mul_overflow(grown, elem_bytes, &bytes))
        die("out of memory: an array outgrew the address space");
    items = mem_resize(items, bytes);
    *cap = grown;
    return items;
}

void mem_cleanup_free(void *pointer_to_pointer)
{
    void *p;
    memcpy(&p, pointer_to_pointer, sizeof(p));
    free(p);
}

void mem_cleanup_close(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

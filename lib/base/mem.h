/* SPDX-License-Identifier: MIT */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

/*
 * Heap memory of sizes that we choose ourselves: these never return NULL, out of memory aborts.
 * A size read from a file or from the target must have been bounded before it gets here.
 */
void *mem_alloc(size_t bytes); /* zeroed */
void *mem_resize(void *p, size_t bytes);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t len);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Makes room for at least `need` elements of `elem_bytes` in a growing array: returns the possibly
 * moved array and updates *cap. Grows by half, so pushing is linear in total.
 *
 *     a->items = mem_grow(a->items, &a->cap, a->n + 1, sizeof(*a->items));
 *     a->items[a->n++] = item;
 */
void *mem_grow(void *items, size_t *cap, size_t need, size_t elem_bytes);

/* For `__attribute__((cleanup(...)))`: free(), close(), fclose() of an owned local. */
void mem_cleanup_free(void *pointer_to_pointer);
void mem_cleanup_close(const int *fd);
#define OX_FREE __attribute__((cleanup(mem_cleanup_free)))
#define OX_CLOSE __attribute__((cleanup(mem_cleanup_close)))

/* Returns *p and leaves NULL (or -1) behind, so that the cleanup does nothing. */
#define OX_TAKE(p)                    \
    __extension__({                   \
        __typeof__(p) ox_taken = (p); \
        (p) = NULL;                   \
        ox_taken;                     \
    })

#endif

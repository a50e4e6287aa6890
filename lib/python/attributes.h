/* SPDX-License-Identifier: MIT */
#ifndef PYTHON_ATTRIBUTES_H
#define PYTHON_ATTRIBUTES_H

#include <stdbool.h>

#include "python/layout.h"

/*
 * Dictionaries and attributes of objects, read while they may be changing: what comes out is to be
 * taken as a hint, such as a name to show. Bounded by PYTHON_DICT_MAX entries.
 */
enum { PYTHON_DICT_MAX = 4096 };

/* Calls found() for each entry until it says false; key and value are addresses of objects. */
int python_dict_each(const struct python_memory *m, const struct python_layout *l, uint64_t dict,
                     bool (*found)(void *arg, uint64_t key, uint64_t value), void *arg);

/* The value of a str key: 0, -ENODATA, -EFAULT. */
int python_dict_get(const struct python_memory *m, const struct python_layout *l, uint64_t dict,
                    const char *name, uint64_t *ret_value);

/* An attribute of an instance itself, not of its class. */
int python_attribute(const struct python_memory *m, const struct python_layout *l, uint64_t object,
                     const char *name, uint64_t *ret_value);

/* A non-negative int of up to 64 bits. */
int python_int(const struct python_memory *m, const struct python_layout *l, uint64_t object,
               uint64_t *ret_value);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef PYTHON_NAMES_H
#define PYTHON_NAMES_H

#include "base/intern.h"
#include "base/lookup.h"

/* The functions of all interpreters of a run, each known by a number. Those of the same name, file
 * and first line are one: a report adds up the processes of a server. */
struct python_function {
    uint32_t name, file; /* in python_names.strings */
    uint32_t first_line;
};

enum {
    PYTHON_FUNCTIONS_MAX = 1 << 20,
    PYTHON_NAMES_BYTES_MAX = 64 << 20,
};

/* Number 0: the function "[other]" of all that the limits leave out. */
struct python_names {
    struct intern *strings;        /* owned */
    struct python_function *items; /* owned */
    size_t n, cap;
    struct lookup by_key;
};

void python_names_init(struct python_names *t);
void python_names_release(struct python_names *t);

uint32_t python_names_put(struct python_names *t, const char *name, const char *file,
                          uint32_t first_line);

/* Borrowed until the table ends. */
const char *python_names_name(const struct python_names *t, uint32_t function);
const char *python_names_file(const struct python_names *t, uint32_t function);

#endif

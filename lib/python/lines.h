/* SPDX-License-Identifier: MIT */
#ifndef PYTHON_LINES_H
#define PYTHON_LINES_H

#include <stddef.h>

#include "python/layout.h"

/* Which line of the source each place of a code object's instructions comes from. */
struct python_line {
    uint32_t start; /* byte offset in the instructions, from which on it holds */
    uint32_t line;
};

struct python_line_table {
    struct python_line *items; /* owned; by start, never two alike one after the other */
    size_t n, cap;
};

enum { PYTHON_LINE_BYTES_MAX = 1 << 20 }; /* of a table as the target has it */

/*
 * Decodes co_lnotab (3.8, 3.9: Objects/lnotab_notes.txt), co_linetable of 3.10 (the same file of
 * 3.10) or of 3.11 and later (Objects/locations.md). Instructions without a line have that of those
 * before them. Anything goes in; a table that ends too early is taken as far as it goes.
 */
void python_lines_decode(enum python_lines how, const uint8_t *table, size_t bytes,
                         uint32_t first_line, struct python_line_table *ret);
void python_lines_release(struct python_line_table *t);

/* first_line where the table says nothing. */
uint32_t python_lines_find(const struct python_line_table *t, int64_t off, uint32_t first_line);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef PYTHON_TEXT_H
#define PYTHON_TEXT_H

#include "python/layout.h"

enum {
    PYTHON_TEXT_CHARS_MAX = 1024, /* of a name; what is longer ends in "..." */
    PYTHON_TEXT_BYTES_MAX = 4 * PYTHON_TEXT_CHARS_MAX + 4,
};

/*
 * A str object as UTF-8, terminated, into PYTHON_TEXT_BYTES_MAX bytes. A lone surrogate, which
 * stands for a byte that was not UTF-8 (PEP 383), becomes that byte. 0, -EFAULT, or -EBADMSG where
 * it is no compact str.
 */
int python_text(const struct python_memory *m, const struct python_layout *l, uint64_t addr,
                char *ret_text);

#endif

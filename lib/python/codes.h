/* SPDX-License-Identifier: MIT */
#ifndef PYTHON_CODES_H
#define PYTHON_CODES_H

#include <stdbool.h>

#include "base/map.h"
#include "python/layout.h"
#include "python/lines.h"
#include "python/names.h"

/*
 * The code objects of one interpreter, decoded once and kept by address. An address may come to
 * hold another code object, so the pointers that it was decoded from are compared with the target's
 * memory each time that it is met in a new epoch. They may have come to hold other text as well:
 * made anew in the same order, objects lie where those before them lay. So a code object is decoded
 * anew the more often the younger it is, at least some times a second.
 */
struct python_code {
    uint64_t addr;
    uint32_t function; /* in the struct python_names */
    uint32_t first_line;
    struct python_line_table lines;
    uint64_t identity; /* hash of the pointers that it was decoded from */
    uint64_t epoch;    /* when it was last compared */
    uint64_t first_ns, decoded_ns;
};

enum { PYTHON_CODES_MAX = 1 << 18, PYTHON_CODE_LINES_MAX = 16 << 20 };

struct python_codes {
    struct python_code *items; /* owned */
    size_t n, cap;
    size_t lines_kept;       /* of all items: at most PYTHON_CODE_LINES_MAX */
    struct map by_addr;      /* address -> place in items */
    uint64_t type;           /* address of the type object "code"; 0 not known yet */
    struct python_names *to; /* borrowed */
    uint64_t epoch;          /* moved on by the owner, with each stack */
    uint64_t now_ns;         /* the owner's: any clock */
    uint64_t replaced;       /* how often an address held another code object */
    uint64_t fresh;          /* how many were decoded that had not been known before */
};

void python_codes_init(struct python_codes *t, struct python_names *names);
void python_codes_release(struct python_codes *t);
/* After an exec. */
void python_codes_forget(struct python_codes *t);

/*
 * The code object at addr: 0, -EBADMSG where there is none, -EFAULT, -E2BIG past the limit.
 * Borrowed until the next call.
 */
int python_codes_get(struct python_codes *t, const struct python_memory *m,
                     const struct python_layout *l, uint64_t addr,
                     const struct python_code **ret_code);

#endif

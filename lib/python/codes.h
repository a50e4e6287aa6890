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
 * hold another code object, and that one may have the very pointers of the one before: made anew in
 * the same order, objects lie where those before them lay. So
 * - where code objects were copied in the moment of the frames, their names are compared each time;
 * - else the pointers are, in the process as it runs on, and the names again the more often the
 *   younger the code object is, at least some times a second.
 */
struct python_code {
    uint64_t addr;
    uint32_t function; /* in the struct python_names */
    uint32_t first_line;
    struct python_line_table lines;
    uint64_t identity;   /* hash of the pointers that it was decoded from */
    uint64_t lines_hash; /* of the beginning of its table of lines */
    uint64_t epoch;      /* when it was last compared */
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
    uint64_t flushed;        /* how often the limits were met, and all forgotten */
};

void python_codes_init(struct python_codes *t, struct python_names *names);
void python_codes_release(struct python_codes *t);
/* After an exec. */
void python_codes_forget(struct python_codes *t);

/*
 * The code object at addr that a frame of that moment refers to: 0, -EBADMSG where there is none,
 * -EFAULT, -EAGAIN where it can't be told whether what is there now was there then. Borrowed until
 * the next call.
 */
int python_codes_get(struct python_codes *t, const struct python_moment *at,
                     const struct python_layout *l, uint64_t addr,
                     const struct python_code **ret_code);

/* How much of a str, or of a table of lines, is to be copied with a code object. */
enum { PYTHON_PART_BYTES = 160 };

#endif

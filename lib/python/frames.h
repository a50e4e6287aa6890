/* SPDX-License-Identifier: MIT */
#ifndef PYTHON_FRAMES_H
#define PYTHON_FRAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "python/codes.h"
#include "python/runtime.h"

/* The frames of one thread, innermost first. */
struct python_frame {
    uint32_t function; /* in the struct python_names */
    uint32_t line;
    /* The outermost of those that one call of the evaluator runs. */
    bool last;
    uint64_t c_addr; /* with last: an address in the C frame of that call; 0 not known */
};

enum python_end {
    PYTHON_COMPLETE, /* down to the thread's first frame */
    PYTHON_TORN,     /* memory that changed while it was read, or is no interpreter's */
    PYTHON_TOO_DEEP,
};

enum { PYTHON_STACK_MAX = 1024 };

struct python_stack {
    struct python_frame frames[PYTHON_STACK_MAX];
    size_t n;
    enum python_end end;
};

/*
 * Walks the frames of a thread state, as they were in that moment. Always fills *ret_stack; what
 * does not look like a frame ends the walk and is left out.
 */
void python_walk(const struct python_moment *at, const struct python_runtime *r, uint64_t thread,
                 struct python_codes *codes, struct python_stack *ret_stack);

#endif

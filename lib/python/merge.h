/* SPDX-License-Identifier: MIT */
#ifndef PYTHON_MERGE_H
#define PYTHON_MERGE_H

#include "python/frames.h"

/*
 * Python's frames take the place of the evaluator's C frames that run them. Literal data in, a list
 * of what to show out: nothing is read.
 */
enum native_role {
    NATIVE_OTHER,
    NATIVE_EVALUATOR, /* _PyEval_EvalFrameDefault, and the pieces that compilers split off */
    NATIVE_HELPER,    /* what a plain call of a Python function passes through */
};

struct native_frame {
    uint64_t sp; /* its stack pointer: its own C frame reaches from here to the next one's sp */
    enum native_role role;
};

struct merged_frame {
    bool python;
    uint32_t index; /* in the native, or the Python frames */
};

struct merged_stack {
    struct merged_frame *frames; /* the caller's; room for all native and Python frames */
    size_t n;                    /* innermost first */
    bool mismatch;               /* the two did not fit together: all of both are shown */
};

/*
 * native: innermost first. A call of the evaluator is found in the C stack by the address that its
 * last Python frame tells; where none is told (before 3.11), each evaluator's frame stands for one
 * Python frame, counted from the outermost if both stacks are complete, else from the innermost. An
 * innermost evaluator without a Python frame has just begun or ended a call, and is not shown.
 * Helpers are left out where nothing but them lies between two calls of the evaluator.
 */
void python_merge(const struct native_frame *native, size_t n_native, bool native_complete,
                  const struct python_frame *python, size_t n_python, bool python_complete,
                  struct merged_stack *ret);

/* Where the call of the evaluator lies that runs that frame; 0 not known. */
uint64_t python_group_addr(const struct python_frame *frames, size_t n, size_t from);

#endif

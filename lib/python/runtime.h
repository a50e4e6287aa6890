/* SPDX-License-Identifier: MIT */
#ifndef PYTHON_RUNTIME_H
#define PYTHON_RUNTIME_H

#include <stddef.h>

#include "python/layout.h"

/* An interpreter in a process: where its _PyRuntime lies and how it is laid out. */
struct python_runtime {
    uint64_t addr;
    struct python_layout layout;
};

/*
 * Finds the layout of the _PyRuntime at addr. hint: the minor version as the program's file names
 * or Py_Version say, 0 if they don't. Before 3.13 nothing at addr says the version: where there
 * is no hint either, the tables are tried in turn, and the one is taken that leads to a
 * sys.hexversion which is its own.
 * 0; -EAGAIN where the interpreter has no thread state yet, or none any more; -ENOTSUP for a
 * version that is not known (*ret_minor tells which, 0 unknown); -EFAULT, -EBADMSG.
 */
int python_runtime_open(const struct python_memory *m, uint64_t addr, unsigned hint,
                        struct python_runtime *ret, unsigned *ret_minor);

/* A thread state. The same thread may have several: one for each sub-interpreter that it was in. */
struct python_thread {
    uint64_t addr, interp;
    uint64_t native_id;    /* the kernel's number, of its own PID namespace; 0 before 3.11 */
    uint64_t pthread_addr; /* pthread_self() */
    uint64_t gil;          /* address of the GIL that it needs; 0 none or not known */
};

enum { PYTHON_THREADS_MAX = 1 << 16, PYTHON_INTERPRETERS_MAX = 1024 };

/*
 * Lists the thread states of all sub-interpreters into a growing array that the caller owns and
 * frees: their number, or -EFAULT where the lists can't be followed to their end (they are being
 * changed: try again later). *ret_cap is the array's size in elements.
 */
int python_runtime_threads(const struct python_memory *m, const struct python_runtime *r,
                           struct python_thread **ret_threads, size_t *ret_cap);

/* The thread state that holds the GIL; 0: none does. */
int python_gil_holder(const struct python_memory *m, const struct python_runtime *r, uint64_t gil,
                      uint64_t *ret_thread);

#endif

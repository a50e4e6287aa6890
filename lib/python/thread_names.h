/* SPDX-License-Identifier: MIT */
#ifndef PYTHON_THREAD_NAMES_H
#define PYTHON_THREAD_NAMES_H

#include "python/runtime.h"

/*
 * What the threading module calls its threads: threading._active, a dictionary from
 * threading.get_ident() to Thread objects, and their _name. Its address is found once and kept in
 * *dict (0: not yet). Calls found() with the ident, which is pthread_self(), and the name as UTF-8.
 * -ENODATA where the module is not loaded; a hint only, as attributes.h says.
 */
int python_thread_names(const struct python_memory *m, const struct python_runtime *r,
                        uint64_t *dict, void (*found)(void *arg, uint64_t ident, const char *name),
                        void *arg);

#endif

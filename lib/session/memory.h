/* SPDX-License-Identifier: MIT */
#ifndef SESSION_MEMORY_H
#define SESSION_MEMORY_H

#include "python/memory.h"
#include "session/state.h"

/*
 * A target's memory as lib/python reads it: first what was copied with a thread's stack, then the
 * live process, where only anonymous memory and the interpreter's own file are read: on anything
 * else, a file of FUSE, say, a read might never return. Short-lived: what was asked about the
 * mappings is kept.
 */
struct live_memory {
    const struct process *process;
    const struct snapshot *snap; /* may be NULL */
    uint64_t file_dev, file_ino;
    struct memory_region known[8];
    size_t n_known;
};

struct python_memory live_memory_reader(struct live_memory *m);

#endif

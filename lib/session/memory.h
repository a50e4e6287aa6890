/* SPDX-License-Identifier: MIT */
#ifndef SESSION_MEMORY_H
#define SESSION_MEMORY_H

#include "python/memory.h"
#include "session/state.h"

/*
 * A target's memory as lib/python reads it. Of the live process only anonymous memory and the
 * interpreter's own file are read: on anything else, a file of FUSE, say, a read might never
 * return; and no more than LIVE_BYTES_MAX. Short-lived: what was asked about the mappings is kept.
 */
struct live_memory {
    const struct process *process;
    uint64_t file_dev, file_ino;
    struct memory_region known[8];
    size_t n_known;
    size_t bytes; /* read so far */
};
enum { LIVE_BYTES_MAX = 16 << 20 };

struct live_memory live_memory_of(const struct target *t, const struct module *interpreter);
struct python_memory live_memory_reader(struct live_memory *m);

/* What was copied with a thread's stack, and nothing else. Both are borrowed. */
struct python_memory copied_memory_reader(const struct snapshot *snap);

#endif

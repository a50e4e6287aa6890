/* SPDX-License-Identifier: MIT */
#ifndef PYTHON_MEMORY_H
#define PYTHON_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The interpreter's memory, wherever it comes from: copied with a stack, read from a process, saved
 * in a file. read() gives all of the bytes or none: 0 or -EFAULT. Whatever they say is the target's
 * choice.
 */
struct python_memory {
    int (*read)(void *arg, void *dst, size_t bytes, uint64_t addr);
    void *arg;
};

/*
 * A thread's frames are believed only as of one moment. What a frame refers to (code objects, their
 * names) lives as long as the frame does, so it may be read later, as far as it can be told that it
 * is still the same: `codes_copied` says that it need not be.
 */
struct python_moment {
    struct python_memory then; /* what was copied in that moment, and nothing else */
    struct python_memory now;  /* the process as it has run on since */
    /* Code objects and their names too: no later ones are believed but where a limit has left some
     * out, and then only what can be told to be the same. */
    bool codes_copied;
    bool whole; /* no limit has left anything out: what is not there was not */
};

/* 0 or -EFAULT; also for addresses that no program of x86-64 can have. */
int python_read(const struct python_memory *m, void *dst, size_t bytes, uint64_t addr);
int python_read_u64(const struct python_memory *m, uint64_t addr, uint64_t *ret);

/* Of bytes that were read as a whole. */
uint64_t python_u64_at(const uint8_t *bytes, size_t off);
uint32_t python_u32_at(const uint8_t *bytes, size_t off);

#endif

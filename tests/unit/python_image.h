/* SPDX-License-Identifier: MIT */
#ifndef UNIT_PYTHON_IMAGE_H
#define UNIT_PYTHON_IMAGE_H

#include "python/memory.h"

/*
 * As much of an interpreter's memory as reading its stacks has asked for. In a file, little-endian:
 * the magic "OXPYIMG\1", u64 address of _PyRuntime, u64 hint; then, sorted by address, ranges: u64
 * addr, u64 bytes, the bytes. Made by python_image_save.
 */
struct python_image {
    const uint8_t *bytes; /* of the file; borrowed */
    size_t n;
};

/* 0, or -EBADMSG where the bytes are no such file. */
int python_image_open(struct python_image *image, uint64_t *ret_runtime, unsigned *ret_hint);
struct python_memory python_image_memory(struct python_image *image);

/* Of memory that does not change. */
struct python_moment python_image_moment(const struct python_memory *m);

#endif

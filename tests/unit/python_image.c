/* SPDX-License-Identifier: MIT */
#include "python_image.h"

#include <errno.h>
#include <string.h>

enum { HEAD_BYTES = 24, RANGE_HEAD_BYTES = 16 };

int python_image_open(struct python_image *image, uint64_t *ret_runtime, unsigned *ret_hint)
{
    if (image->n < HEAD_BYTES || memcmp(image->bytes, "OXPYIMG\1", 8) != 0)
        return -EBADMSG;
    *ret_runtime = python_u64_at(image->bytes, 8);
    *ret_hint = (unsigned)python_u64_at(image->bytes, 16);
    return 0;
}

static int read_image(void *arg, void *dst, size_t bytes, uint64_t addr)
{
    const struct python_image *image = arg;
    for (size_t at = HEAD_BYTES; image->n - at >= RANGE_HEAD_BYTES;) {
        uint64_t start = python_u64_at(image->bytes, at), n = python_u64_at(image->bytes, at + 8);
        at += RANGE_HEAD_BYTES;
        if (n > image->n - at)
            return -EFAULT;
        if (addr >= start && addr - start <= n && bytes <= n - (addr - start)) {
            memcpy(dst, image->bytes + at + (addr - start), bytes);
            return 0;
        }
        at += n;
    }
    return -EFAULT;
}

struct python_memory python_image_memory(struct python_image *image)
{
    return (struct python_memory){.read = read_image, .arg = image};
}

struct python_moment python_image_moment(const struct python_memory *m)
{
    return (struct python_moment){.then = *m, .now = *m, .codes_copied = true, .whole = true};
}

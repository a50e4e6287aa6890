/* SPDX-License-Identifier: MIT */
#include "python/memory.h"

#include <errno.h>
#include <string.h>

int python_read(const struct python_memory *m, void *dst, size_t bytes, uint64_t addr)
{
    const uint64_t lowest = 0x1000, end = UINT64_C(1) << 47; /* of user space with 4-level pages */
    if (addr < lowest || addr >= end || bytes > end - addr)
        return -EFAULT;
    return m->read(m->arg, dst, bytes, addr);
}

int python_read_u64(const struct python_memory *m, uint64_t addr, uint64_t *ret)
{
    return python_read(m, ret, sizeof(*ret), addr);
}

uint64_t python_u64_at(const uint8_t *bytes, size_t off)
{
    uint64_t value;
    memcpy(&value, bytes + off, sizeof(value));
    return value;
}

uint32_t python_u32_at(const uint8_t *bytes, size_t off)
{
    uint32_t value;
    memcpy(&value, bytes + off, sizeof(value));
    return value;
}

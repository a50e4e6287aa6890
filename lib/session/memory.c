/* SPDX-License-Identifier: MIT */
#include "session/memory.h"

#include <errno.h>

static bool holds(const struct memory_region *r, uint64_t addr, size_t bytes)
{
    return addr >= r->start && addr < r->end && bytes <= r->end - addr;
}

static bool may_read(struct live_memory *m, uint64_t addr, size_t bytes)
{
    struct memory_region region;
    for (size_t i = 0; i < m->n_known; i++)
        if (holds(&m->known[i], addr, bytes))
            return true;
    if (process_query_region(m->process, addr, &region) < 0 || !holds(&region, addr, bytes) ||
        !plan_may_read(&region, m->file_dev, m->file_ino))
        return false;
    size_t room = sizeof(m->known) / sizeof(*m->known);
    m->known[m->n_known < room ? m->n_known++ : addr / 4096 % room] = region;
    return true;
}

static int read_live(void *arg, void *dst, size_t bytes, uint64_t addr)
{
    struct live_memory *m = arg;
    if (bytes > LIVE_BYTES_MAX - m->bytes)
        return -EFAULT;
    m->bytes += bytes;
    if (!may_read(m, addr, bytes) || process_read(m->process, dst, bytes, addr) != (ssize_t)bytes)
        return -EFAULT;
    return 0;
}

struct live_memory live_memory_of(const struct target *t, const struct module *interpreter)
{
    return (struct live_memory){
        .process = &t->process, .file_dev = interpreter->dev, .file_ino = interpreter->ino};
}

struct python_memory live_memory_reader(struct live_memory *m)
{
    return (struct python_memory){.read = read_live, .arg = m};
}

static int read_copied(void *arg, void *dst, size_t bytes, uint64_t addr)
{
    return plan_find(arg, dst, bytes, addr) ? 0 : -EFAULT;
}

struct python_memory copied_memory_reader(const struct snapshot *snap)
{
    return (struct python_memory){.read = read_copied, .arg = (void *)(uintptr_t)snap};
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "target/process.h"

/* include/uapi/linux/fs.h, since Linux 6.11 */
struct procmap_query {
    uint64_t size, query_flags, query_addr;
    uint64_t vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
    uint32_t dev_major, dev_minor, vma_name_size, build_id_size;
    uint64_t vma_name_addr, build_id_addr;
};
#define OX_PROCMAP_QUERY _IOWR('f', 17, struct procmap_query)
enum {
    VMA_READABLE = 1,
    VMA_WRITABLE = 2,
    VMA_EXECUTABLE = 4,
    VMA_SHARED = 8,
    COVERING_OR_NEXT = 0x10,
    FILE_BACKED = 0x20
};

enum { MAPS_TEXT_MAX_BYTES = 64 << 20, VDSO_MAX_BYTES = 64 << 10 };

/* flags: which mappings are asked for; 0: the one that covers addr. */
static int query(const struct process *p, uint64_t addr, uint64_t flags, char *name,
                 uint32_t name_bytes, struct procmap_query *q)
{
    if (!p->maps_query)
        return -ENOSYS;
    *q = (struct procmap_query){.size = sizeof(*q),
                                .query_flags = flags,
                                .query_addr = addr,
                                .vma_name_addr = (uintptr_t)name,
                                .vma_name_size = name_bytes};
    if (ioctl(p->maps_fd, OX_PROCMAP_QUERY, q) == 0)
        return 0;
    return errno == ENOENT ? -ENODATA : -errno;
}

/* Before Linux 6.11: what /proc/PID/maps said when it was last read. */
static int known_region(const struct process *p, uint64_t addr, struct memory_region *ret)
{
    const struct mapping *m = mappings_find(&p->maps, addr);
    if (!m)
        return -ENODATA;
    *ret = (struct memory_region){.start = m->start,
                                  .end = m->end,
                                  .dev = m->dev,
                                  .ino = m->ino,
                                  .readable = (m->prot & PROT_READ) != 0,
                                  .shared = m->shared};
    return 0;
}

int process_query_region(const struct process *p, uint64_t addr, struct memory_region *ret)
{
    struct procmap_query q;
    int rc = query(p, addr, 0, NULL, 0, &q);
    if (rc == -ENOSYS)
        return known_region(p, addr, ret);
    if (rc < 0)
        return rc;
    *ret = (struct memory_region){.start = q.vma_start,
                                  .end = q.vma_end,
                                  .dev = makedev(q.dev_major, q.dev_minor),
                                  .ino = q.inode,
                                  .readable = (q.vma_flags & VMA_READABLE) != 0,
                                  .shared = (q.vma_flags & VMA_SHARED) != 0};
    return 0;
}

int process_query_memory(const struct process *p, uint64_t addr, uint64_t *ret_start,
                         uint64_t *ret_end, bool *ret_anonymous)
{
    struct memory_region region;
    int rc = process_query_region(p, addr, &region);
    if (rc < 0)
        return rc;
    *ret_start = region.start;
    *ret_end = region.end;
    *ret_anonymous = !region.ino && region.readable;
    return 0;
}

static unsigned prot_of(uint64_t vma_flags)
{
    return (vma_flags & VMA_READABLE ? PROT_READ : 0) |
           (vma_flags & VMA_WRITABLE ? PROT_WRITE : 0) |
           (vma_flags & VMA_EXECUTABLE ? PROT_EXEC : 0);
}

/* The vDSO has no file: its pages are the file. */
static void load_vdso(const struct process *p, struct module *m, const struct mapping *map)
{
    size_t bytes = map->end - map->start;
    if (bytes > VDSO_MAX_BYTES)
        return;
    uint8_t *copy = mem_alloc(bytes);
    if (process_read(p, copy, bytes, map->start) != (ssize_t)bytes) {
        free(copy);
        return;
    }
    m->pieces = mem_alloc(sizeof(*m->pieces));
    m->pieces[0] = (struct module_piece){.bytes = bytes, .data = copy};
    m->n_pieces = 1;
    m->file_bytes = bytes;
}

/* Deleted and replaced files are still reachable by map_files, where privilege allows. */
static int open_mapped_file(const struct process *p, const struct mapping *map, struct stat *st)
{
    char path[80];
    snprintf(path, sizeof(path), "map_files/%" PRIx64 "-%" PRIx64, map->start, map->end);
    int held OX_CLOSE = openat(p->proc_fd, path, O_PATH | O_CLOEXEC);
    /* the very file that is mapped, whatever device number a layered file system shows */
    if (held >= 0)
        return process_reopen_file(p, held, st);
    int fd = process_open_file(p, map->path, st);
    if (fd < 0 || (st->st_ino == map->ino && st->st_dev == map->dev))
        return fd;
    close(fd);
    return -ESTALE;
}

static const char *trouble_of(int rc)
{
    if (rc == -ESTALE || rc == -ENOENT)
        return "the file was deleted or replaced since it was mapped";
    if (rc == -ENOTSUP)
        return "it lies on a FUSE file system, which might never answer";
    return strerror(-rc);
}

static void take_file(struct module *m, int fd, const struct stat *st)
{
    if (fd >= 0) {
        m->fd = fd;
        m->file_bytes = (uint64_t)st->st_size;
        return;
    }
    snprintf(m->trouble, sizeof(m->trouble), "%s", trouble_of(fd));
}

static struct module *new_module(const struct process *p, struct modules *modules,
                                 const struct mapping *map, bool vdso)
{
    struct stat st = {0};
    int fd = vdso || modules_full(modules) ? -1 : open_mapped_file(p, map, &st);
    /* Where descriptors are short it is not kept: its next mapping may find one. */
    if (modules_full(modules) || fd == -EMFILE || fd == -ENFILE)
        return modules_other(modules);
    struct module *m = modules_add(modules, map->dev, map->ino, map->path);
    if (vdso)
        load_vdso(p, m, map);
    else
        take_file(m, fd, &st);
    if (!m->trouble[0])
        module_read_headers(m);
    return m;
}

static struct module *module_of(const struct process *p, struct modules *modules,
                                const struct mapping *map)
{
    bool vdso = map->path && !strcmp(map->path, "[vdso]");
    if (!(map->prot & PROT_EXEC) || !map->path || (!map->ino && !vdso))
        return NULL;
    struct module *m = modules_find(modules, map->dev, map->ino, map->path);
    return m ? m : new_module(p, modules, map, vdso);
}

/* The mapping that is found, without its module; its path is the caller's. */
static int query_mapping(const struct process *p, uint64_t addr, uint64_t flags,
                         struct mapping *ret)
{
    char name[4096];
    struct procmap_query q;
    int rc = query(p, addr, flags, name, sizeof(name), &q);
    if (rc < 0)
        return rc;
    name[sizeof(name) - 1] = '\0';
    *ret = (struct mapping){
        .start = q.vma_start,
        .end = q.vma_end,
        .off = q.vma_offset,
        .dev = makedev(q.dev_major, q.dev_minor),
        .ino = q.inode,
        .prot = prot_of(q.vma_flags),
        .shared = (q.vma_flags & VMA_SHARED) != 0,
        .path = q.vma_name_size ? mem_strdup(name) : NULL,
    };
    return 0;
}

static int map_one(struct process *p, struct modules *modules, uint64_t addr)
{
    struct mapping map;
    int rc = query_mapping(p, addr, 0, &map);
    if (rc < 0)
        return rc;
    map.module = module_of(p, modules, &map);
    p->maps_dropped += !mappings_put(&p->maps, &map);
    return 0;
}

/* The whole text, owned by the caller; it is consistent only line by line. */
static char *read_maps_text(const struct process *p, size_t *ret_bytes)
{
    size_t cap = 0, n = 0;
    char *text = NULL;
    while (n < MAPS_TEXT_MAX_BYTES) {
        text = mem_grow(text, &cap, n + (64 << 10), 1);
        ssize_t got = pread(p->maps_fd, text + n, cap - n, (off_t)n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    *ret_bytes = n;
    return text;
}

static void map_all(struct process *p, struct modules *modules)
{
    size_t bytes;
    char *text OX_FREE = read_maps_text(p, &bytes);
    mappings_release(&p->maps);
    for (const char *line = text, *end = text + bytes; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        struct mapping map;
        if (!stop)
            break;
        if (mapping_parse(line, (size_t)(stop - line), &map) == 0) {
            map.module = module_of(p, modules, &map);
            p->maps_dropped += !mappings_put(&p->maps, &map);
        }
        line = stop + 1;
    }
    p->maps_read_ns = clock_now_ns();
}

static void map_all_again(struct process *p, struct modules *modules)
{
    if (clock_now_ns() - p->maps_read_ns >= OX_NS_PER_S / 10)
        map_all(p, modules);
}

int process_next_code(struct process *p, struct modules *modules, uint64_t addr,
                      struct mapping *ret)
{
    if (p->maps_query)
        return query_mapping(p, addr, COVERING_OR_NEXT | FILE_BACKED | VMA_EXECUTABLE, ret);
    map_all_again(p, modules);
    for (size_t i = 0; i < p->maps.n; i++) {
        const struct mapping *m = &p->maps.items[i];
        if (m->end <= addr || !m->ino || !(m->prot & PROT_EXEC))
            continue;
        *ret = *m;
        ret->module = NULL;
        ret->path = m->path ? mem_strdup(m->path) : NULL;
        return 0;
    }
    return -ENODATA;
}

int process_map(struct process *p, struct modules *modules, uint64_t addr)
{
    if (p->maps_query)
        return map_one(p, modules, addr);
    map_all_again(p, modules);
    return mappings_find(&p->maps, addr) ? 0 : -ENODATA;
}

bool process_check_mappings(struct process *p)
{
    for (size_t i = 0; p->maps_query && i < p->maps.n; i++) {
        const struct mapping *m = &p->maps.items[i];
        struct procmap_query q;
        int rc = query(p, m->start, 0, NULL, 0, &q);
        if (rc == 0 && q.vma_start == m->start && q.vma_end == m->end && q.inode == m->ino &&
            q.vma_offset == m->off && prot_of(q.vma_flags) == m->prot)
            continue;
        /* JIT code comes and goes; only a file's mapping was cached by anyone else */
        bool of_module = m->module != NULL;
        mappings_release(&p->maps);
        return of_module;
    }
    return false;
}

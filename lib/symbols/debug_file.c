/* SPDX-License-Identifier: MIT */
#include "symbols/debug_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"
#include "symbols/debuginfod.h"

enum { LINK_MAX_BYTES = 4096 + MODULE_BUILD_ID_MAX, CRC_CHUNK_BYTES = 256 * 1024 };

static const uint64_t crc_file_max_bytes = UINT64_C(1) << 30;

/* What a debug file must have: this build-id or, where there is none, this CRC. */
struct wanted {
    const uint8_t *id; /* borrowed */
    size_t id_bytes;
    uint32_t crc;
    bool has_crc;
};

/* The file that is looked for, and how that goes. */
struct search {
    const struct debug_places *places;
    struct module *m; /* the file that it belongs to */
    struct wanted wanted;
    struct module *file;      /* found */
    struct sections sections; /* its; the caller's then */
    bool others;              /* there was one of another build */
};

/* CRC-32 as in zlib, over the whole file (GDB manual, "Separate Debug Files"). */
static bool has_crc(struct module *file, uint32_t wanted, struct heartbeat *heartbeat)
{
    OX_FREE uint8_t *chunk = mem_alloc(CRC_CHUNK_BYTES);
    uLong crc = crc32(0, NULL, 0);
    if (file->file_bytes > crc_file_max_bytes)
        return false;
    for (uint64_t off = 0; off < file->file_bytes;) {
        uint64_t left = file->file_bytes - off;
        size_t take = left < CRC_CHUNK_BYTES ? (size_t)left : CRC_CHUNK_BYTES;
        if (module_read(file, chunk, take, off) < 0)
            return false;
        crc = crc32(crc, chunk, (uInt)take);
        heartbeat_beat(heartbeat);
        off += take;
    }
    return (uint32_t)crc == wanted;
}

static bool fits(const struct search *search, struct module *file, const struct sections *s)
{
    const struct wanted *w = &search->wanted;
    if (w->id_bytes)
        return sections_have_build_id(s, file, w->id, w->id_bytes);
    return w->has_crc && has_crc(file, w->crc, search->places->heartbeat);
}

static bool is_same_file(const struct module *m, const struct stat *st)
{
    return m->ino == st->st_ino && m->dev == st->st_dev;
}

/* One file may be there for several. */
static struct module *add_file(struct modules *files, const struct module *found, const char *path)
{
    for (size_t i = 0; i < files->n; i++) {
        struct module *known = files->items[i];
        if (known->fd >= 0 && known->dev == found->dev && known->ino == found->ino) {
            close(found->fd);
            return known;
        }
    }
    struct module *file = modules_add(files, found->dev, found->ino, path);
    file->fd = found->fd;
    file->file_bytes = found->file_bytes;
    return file;
}

/* Takes fd. Whatever the path leads to must not hang us: hence O_NONBLOCK when it was opened. */
static bool take_file(struct search *search, int fd, const char *path)
{
    struct stat st;
    struct sections sections;
    if (fd < 0)
        return false;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || is_same_file(search->m, &st)) {
        close(fd);
        return false;
    }
    struct module file = {
        .dev = st.st_dev, .ino = st.st_ino, .fd = fd, .file_bytes = (uint64_t)st.st_size};
    bool read = sections_read(&sections, &file) == 0;
    if (read && fits(search, &file, &sections)) {
        search->file = add_file(search->places->files, &file, path);
        search->sections = sections;
        return true;
    }
    if (read)
        sections_release(&sections);
    search->others = true;
    close(fd);
    return false;
}

/* The target names it: opening a device may do something, and a FIFO's other end notices. */
static int open_regular(const char *path)
{
    struct stat st;
    char again[32];
    int OX_CLOSE held = open(path, O_PATH | O_CLOEXEC);
    if (held < 0 || fstat(held, &st) < 0 || !S_ISREG(st.st_mode))
        return -ENODATA;
    snprintf(again, sizeof(again), "/proc/self/fd/%d", held);
    return open(again, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static bool try_path(struct search *search, bool in_target, const char *path)
{
    const struct debug_places *p = search->places;
    if (in_target)
        return take_file(search, p->open_in_target(p->open_arg, search->m, path), path);
    return take_file(search, open_regular(path), path);
}

static bool try_build_id(struct search *search, bool in_target)
{
    char hex[2 * MODULE_BUILD_ID_MAX + 1];
    const struct wanted *w = &search->wanted;
    if (w->id_bytes < 2)
        return false;
    module_hex(w->id, w->id_bytes, hex, sizeof(hex));
    OX_FREE char *path =
        mem_printf("%s/.build-id/%.2s/%s.debug", search->places->debug_dir, hex, hex + 2);
    return try_path(search, in_target, path);
}

/* "/usr/bin/" of "/usr/bin/app (deleted)"; NULL where that is no path. */
static char *dir_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return path[0] == '/' && slash ? mem_strndup(path, (size_t)(slash - path) + 1) : NULL;
}

/* A file's name and what follows it in a section, at most LINK_MAX_BYTES. */
static size_t read_link(struct module *m, const struct sections *s, const char *section, char *buf)
{
    const Elf64_Shdr *h = sections_find(s, SHT_PROGBITS, section);
    if (!h || h->sh_size > LINK_MAX_BYTES || module_read(m, buf, h->sh_size, h->sh_offset) < 0 ||
        !memchr(buf, 0, h->sh_size))
        return 0;
    return h->sh_size;
}

/* The name, padded to four bytes, then the CRC. False without one. */
static bool read_debuglink(struct search *search, const struct sections *s, char *name)
{
    size_t bytes = read_link(search->m, s, ".gnu_debuglink", name);
    size_t at = bytes ? (strlen(name) + 4) & ~(size_t)3 : 0;
    if (!bytes || at + 4 > bytes || !name[0] || strchr(name, '/'))
        return false;
    memcpy(&search->wanted.crc, name + at, 4);
    search->wanted.has_crc = true;
    return true;
}

static bool try_debuglink(struct search *search, bool in_target, const char *name)
{
    OX_FREE char *dir = dir_of(search->m->path);
    if (!dir)
        return false;
    OX_FREE char *beside = mem_printf("%s%s", dir, name);
    OX_FREE char *below = mem_printf("%s.debug/%s", dir, name);
    OX_FREE char *apart = mem_printf("%s%s%s", search->places->debug_dir, dir, name);
    return try_path(search, in_target, beside) || try_path(search, in_target, below) ||
           try_path(search, in_target, apart);
}

static bool try_all(struct search *search, const struct sections *s)
{
    char link[LINK_MAX_BYTES];
    if (try_build_id(search, false))
        return true;
    bool linked = read_debuglink(search, s, link);
    if (linked && try_debuglink(search, false, link))
        return true;
    if (search->places->open_in_target &&
        (try_build_id(search, true) || (linked && try_debuglink(search, true, link))))
        return true;
    return search->places->debuginfod && search->wanted.id_bytes &&
           take_file(search,
                     debuginfod_fetch(search->wanted.id, search->wanted.id_bytes,
                                      search->places->heartbeat),
                     "[debuginfod]");
}

static int result(const struct search *search, struct module **ret_file,
                  struct sections *ret_sections)
{
    if (!search->file)
        return search->others ? -EBADMSG : -ENODATA;
    *ret_file = search->file;
    *ret_sections = search->sections;
    return 0;
}

int debug_file_find(const struct debug_places *p, struct module *m, const struct sections *s,
                    struct module **ret_file, struct sections *ret_sections)
{
    struct search search = {
        .places = p, .m = m, .wanted = {.id = m->build_id, .id_bytes = m->build_id_bytes}};
    try_all(&search, s);
    return result(&search, ret_file, ret_sections);
}

/* Relative paths start from where the debug file really is: .build-id/ holds links to it at some
 * distributions. */
static char *alt_path(const struct search *search, bool in_target, const char *name)
{
    if (name[0] == '/')
        return mem_strdup(name);
    OX_FREE char *real = in_target ? NULL : realpath(search->m->path, NULL);
    OX_FREE char *dir = dir_of(real ? real : search->m->path);
    return dir ? mem_printf("%s%s", dir, name) : NULL;
}

static bool try_alt(struct search *search, bool in_target, const char *name)
{
    OX_FREE char *path = alt_path(search, in_target, name);
    return try_build_id(search, in_target) || (path && try_path(search, in_target, path));
}

int debug_file_alt(const struct debug_places *p, struct module *file, const struct sections *s,
                   struct module **ret_alt, struct sections *ret_sections)
{
    char link[LINK_MAX_BYTES];
    size_t bytes = read_link(file, s, ".gnu_debugaltlink", link);
    size_t at = bytes ? strlen(link) + 1 : 0;
    if (!bytes || at == 1 || bytes == at || bytes - at > MODULE_BUILD_ID_MAX)
        return -ENODATA;
    struct search search = {.places = p,
                            .m = file,
                            .wanted = {.id = (const uint8_t *)link + at, .id_bytes = bytes - at}};
    if (!try_alt(&search, false, link) && !(p->open_in_target && try_alt(&search, true, link)) &&
        p->debuginfod)
        take_file(&search, debuginfod_fetch(search.wanted.id, search.wanted.id_bytes, p->heartbeat),
                  "[debuginfod]");
    return result(&search, ret_alt, ret_sections);
}

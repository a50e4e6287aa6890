/* SPDX-License-Identifier: MIT */
#include "target/module.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/path.h"

enum {
    PAGE_BITS = 12,
    PROGRAM_HEADERS_MAX = 512, /* real files have about a dozen */
    NOTES_MAX = 256
};

static void note_touched(struct module *m, uint64_t off, size_t bytes)
{
    if (!m->touched || !bytes || off >= m->file_bytes)
        return;
    uint64_t last = bytes - 1 < m->file_bytes - off ? off + (bytes - 1) : m->file_bytes - 1;
    for (uint64_t page = off >> PAGE_BITS; page <= last >> PAGE_BITS; page++)
        m->touched[page / 8] |= (uint8_t)(1u << (page % 8));
}

static int read_fd(int fd, uint8_t *dst, size_t bytes, uint64_t off)
{
    while (bytes) {
        ssize_t n = pread(fd, dst, bytes, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -EFAULT;
        dst += n;
        off += (uint64_t)n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* The last piece that begins at or before off, if it holds the byte there. */
static const struct module_piece *piece_at(const struct module *m, uint64_t off)
{
    size_t low = 0, high = m->n_pieces;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (m->pieces[mid].off <= off)
            low = mid + 1;
        else
            high = mid;
    }
    const struct module_piece *p = low ? &m->pieces[low - 1] : NULL;
    return p && off - p->off < p->bytes ? p : NULL;
}

/* With dst NULL it only says whether the bytes are there. */
static int read_pieces(const struct module *m, uint8_t *dst, size_t bytes, uint64_t off)
{
    for (size_t done = 0; done < bytes;) {
        const struct module_piece *p = piece_at(m, off + done);
        if (!p)
            return -EFAULT;
        uint64_t at = off + done - p->off, take = p->bytes - at;
        if (take > bytes - done)
            take = bytes - done;
        if (dst)
            memcpy(dst + done, p->data + at, take);
        done += take;
    }
    return 0;
}

int module_read(struct module *m, void *dst, size_t bytes, uint64_t off)
{
    uint64_t end;
    if (__builtin_add_overflow(off, (uint64_t)bytes, &end) || end > INT64_MAX)
        return -EFAULT;
    note_touched(m, off, bytes);
    if (!bytes)
        return 0;
    if (m->fd >= 0)
        return read_fd(m->fd, dst, bytes, off);
    if (read_pieces(m, NULL, bytes, off) < 0)
        return -EFAULT;
    return read_pieces(m, dst, bytes, off);
}

int module_read_vaddr(struct module *m, void *dst, size_t bytes, uint64_t vaddr)
{
    for (size_t i = 0; i < m->n_loads; i++) {
        const struct module_load *l = &m->loads[i];
        uint64_t at = vaddr - l->vaddr;
        if (vaddr >= l->vaddr && at < l->file_bytes && bytes <= l->file_bytes - at)
            return module_read(m, dst, bytes, l->off + at);
    }
    return -EFAULT;
}

bool module_vaddr_of_off(const struct module *m, uint64_t off, uint64_t *ret_vaddr)
{
    const struct module_load *best = NULL;
    for (size_t i = 0; i < m->n_loads; i++) {
        const struct module_load *l = &m->loads[i];
        if (off < l->off || off - l->off >= l->file_bytes)
            continue;
        /* Segments may show the same bytes twice; it is code that is asked about. */
        if (!best || (l->flags & ~best->flags & PF_X))
            best = l;
    }
    if (best)
        *ret_vaddr = best->vaddr + (off - best->off);
    return best != NULL;
}

bool module_off_of_vaddr(const struct module *m, uint64_t vaddr, uint64_t *ret_off)
{
    for (size_t i = 0; i < m->n_loads; i++) {
        const struct module_load *l = &m->loads[i];
        if (vaddr < l->vaddr || vaddr - l->vaddr >= l->file_bytes)
            continue;
        *ret_off = l->off + (vaddr - l->vaddr);
        return true;
    }
    return false;
}

static int malformed(struct module *m, const char *trouble)
{
    m->n_loads = 0;
    m->build_id_bytes = 0;
    m->eh_frame_hdr_bytes = 0;
    if (trouble)
        snprintf(m->trouble, sizeof(m->trouble), "%s", trouble);
    return -EBADMSG;
}

static const char *ehdr_trouble(const Elf64_Ehdr *e)
{
    if (memcmp(e->e_ident, ELFMAG, SELFMAG))
        return "not an ELF file";
    if (e->e_ident[EI_CLASS] != ELFCLASS64 || e->e_ident[EI_DATA] != ELFDATA2LSB ||
        e->e_machine != EM_X86_64)
        return "not an x86-64 ELF file";
    if (e->e_type != ET_EXEC && e->e_type != ET_DYN)
        return "neither a program nor a shared library";
    if (e->e_phentsize != sizeof(Elf64_Phdr) || !e->e_phnum)
        return "ELF file without program headers";
    if (e->e_phnum > PROGRAM_HEADERS_MAX)
        return "ELF file with too many program headers";
    return NULL;
}

static uint64_t align_up(uint64_t x, uint64_t align)
{
    return (x + align - 1) & ~(align - 1);
}

static void take_build_id(struct module *m, uint64_t off, const Elf64_Nhdr *n, uint64_t desc_off)
{
    char name[sizeof(ELF_NOTE_GNU)];
    if (n->n_type != NT_GNU_BUILD_ID || n->n_namesz != sizeof(name) || !n->n_descsz ||
        n->n_descsz > MODULE_BUILD_ID_MAX)
        return;
    if (module_read(m, name, sizeof(name), off + sizeof(*n)) < 0 ||
        memcmp(name, ELF_NOTE_GNU, sizeof(name)))
        return;
    if (module_read(m, m->build_id, n->n_descsz, desc_off) == 0)
        m->build_id_bytes = n->n_descsz;
}

/*
 * Notes are padded to 4 bytes, but to 8 in a segment aligned to 8 (.note.gnu.property; Linux
 * Extensions to gABI). Unreadable notes cost the build-id only.
 */
static void read_notes(struct module *m, const Elf64_Phdr *ph)
{
    uint64_t align = ph->p_align == 8 ? 8 : 4, end, at = ph->p_offset;
    if (__builtin_add_overflow(ph->p_offset, ph->p_filesz, &end) || end > INT64_MAX)
        return;
    for (int i = 0; i < NOTES_MAX && !m->build_id_bytes; i++) {
        Elf64_Nhdr n;
        if (at > end || end - at < sizeof(n) || module_read(m, &n, sizeof(n), at) < 0)
            return;
        uint64_t desc_at = align_up(sizeof(n) + (uint64_t)n.n_namesz, align);
        if (end - at < desc_at || end - at - desc_at < n.n_descsz)
            return;
        take_build_id(m, at, &n, at + desc_at);
        at += align_up(desc_at + n.n_descsz, align);
    }
}

static bool add_load(struct module *m, const Elf64_Phdr *ph)
{
    uint64_t end;
    if (m->n_loads == MODULE_LOADS_MAX ||
        __builtin_add_overflow(ph->p_offset, ph->p_filesz, &end) || end > INT64_MAX ||
        __builtin_add_overflow(ph->p_vaddr, ph->p_filesz, &end))
        return false;
    m->loads[m->n_loads++] = (struct module_load){
        .off = ph->p_offset,
        .file_bytes = ph->p_filesz,
        .vaddr = ph->p_vaddr,
        .flags = ph->p_flags,
    };
    return true;
}

static bool take_segment(struct module *m, const Elf64_Phdr *ph)
{
    switch (ph->p_type) {
    case PT_LOAD:
        return add_load(m, ph);
    case PT_NOTE:
        read_notes(m, ph);
        return true;
    case PT_GNU_EH_FRAME:
        m->eh_frame_hdr_vaddr = ph->p_vaddr;
        m->eh_frame_hdr_bytes = ph->p_filesz;
        return true;
    default:
        return true;
    }
}

int module_read_headers(struct module *m)
{
    Elf64_Ehdr e;
    m->n_loads = 0;
    m->build_id_bytes = 0;
    m->eh_frame_hdr_vaddr = m->eh_frame_hdr_bytes = 0;
    if (m->fd < 0 && !m->n_pieces)
        return malformed(m, m->trouble[0] ? NULL : "its file could not be read");
    if (module_read(m, &e, sizeof(e), 0) < 0)
        return malformed(m, "not an ELF file");
    const char *trouble = ehdr_trouble(&e);
    if (trouble)
        return malformed(m, trouble);
    size_t bytes = e.e_phnum * sizeof(Elf64_Phdr);
    OX_FREE Elf64_Phdr *ph = mem_alloc(bytes);
    if (module_read(m, ph, bytes, e.e_phoff) < 0)
        return malformed(m, "ELF file cut off before its program headers");
    for (size_t i = 0; i < e.e_phnum; i++)
        if (!take_segment(m, &ph[i]))
            return malformed(m, "ELF file with segments that make no sense");
    if (!m->n_loads)
        return malformed(m, "ELF file with nothing to load");
    m->position_independent = e.e_type == ET_DYN;
    m->trouble[0] = '\0';
    return 0;
}

const char *module_short_name(const struct module *m, char *buf, size_t buf_bytes)
{
    size_t len;
    const char *name = path_name(m->path, &len);
    snprintf(buf, buf_bytes, "%.*s", (int)len, name);
    return buf;
}

static void module_free(struct module *m)
{
    if (m->fd >= 0)
        close(m->fd);
    for (size_t i = 0; i < m->n_pieces; i++)
        free(m->pieces[i].data);
    free(m->pieces);
    free(m->touched);
    free(m->path);
    free(m);
}

void modules_release(struct modules *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        module_free(t->items[i]);
    free(t->items);
    memset(t, 0, sizeof(*t));
}

struct module *modules_find(const struct modules *t, uint64_t dev, uint64_t ino, const char *path)
{
    for (size_t i = 0; i < t->n; i++) {
        struct module *m = t->items[i];
        if (m->ino == ino && m->dev == dev && !strcmp(m->path, path))
            return m;
    }
    return NULL;
}

struct module *modules_add(struct modules *t, uint64_t dev, uint64_t ino, const char *path)
{
    struct module *m = mem_alloc(sizeof(*m));
    m->id = (uint32_t)t->n;
    m->path = mem_strdup(path);
    m->dev = dev;
    m->ino = ino;
    m->fd = -1;
    t->items = mem_grow(t->items, &t->cap, t->n + 1, sizeof(struct module *));
    t->items[t->n++] = m;
    return m;
}

bool modules_full(const struct modules *t)
{
    return t->n >= MODULES_KEPT_MAX;
}

struct module *modules_other(struct modules *t)
{
    t->folded++;
    if (t->other)
        return t->other;
    struct module *m = t->other = modules_add(t, 0, 0, "[other]");
    m->n_loads = 1;
    m->loads[0] = (struct module_load){.file_bytes = INT64_MAX, .flags = PF_R | PF_X};
    snprintf(m->trouble, sizeof(m->trouble), "more modules than memory or open files allow");
    return m;
}

void module_hex(const uint8_t *bytes, size_t n, char *buf, size_t buf_bytes)
{
    static const char hex[] = "0123456789abcdef";
    size_t at = 0;
    for (size_t i = 0; i < n && at + 3 <= buf_bytes; i++) {
        buf[at++] = hex[bytes[i] >> 4];
        buf[at++] = hex[bytes[i] & 15];
    }
    if (buf_bytes)
        buf[at] = '\0';
}

void module_build_id_hex(const struct module *m, char *buf, size_t buf_bytes)
{
    module_hex(m->build_id, m->build_id_bytes, buf, buf_bytes);
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "capture/snapfile.h"
#include "capture/snapfile_format.h"

enum {
    PAGE_BYTES = 4096,
    EH_FRAME_BYTES_MAX = 16 * 1024 * 1024,
    ENC_PCREL_SDATA4 = 0x1b /* DW_EH_PE_pcrel | DW_EH_PE_sdata4 */
};

static void put_bytes(struct payload *p, const void *bytes, size_t n)
{
    p->data = mem_grow(p->data, &p->cap, p->n + n, 1);
    if (n)
        memcpy(p->data + p->n, bytes, n);
    p->n += n;
}

static void put_u32(struct payload *p, uint32_t v)
{
    put_bytes(p, &v, sizeof(v));
}

static void put_u64(struct payload *p, uint64_t v)
{
    put_bytes(p, &v, sizeof(v));
}

static void put_string(struct payload *p, const void *bytes, size_t n)
{
    put_u32(p, (uint32_t)n);
    put_bytes(p, bytes, n);
}

static void put_text(struct payload *p, const char *s)
{
    if (s)
        put_string(p, s, strlen(s));
    else
        put_u32(p, SNAPFILE_NONE);
}

static bool record_write(FILE *to, uint32_t kind, struct payload *p)
{
    uint64_t bytes = p->n;
    bool ok = fwrite(&kind, sizeof(kind), 1, to) == 1 &&
              fwrite(&bytes, sizeof(bytes), 1, to) == 1 &&
              (!p->n || fwrite(p->data, p->n, 1, to) == 1);
    p->n = 0;
    return ok;
}

static size_t pages_of(const struct module *m)
{
    return (size_t)((m->file_bytes + PAGE_BYTES - 1) / PAGE_BYTES);
}

/* module_read() notes the pages that it is asked for, so asking is marking. */
static void mark(struct module *m, uint64_t off, uint64_t bytes)
{
    uint8_t page[PAGE_BYTES];
    for (uint64_t at = off; at < off + bytes && at < m->file_bytes; at += PAGE_BYTES)
        (void)module_read(m, page, 1, at);
    if (bytes)
        (void)module_read(m, page, 1, off + bytes - 1);
}

/* From the start of .eh_frame to the end of its segment: its size is in no program header. */
static void mark_eh_frame(struct module *m)
{
    uint8_t head[8];
    int32_t to_frame;
    uint64_t off, vaddr = m->eh_frame_hdr_vaddr;
    if (!m->eh_frame_hdr_bytes || !module_off_of_vaddr(m, vaddr, &off))
        return;
    mark(m, off, m->eh_frame_hdr_bytes);
    if (module_read(m, head, sizeof(head), off) < 0 || head[1] != ENC_PCREL_SDATA4)
        return;
    memcpy(&to_frame, head + 4, sizeof(to_frame));
    vaddr += 4 + (uint64_t)to_frame;
    for (size_t i = 0; i < m->n_loads; i++) {
        uint64_t at = vaddr - m->loads[i].vaddr, bytes = m->loads[i].file_bytes;
        if (vaddr >= m->loads[i].vaddr && at < bytes && bytes - at <= EH_FRAME_BYTES_MAX)
            mark(m, m->loads[i].off + at, bytes - at);
    }
}

/* Owned by the caller: which pages of m to save. m is as before afterwards. */
static uint8_t *pages_to_save(struct module *m)
{
    size_t bytes = pages_of(m) / 8 + 1;
    uint8_t *noted = m->touched, *pages = mem_alloc(bytes);
    if (noted)
        memcpy(pages, noted, bytes - (pages_of(m) % 8 == 0));
    m->touched = pages;
    if (m->n_loads && module_read_headers(m) == 0)
        mark_eh_frame(m);
    m->touched = noted;
    return pages;
}

static bool is_marked(const uint8_t *pages, size_t page)
{
    return pages[page / 8] >> (page % 8) & 1;
}

static void put_piece(struct payload *p, uint64_t off, const void *bytes, size_t n)
{
    put_u64(p, off);
    put_u64(p, n);
    put_bytes(p, bytes, n);
}

/* Pages that the file has lost since are left out. */
static uint32_t put_marked(struct payload *p, struct module *m, const uint8_t *pages)
{
    uint8_t page[PAGE_BYTES];
    uint32_t n = 0;
    for (size_t i = 0; i < pages_of(m); i++) {
        uint64_t off = (uint64_t)i * PAGE_BYTES, left = m->file_bytes - off;
        size_t bytes = left < PAGE_BYTES ? (size_t)left : PAGE_BYTES;
        if (!is_marked(pages, i) || module_read(m, page, bytes, off) < 0)
            continue;
        put_piece(p, off, page, bytes);
        n++;
    }
    return n;
}

static uint32_t put_open_file(struct payload *p, struct module *m)
{
    OX_FREE uint8_t *pages = pages_to_save(m);
    uint8_t *noted = m->touched;
    m->touched = NULL;
    uint32_t n = put_marked(p, m, pages);
    m->touched = noted;
    return n;
}

static void put_module(struct payload *p, struct module *m)
{
    put_u64(p, m->dev);
    put_u64(p, m->ino);
    put_u64(p, m->file_bytes);
    put_text(p, m->path);
    put_string(p, m->build_id, m->build_id_bytes);
    size_t count_at = p->n;
    uint32_t n = 0;
    put_u32(p, n);
    if (m->fd >= 0)
        n = put_open_file(p, m);
    for (size_t i = 0; m->fd < 0 && i < m->n_pieces; i++, n++)
        put_piece(p, m->pieces[i].off, m->pieces[i].data, m->pieces[i].bytes);
    memcpy(p->data + count_at, &n, sizeof(n));
}

static void put_mapping(struct payload *p, const struct mapping *m)
{
    put_u64(p, m->start);
    put_u64(p, m->end);
    put_u64(p, m->off);
    put_u64(p, m->dev);
    put_u64(p, m->ino);
    put_u32(p, m->prot);
    put_u32(p, m->shared);
    put_u32(p, m->module ? m->module->id : SNAPFILE_NONE);
    put_text(p, m->path);
}

static void put_process(struct payload *p, const struct snapfile_process *process)
{
    put_u32(p, (uint32_t)process->pid);
    put_u32(p, (uint32_t)process->maps.n);
    for (size_t i = 0; i < process->maps.n; i++)
        put_mapping(p, &process->maps.items[i]);
}

static void put_item(struct payload *p, const struct snapfile_item *item)
{
    const struct snapshot *s = &item->snap;
    put_u32(p, (uint32_t)s->pid);
    put_u32(p, (uint32_t)s->tid);
    put_u32(p, s->state);
    put_u32(p, s->source);
    put_u64(p, (uint64_t)s->syscall);
    put_u32(p, s->regs.known);
    for (size_t i = 0; i < REGS_N; i++)
        put_u64(p, s->regs.value[i]);
    put_u64(p, s->stack_addr);
    put_u32(p, s->stack_cut);
    put_text(p, item->name);
    put_string(p, s->stack, s->stack_bytes);
    if (item->wait)
        put_text(p, item->wait);
}

static void put_shown(struct payload *p, const struct snapfile_item *item)
{
    put_u32(p, (uint32_t)item->n_shown);
    for (size_t i = 0; i < item->n_shown; i++) {
        const struct snapfile_shown *f = &item->shown[i];
        put_u32(p, f->native);
        put_text(p, f->function);
        put_text(p, f->file);
        put_u32(p, f->first_line);
        put_u32(p, f->line);
    }
}

static bool records_write(FILE *to, const struct snapfile *s, struct payload *p)
{
    bool ok = fwrite(SNAPFILE_MAGIC, SNAPFILE_MAGIC_BYTES, 1, to) == 1;
    for (size_t i = 0; ok && i < s->modules.n; i++) {
        put_module(p, s->modules.items[i]);
        ok = record_write(to, KIND_MODULE, p);
    }
    for (size_t i = 0; ok && i < s->n_processes; i++) {
        put_process(p, &s->processes[i]);
        ok = record_write(to, KIND_MAPPINGS, p);
    }
    for (size_t i = 0; ok && i < s->n_items; i++) {
        put_item(p, &s->items[i]);
        ok = record_write(to, KIND_SNAPSHOT, p);
        if (ok && s->items[i].shown) {
            put_shown(p, &s->items[i]);
            ok = record_write(to, KIND_SHOWN, p);
        }
    }
    return ok && record_write(to, KIND_END, p) && fflush(to) == 0;
}

int snapfile_write(FILE *to, const struct snapfile *s, struct error *err)
{
    struct payload p = {0};
    errno = 0;
    bool ok = records_write(to, s, &p);
    int rc = errno ? -errno : -EIO;
    free(p.data);
    return ok ? 0 : error_set(err, rc, "cannot write the snapshots: %s", strerror(-rc));
}

/* SPDX-License-Identifier: MIT */
#include "unwind/cfi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "target/sections.h"
#include "unwind/debug_frame.h"

enum {
    EH_FRAME_BYTES_MAX = 256 * 1024 * 1024,    /* of a section that we index ourselves */
    INDEX_CIE_BYTES_MAX = 16 * 1024 * 1024,    /* interpreted on the way */
    INDEX_MAX = 4 * 1024 * 1024,               /* FDEs in it */
    CIE_BYTES_MAX = 4096,                      /* kept for each module; real ones have below 100 */
    HDR_HEAD_BYTES = 20,                       /* of .eh_frame_hdr, all before the table */
    TABLE_ENCODING = ENC_DATAREL | ENC_SDATA4, /* the one that linkers write */
    TABLE_ENTRY_BYTES = 8
};

static const uint64_t nowhere = UINT64_MAX;

struct index_entry {
    uint64_t start; /* vaddr of code */
    uint64_t fde;   /* where the FDE is, as struct section has it */
};

/* FDEs sorted by the code they cover: an index of our own. */
struct index {
    struct index_entry *entries; /* owned */
    size_t n, cap;
};

/* Bytes of one entry of .eh_frame. */
struct buffer {
    uint8_t *bytes; /* owned */
    size_t cap, max;
};

/* One module's .eh_frame or .debug_frame. Places in it are a vaddr in the first, an offset in the
 * second, which is no part of any segment. */
struct section {
    enum cfi_form form;
    uint8_t *bytes; /* .debug_frame: owned */
    size_t n_bytes;
    struct index index;
    uint64_t table, table_n; /* vaddr of the linker's search table in .eh_frame_hdr, entries */
    uint64_t cie_at;         /* place of the CIE read last, or nowhere */
    struct cfi_cie cie;
    struct buffer cie_bytes;
};

struct source {
    struct section eh_frame, debug_frame;
    bool debug_frame_read;
};

struct cfi {
    struct pages *pages;   /* borrowed */
    struct map sources;    /* module -> place in items */
    struct source **items; /* owned */
    size_t n, cap;
    struct buffer fde_bytes;
    uint64_t spent;
    uint64_t kept_bytes; /* sections and indexes of all items */
    struct map cut;      /* ids of modules; not forgotten */
};

struct cfi *cfi_new(struct pages *pages)
{
    struct cfi *c = mem_alloc(sizeof(*c));
    c->pages = pages;
    c->fde_bytes.max = sizeof(uint32_t) + CFI_ENTRY_BYTES_MAX;
    return c;
}

static void section_release(struct section *s)
{
    free(s->bytes);
    free(s->index.entries);
    free(s->cie_bytes.bytes);
}

void cfi_forget(struct cfi *c)
{
    for (size_t i = 0; i < c->n; i++) {
        section_release(&c->items[i]->eh_frame);
        section_release(&c->items[i]->debug_frame);
        free(c->items[i]);
    }
    c->n = 0;
    c->kept_bytes = 0;
    map_release(&c->sources);
}

void cfi_free(struct cfi *c)
{
    if (!c)
        return;
    cfi_forget(c);
    map_release(&c->cut);
    free(c->items);
    free(c->fde_bytes.bytes);
    free(c);
}

static bool eh_frame_entry(struct cfi *c, struct module *m, uint64_t at, struct buffer *buf,
                           struct cfi_entry *ret_entry)
{
    uint32_t bytes;
    if (pages_read_vaddr(c->pages, m, &bytes, sizeof(bytes), at) < 0)
        return false;
    size_t all = sizeof(bytes) + (size_t)bytes;
    if (all > buf->max)
        return false;
    buf->bytes = mem_grow(buf->bytes, &buf->cap, all, 1);
    struct cfi_reader r = {.bytes = buf->bytes, .vaddr = at, .end = all};
    return pages_read_vaddr(c->pages, m, buf->bytes, all, at) == 0 &&
           cfi_entry_open(r, CFI_EH_FRAME, ret_entry);
}

static bool entry_read(struct cfi *c, struct module *m, const struct section *s, uint64_t at,
                       struct buffer *buf, struct cfi_entry *ret_entry)
{
    if (s->form == CFI_EH_FRAME)
        return eh_frame_entry(c, m, at, buf, ret_entry);
    struct cfi_reader r = {.bytes = s->bytes, .at = at, .end = s->n_bytes};
    return at < s->n_bytes && cfi_entry_open(r, CFI_DEBUG_FRAME, ret_entry);
}

/* Its FDEs mostly share one CIE. NULL: malformed. */
static const struct cfi_cie *cie_get(struct cfi *c, struct module *m, struct section *s,
                                     uint64_t at)
{
    struct cfi_entry e;
    if (s->cie_at == at)
        return &s->cie;
    s->cie_at = nowhere;
    if (!entry_read(c, m, s, at, &s->cie_bytes, &e))
        return NULL;
    c->spent += e.body.end - e.body.at;
    if (cfi_cie_read(&e, s->form, &s->cie) < 0)
        return NULL;
    s->cie_at = at;
    return &s->cie;
}

static int fde_read(struct cfi *c, struct module *m, struct section *s, uint64_t at, uint64_t vaddr,
                    struct cfi_fde *ret_fde)
{
    struct cfi_entry e;
    struct cfi_fde fde = {0};
    if (!entry_read(c, m, s, at, &c->fde_bytes, &e) || e.is_cie)
        return -EBADMSG;
    c->spent += e.body.end - e.body.at;
    fde.cie = cie_get(c, m, s, e.cie);
    if (!fde.cie || !cfi_fde_range(&e, fde.cie, &fde.start, &fde.end))
        return -EBADMSG;
    if (vaddr < fde.start || vaddr >= fde.end)
        return -ENODATA;
    if (!cfi_fde_program(&e, fde.cie))
        return -EBADMSG;
    fde.program = e.body;
    *ret_fde = fde;
    return 0;
}

static int by_start(const void *a, const void *b)
{
    const struct index_entry *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

static void index_add(struct cfi *c, struct module *m, struct section *s, struct cfi_entry *e,
                      uint64_t at)
{
    struct index_entry x = {.fde = at};
    uint64_t code_end;
    const struct cfi_cie *cie = e->is_cie ? NULL : cie_get(c, m, s, e->cie);
    /* linkers leave a start of 0 to code that they dropped */
    if (!cie || !cfi_fde_range(e, cie, &x.start, &code_end) || !x.start)
        return;
    struct index *i = &s->index;
    i->entries = mem_grow(i->entries, &i->cap, i->n + 1, sizeof(*i->entries));
    i->entries[i->n++] = x;
}

static uint64_t room_bytes(const struct cfi *c)
{
    return CFI_KEPT_BYTES_MAX - c->kept_bytes;
}

static bool index_has_room(const struct cfi *c, const struct index *i)
{
    return i->n < INDEX_MAX && (i->n + 1) * sizeof(*i->entries) <= room_bytes(c);
}

/* The array has grown by doubling: what stays has the size that is counted. */
static void index_close(struct cfi *c, struct index *i)
{
    size_t bytes = i->n * sizeof(*i->entries);
    if (!i->n)
        return;
    struct index_entry *fitted = realloc(i->entries, bytes);
    if (fitted)
        i->entries = fitted;
    i->cap = i->n;
    c->kept_bytes += bytes;
    qsort(i->entries, i->n, sizeof(*i->entries), by_start);
}

/* Indexes the FDEs between two places, or up to the terminator or the first malformed entry. */
static void index_build(struct cfi *c, struct module *m, struct section *s, uint64_t at,
                        uint64_t bytes)
{
    struct cfi_entry e;
    uint64_t end, spent = c->spent;
    if (__builtin_add_overflow(at, bytes, &end))
        return;
    bool cut = bytes > EH_FRAME_BYTES_MAX;
    while (!cut && at < end && entry_read(c, m, s, at, &c->fde_bytes, &e)) {
        cut = !index_has_room(c, &s->index) || c->spent - spent >= INDEX_CIE_BYTES_MAX;
        uint64_t next = e.body.vaddr + e.body.end;
        if (!cut)
            index_add(c, m, s, &e, at);
        at = next;
    }
    c->spent = spent; /* once for each module: no walk's fault */
    if (cut)
        map_put(&c->cut, m->id, 0, 0);
    index_close(c, &s->index);
}

/* How many bytes of the file follow in the segment. */
static uint64_t segment_rest(const struct module *m, uint64_t vaddr)
{
    for (size_t i = 0; i < m->n_loads; i++) {
        uint64_t at = vaddr - m->loads[i].vaddr;
        if (vaddr >= m->loads[i].vaddr && at < m->loads[i].file_bytes)
            return m->loads[i].file_bytes - at;
    }
    return 0;
}

/* .eh_frame_hdr (LSB 5.0 Core, 10.6.2) */
static void eh_frame_from_hdr(struct cfi *c, struct module *m, struct section *s)
{
    uint8_t head[HDR_HEAD_BYTES];
    uint64_t at = m->eh_frame_hdr_vaddr, all = m->eh_frame_hdr_bytes;
    struct cfi_reader r = {.bytes = head, .vaddr = at};
    r.end = all < sizeof(head) ? all : sizeof(head);
    if (pages_read_vaddr(c->pages, m, head, r.end, at) < 0)
        return;
    uint64_t version = cfi_read_uint(&r, 1);
    unsigned frame_encoding = (unsigned)cfi_read_uint(&r, 1);
    unsigned count_encoding = (unsigned)cfi_read_uint(&r, 1);
    unsigned table_encoding = (unsigned)cfi_read_uint(&r, 1);
    uint64_t frame = cfi_read_pointer(&r, frame_encoding);
    if (r.bad || version != 1)
        return;
    uint64_t count = count_encoding == ENC_OMIT ? 0 : cfi_read_pointer(&r, count_encoding);
    if (r.bad || !count || table_encoding != TABLE_ENCODING) {
        index_build(c, m, s, frame, segment_rest(m, frame));
        return;
    }
    uint64_t room = (all - r.at) / TABLE_ENTRY_BYTES;
    s->table = at + r.at;
    s->table_n = count < room ? count : room;
}

/* Without a PT_GNU_EH_FRAME only the section headers tell where .eh_frame is. */
static void eh_frame_from_sections(struct cfi *c, struct module *m, struct section *s)
{
    struct sections sections;
    if (sections_read(&sections, m) < 0)
        return;
    for (size_t i = 0; i < sections.n; i++) {
        const Elf64_Shdr *h = &sections.items[i];
        if (!(h->sh_flags & SHF_ALLOC) || h->sh_type == SHT_NOBITS ||
            !sections_named(&sections, h, ".eh_frame"))
            continue;
        index_build(c, m, s, h->sh_addr, h->sh_size);
        break;
    }
    sections_release(&sections);
}

static struct source *source_get(struct cfi *c, struct module *m)
{
    const uint64_t *place = map_find(&c->sources, (uintptr_t)m, 0);
    if (place)
        return c->items[*place];
    struct source *s = mem_alloc(sizeof(*s));
    s->eh_frame = (struct section){.form = CFI_EH_FRAME, .cie_at = nowhere};
    s->eh_frame.cie_bytes.max = CIE_BYTES_MAX;
    s->debug_frame = (struct section){.form = CFI_DEBUG_FRAME, .cie_at = nowhere};
    if (m->eh_frame_hdr_bytes)
        eh_frame_from_hdr(c, m, &s->eh_frame);
    else if (m->n_loads)
        eh_frame_from_sections(c, m, &s->eh_frame);
    map_put(&c->sources, (uintptr_t)m, 0, c->n);
    c->items = mem_grow(c->items, &c->cap, c->n + 1, sizeof(*c->items));
    c->items[c->n++] = s;
    return s;
}

/* Entries are pairs of code and FDE, relative to the start of .eh_frame_hdr. */
static bool table_entry(struct cfi *c, struct module *m, const struct section *s, uint64_t i,
                        struct index_entry *ret_entry)
{
    int32_t pair[2];
    if (pages_read_vaddr(c->pages, m, pair, sizeof(pair), s->table + i * TABLE_ENTRY_BYTES) < 0)
        return false;
    ret_entry->start = m->eh_frame_hdr_vaddr + (uint64_t)pair[0];
    ret_entry->fde = m->eh_frame_hdr_vaddr + (uint64_t)pair[1];
    return true;
}

/* The place of the last FDE that starts at or before vaddr, or nowhere. */
static uint64_t fde_search(struct cfi *c, struct module *m, const struct section *s, uint64_t vaddr)
{
    uint64_t lo = 0, hi = s->index.n ? s->index.n : s->table_n, found = nowhere;
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        struct index_entry e;
        if (s->index.n)
            e = s->index.entries[mid];
        else if (!table_entry(c, m, s, mid, &e))
            return nowhere;
        if (e.start <= vaddr) {
            found = e.fde;
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return found;
}

static int find_in(struct cfi *c, struct module *m, struct section *s, uint64_t vaddr,
                   struct cfi_fde *ret_fde)
{
    uint64_t at = fde_search(c, m, s, vaddr);
    return at == nowhere ? -ENODATA : fde_read(c, m, s, at, vaddr, ret_fde);
}

static void debug_frame_load(struct cfi *c, struct module *m, struct source *s)
{
    if (s->debug_frame_read || !m->n_loads)
        return;
    s->debug_frame_read = true;
    struct section *d = &s->debug_frame;
    int rc = debug_frame_read(m, room_bytes(c), &d->bytes, &d->n_bytes);
    if (rc == -E2BIG)
        map_put(&c->cut, m->id, 0, 0);
    if (rc < 0)
        return;
    c->kept_bytes += d->n_bytes;
    index_build(c, m, d, 0, d->n_bytes);
}

int cfi_find(struct cfi *c, struct module *m, uint64_t vaddr, struct cfi_fde *ret_fde)
{
    struct source *s = source_get(c, m);
    int rc = find_in(c, m, &s->eh_frame, vaddr, ret_fde);
    if (rc != -ENODATA)
        return rc;
    debug_frame_load(c, m, s);
    return find_in(c, m, &s->debug_frame, vaddr, ret_fde);
}

uint64_t cfi_spent(const struct cfi *c)
{
    return c->spent;
}

uint64_t cfi_cut(const struct cfi *c)
{
    return c->cut.n;
}

int cfi_fde_run(const struct cfi_fde *fde, cfi_visit *visit, void *arg)
{
    return cfi_run(fde->program, &fde->cie->terms, &fde->cie->initial, fde->start, fde->end, visit,
                   arg);
}

/* SPDX-License-Identifier: MIT */
#include "unwind/cfi.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "target/snapshot.h"
#include "unwind/cfi_reader.h"
#include "unwind/cfi_vet.h"

enum {
    ENTRY_BYTES_MAX = 1024 * 1024,             /* of one FDE or CIE */
    EH_FRAME_BYTES_MAX = 256 * 1024 * 1024,    /* of a section that we index ourselves */
    INDEX_MAX = 4 * 1024 * 1024,               /* FDEs in it */
    TABLE_ENCODING = ENC_DATAREL | ENC_SDATA4, /* the one that linkers write */
    TABLE_ENTRY_BYTES = 8,
    SECTIONS_MAX = 4096
};

struct index_entry {
    uint64_t start; /* vaddr of code */
    uint64_t fde;   /* vaddr */
};

/* Where one module's FDEs are found: in the linker's table, or in an index of our own. */
struct source {
    uint64_t table, table_n;   /* vaddr of the binary search table in .eh_frame_hdr, entries */
    struct index_entry *index; /* owned, sorted */
    size_t n, cap;
};

struct cfi {
    struct pages *pages; /* borrowed */
    struct map sources;  /* module -> place in items */
    struct source *items;
    size_t n, cap;
};

/* A CIE or FDE between its length field and the next one. */
struct entry {
    struct cfi_reader body; /* stands behind the id */
    uint64_t cie;           /* vaddr of the FDE's CIE; 0: this is a CIE */
};

struct cie {
    unsigned pointer_encoding, lsda_encoding;
    bool sized, signal_frame;
    struct cfi_vet vet;
};

struct cfi *cfi_new(struct pages *pages)
{
    struct cfi *c = mem_alloc(sizeof(*c));
    c->pages = pages;
    return c;
}

void cfi_forget(struct cfi *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->items[i].index);
    c->n = 0;
    map_release(&c->sources);
    c->sources = (struct map){0};
}

void cfi_free(struct cfi *c)
{
    if (!c)
        return;
    cfi_forget(c);
    free(c->items);
    free(c);
}

static struct cfi_reader reader_at(struct pages *pages, struct module *m, uint64_t at,
                                   uint64_t bytes)
{
    uint64_t end;
    bool bad = __builtin_add_overflow(at, bytes, &end);
    return (struct cfi_reader){.pages = pages, .module = m, .at = at, .end = end, .bad = bad};
}

/*
 * False at the terminator (length 0) and on anything malformed, the 64-bit format included: no x86
 * compiler writes it, and readers disagree on the width of its CIE pointer.
 */
static bool entry_read(struct pages *pages, struct module *m, uint64_t at, struct entry *ret_entry)
{
    struct cfi_reader r = reader_at(pages, m, at, 8);
    uint64_t bytes = cfi_read_uint(&r, 4), id_at = r.at, id = cfi_read_uint(&r, 4);
    if (r.bad || bytes < 4 || bytes > ENTRY_BYTES_MAX || id > id_at)
        return false;
    ret_entry->body = reader_at(pages, m, id_at + 4, bytes - 4);
    ret_entry->cie = id ? id_at - id : 0;
    return !ret_entry->body.bad;
}

/* "zPLR": libunwind looks at four characters only, and needs to understand each of them. */
static bool augmentation_read(struct cfi_reader *r, char *aug, size_t aug_bytes)
{
    for (size_t i = 0; i < aug_bytes; i++) {
        aug[i] = (char)cfi_read_uint(r, 1);
        if (!aug[i])
            return !r->bad && (!i || aug[0] == 'z');
    }
    return false;
}

static bool augmentation_apply(struct cfi_reader *r, const char *aug, struct cie *cie)
{
    for (; *aug; aug++) {
        if (*aug == 'R')
            cie->pointer_encoding = (unsigned)cfi_read_uint(r, 1);
        else if (*aug == 'L')
            cie->lsda_encoding = (unsigned)cfi_read_uint(r, 1);
        else if (*aug == 'P')
            (void)cfi_read_pointer(r, (unsigned)cfi_read_uint(r, 1) & ~(unsigned)ENC_INDIRECT);
        else if (*aug == 'S')
            cie->signal_frame = true;
        else
            return false;
    }
    return !r->bad && !(cie->pointer_encoding & ENC_INDIRECT);
}

static bool cie_read(struct pages *pages, struct module *m, uint64_t at, struct cie *ret_cie)
{
    struct entry e;
    struct cie cie = {.pointer_encoding = ENC_PTR, .lsda_encoding = ENC_OMIT};
    char aug[5];
    if (!entry_read(pages, m, at, &e) || e.cie)
        return false;
    struct cfi_reader *r = &e.body;
    uint64_t version = cfi_read_uint(r, 1);
    if ((version != 1 && version != 3) || !augmentation_read(r, aug, sizeof(aug)))
        return false;
    cfi_skip_leb(r); /* code alignment */
    cfi_skip_leb(r); /* data alignment */
    uint64_t return_column = version == 1 ? cfi_read_uint(r, 1) : cfi_read_uleb(r);
    cie.sized = aug[0] == 'z';
    if (cie.sized) {
        uint64_t bytes = cfi_read_uleb(r), from = r->at;
        if (!augmentation_apply(r, aug + 1, &cie) || r->at - from != bytes)
            return false;
    }
    cie.vet.pointer_encoding = cie.pointer_encoding;
    if (r->bad || return_column != DWREG_RIP || !cfi_vet_program(r, &cie.vet))
        return false;
    *ret_cie = cie;
    return true;
}

/* The code that an FDE covers. Leaves the reader behind the range. */
static bool range_read(struct entry *e, const struct cie *cie, uint64_t *ret_start,
                       uint64_t *ret_end)
{
    uint64_t start = cfi_read_pointer(&e->body, cie->pointer_encoding);
    uint64_t bytes = cfi_read_pointer(&e->body, cie->pointer_encoding & ENC_FORMAT_MASK);
    *ret_start = start;
    return !e->body.bad && !__builtin_add_overflow(start, bytes, ret_end);
}

static bool fde_program_vetted(struct cfi_reader *r, const struct cie *cie)
{
    if (cie->sized)
        cfi_skip(r, cfi_read_uleb(r));
    else if (cie->lsda_encoding != ENC_OMIT)
        return false;
    struct cfi_vet vet = cie->vet;
    return cfi_vet_program(r, &vet) && vet.cfa_defined;
}

static int fde_read(struct cfi *c, struct module *m, uint64_t at, uint64_t vaddr,
                    struct cfi_fde *ret_fde)
{
    struct entry e;
    struct cie cie;
    struct cfi_fde fde = {.vaddr = at};
    if (!entry_read(c->pages, m, at, &e) || !e.cie || !cie_read(c->pages, m, e.cie, &cie) ||
        !range_read(&e, &cie, &fde.start, &fde.end))
        return -EBADMSG;
    if (vaddr < fde.start || vaddr >= fde.end)
        return -ENODATA;
    if (!fde_program_vetted(&e.body, &cie))
        return -EBADMSG;
    fde.signal_frame = cie.signal_frame;
    *ret_fde = fde;
    return 0;
}

static int by_start(const void *a, const void *b)
{
    const struct index_entry *x = a, *y = b;
    return (x->start > y->start) - (x->start < y->start);
}

/* Indexes the FDEs between two vaddrs, or up to the terminator or the first malformed entry. */
static void index_build(struct source *s, struct pages *pages, struct module *m, uint64_t at,
                        uint64_t bytes)
{
    struct entry e;
    struct cie cie;
    uint64_t cie_at = 0, end;
    if (bytes > EH_FRAME_BYTES_MAX || __builtin_add_overflow(at, bytes, &end))
        return;
    while (at < end && s->n < INDEX_MAX && entry_read(pages, m, at, &e)) {
        at = e.body.end;
        if (!e.cie || (e.cie != cie_at && !cie_read(pages, m, e.cie, &cie)))
            continue;
        cie_at = e.cie;
        struct index_entry x = {.fde = e.body.at - 8};
        uint64_t code_end;
        if (!range_read(&e, &cie, &x.start, &code_end) || !x.start)
            continue;
        s->index = mem_grow(s->index, &s->cap, s->n + 1, sizeof(*s->index));
        s->index[s->n++] = x;
    }
    if (s->n)
        qsort(s->index, s->n, sizeof(*s->index), by_start);
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
static void source_from_hdr(struct source *s, struct pages *pages, struct module *m)
{
    struct cfi_reader r = reader_at(pages, m, m->eh_frame_hdr_vaddr, m->eh_frame_hdr_bytes);
    uint64_t version = cfi_read_uint(&r, 1);
    unsigned frame_encoding = (unsigned)cfi_read_uint(&r, 1);
    unsigned count_encoding = (unsigned)cfi_read_uint(&r, 1);
    unsigned table_encoding = (unsigned)cfi_read_uint(&r, 1);
    uint64_t frame = cfi_read_pointer(&r, frame_encoding);
    if (r.bad || version != 1)
        return;
    uint64_t count = count_encoding == ENC_OMIT ? 0 : cfi_read_pointer(&r, count_encoding);
    if (r.bad || !count || table_encoding != TABLE_ENCODING) {
        index_build(s, pages, m, frame, segment_rest(m, frame));
        return;
    }
    uint64_t room = (r.end - r.at) / TABLE_ENTRY_BYTES;
    s->table = r.at;
    s->table_n = count < room ? count : room;
}

static bool is_eh_frame(struct module *m, const Elf64_Shdr *names, const Elf64_Shdr *section)
{
    static const char wanted[] = ".eh_frame";
    char name[sizeof(wanted)];
    return (section->sh_flags & SHF_ALLOC) && section->sh_type != SHT_NOBITS &&
           section->sh_name <= names->sh_size &&
           names->sh_offset <= UINT64_MAX - section->sh_name &&
           module_read(m, name, sizeof(name), names->sh_offset + section->sh_name) == 0 &&
           !memcmp(name, wanted, sizeof(wanted));
}

/* Without a PT_GNU_EH_FRAME only the section headers tell where .eh_frame is. */
static void source_from_sections(struct source *s, struct pages *pages, struct module *m)
{
    Elf64_Ehdr e;
    if (module_read(m, &e, sizeof(e), 0) < 0 || e.e_shentsize != sizeof(Elf64_Shdr) || !e.e_shnum ||
        e.e_shnum > SECTIONS_MAX || e.e_shstrndx >= e.e_shnum)
        return;
    size_t bytes = e.e_shnum * sizeof(Elf64_Shdr);
    OX_FREE Elf64_Shdr *sh = mem_alloc(bytes);
    if (module_read(m, sh, bytes, e.e_shoff) < 0)
        return;
    for (size_t i = 0; i < e.e_shnum; i++)
        if (is_eh_frame(m, &sh[e.e_shstrndx], &sh[i])) {
            index_build(s, pages, m, sh[i].sh_addr, sh[i].sh_size);
            return;
        }
}

static struct source *source_get(struct cfi *c, struct module *m)
{
    const uint64_t *place = map_find(&c->sources, (uintptr_t)m, 0);
    if (place)
        return &c->items[*place];
    struct source s = {0};
    if (m->eh_frame_hdr_bytes)
        source_from_hdr(&s, c->pages, m);
    else if (m->n_loads)
        source_from_sections(&s, c->pages, m);
    map_put(&c->sources, (uintptr_t)m, 0, c->n);
    c->items = mem_grow(c->items, &c->cap, c->n + 1, sizeof(*c->items));
    c->items[c->n] = s;
    return &c->items[c->n++];
}

/* Entries are pairs of code and FDE, relative to the start of .eh_frame_hdr. */
static bool table_entry(struct cfi *c, struct module *m, const struct source *s, uint64_t i,
                        struct index_entry *ret_entry)
{
    int32_t pair[2];
    if (pages_read_vaddr(c->pages, m, pair, sizeof(pair), s->table + i * TABLE_ENTRY_BYTES) < 0)
        return false;
    ret_entry->start = m->eh_frame_hdr_vaddr + (uint64_t)pair[0];
    ret_entry->fde = m->eh_frame_hdr_vaddr + (uint64_t)pair[1];
    return true;
}

/* The last FDE that starts at or before vaddr; 0: none. */
static uint64_t fde_search(struct cfi *c, struct module *m, const struct source *s, uint64_t vaddr)
{
    uint64_t lo = 0, hi = s->index ? s->n : s->table_n, found = 0;
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        struct index_entry e;
        if (s->index)
            e = s->index[mid];
        else if (!table_entry(c, m, s, mid, &e))
            return 0;
        if (e.start <= vaddr) {
            found = e.fde;
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return found;
}

int cfi_find(struct cfi *c, struct module *m, uint64_t vaddr, struct cfi_fde *ret_fde)
{
    uint64_t at = fde_search(c, m, source_get(c, m), vaddr);
    return at ? fde_read(c, m, at, vaddr, ret_fde) : -ENODATA;
}

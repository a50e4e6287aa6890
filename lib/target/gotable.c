/* SPDX-License-Identifier: MIT */
#include "target/gotable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "target/sections.h"

enum {
    MAGIC_116 = (int)0xfffffffa,
    MAGIC_118 = (int)0xfffffff0,
    MAGIC_120 = (int)0xfffffff1,
    FUNCTIONS_MAX = 1 << 24,
    RELOCATIONS_READ = 512, /* at a time */
    RELOCATIONS_MAX = 1 << 24,
    PC_DATA_BYTES_MAX = 16384, /* of one function */
    SP_DELTA_MAX = 1 << 30
};

/* pcHeader up to 1.17. */
struct head_116 {
    uint32_t magic;
    uint8_t zero[2], min_instruction, pointer_bytes;
    uint64_t functions, files, names, units, file_names, pc_data, table;
};

/* pcHeader since 1.18. */
struct head_118 {
    uint32_t magic;
    uint8_t zero[2], min_instruction, pointer_bytes;
    uint64_t functions, files, text_start, names, units, file_names, pc_data, table;
};

struct gotable {
    struct module *m; /* borrowed */
    uint64_t off, bytes;
    uint64_t n;                     /* functions */
    uint64_t names, table, pc_data; /* offsets in the section */
    uint64_t text_start;            /* vaddr that entries count from; 0 up to 1.17 */
    unsigned field_bytes;           /* of a table entry's two fields: code, function */
};

static int read_at(struct gotable *t, void *dst, size_t bytes, uint64_t at)
{
    if (at > t->bytes || bytes > t->bytes - at)
        return -EBADMSG;
    return module_read(t->m, dst, bytes, t->off + at) < 0 ? -EBADMSG : 0;
}

/* In a position-independent program the header's word is written when it is loaded. */
static uint64_t relocated(struct module *m, const Elf64_Shdr *rela, uint64_t vaddr)
{
    static const size_t bytes = sizeof(Elf64_Rela);
    uint64_t n = rela ? rela->sh_size / bytes : 0;
    Elf64_Rela *items OX_FREE = mem_alloc(RELOCATIONS_READ * bytes);
    for (uint64_t at = 0; at < n && at < RELOCATIONS_MAX; at += RELOCATIONS_READ) {
        size_t take = n - at < RELOCATIONS_READ ? (size_t)(n - at) : RELOCATIONS_READ;
        if (module_read(m, items, take * bytes, rela->sh_offset + at * bytes) < 0)
            return 0;
        for (size_t i = 0; i < take; i++)
            if (items[i].r_offset == vaddr && ELF64_R_TYPE(items[i].r_info) == R_X86_64_RELATIVE)
                return (uint64_t)items[i].r_addend;
    }
    return 0;
}

/* The word of a section that is a pointer, wherever it is written: the linker may leave it to the
 * loader. 0 if neither says. */
static uint64_t pointer_in(struct module *m, const struct sections *s, const Elf64_Shdr *h,
                           uint64_t at)
{
    uint64_t word;
    if (h->sh_size < sizeof(word) || at > h->sh_size - sizeof(word) ||
        module_read(m, &word, sizeof(word), h->sh_offset + at) < 0)
        return 0;
    if (!word)
        word = relocated(m, sections_find(s, SHT_RELA, ".rela.dyn"), h->sh_addr + at);
    if (!word)
        word = relocated(m, sections_find(s, SHT_RELA, ".rela"), h->sh_addr + at);
    return word;
}

/* Since 1.26 it is no longer in the header: in runtime.firstmoduledata only, which has a section of
 * its own since then and begins with a pointer to the table (go1.26 src/runtime/symtab.go). With
 * cgo it is not the beginning of .text. */
static uint64_t text_start(struct module *m, const struct sections *s, const Elf64_Shdr *table)
{
    enum { TEXT = 22 * 8 }; /* moduledata.text */
    uint64_t said = pointer_in(m, s, table, offsetof(struct head_118, text_start));
    const Elf64_Shdr *data = said ? NULL : sections_find(s, SHT_PROGBITS, ".go.module");
    if (!data || pointer_in(m, s, data, 0) != table->sh_addr)
        return said;
    return pointer_in(m, s, data, TEXT);
}

static int read_head(struct gotable *t, const struct sections *s, const Elf64_Shdr *table)
{
    struct head_116 old;
    struct head_118 new;
    if (read_at(t, &old, sizeof(old), 0) < 0 || old.zero[0] || old.zero[1] ||
        old.min_instruction != 1 || old.pointer_bytes != 8)
        return -EBADMSG;
    if (old.magic == (uint32_t)MAGIC_116) {
        t->n = old.functions;
        t->names = old.names;
        t->pc_data = old.pc_data;
        t->table = old.table;
        t->field_bytes = 8;
    } else if ((old.magic == (uint32_t)MAGIC_118 || old.magic == (uint32_t)MAGIC_120) &&
               read_at(t, &new, sizeof(new), 0) == 0) {
        t->n = new.functions;
        t->names = new.names;
        t->pc_data = new.pc_data;
        t->table = new.table;
        t->field_bytes = 4;
        t->text_start = text_start(t->m, s, table);
        if (!t->text_start)
            return -EBADMSG;
    } else {
        return -EBADMSG;
    }
    /* the last entry has a start only */
    uint64_t table_bytes = (2 * t->n + 1) * t->field_bytes;
    bool fits = t->n && t->n <= FUNCTIONS_MAX && t->table <= t->bytes &&
                table_bytes <= t->bytes - t->table && t->names < t->bytes;
    return fits ? 0 : -EBADMSG;
}

int gotable_open(struct module *m, struct gotable **ret_table)
{
    struct sections s;
    if (sections_read(&s, m) < 0)
        return -ENODATA;
    const Elf64_Shdr *h = sections_find(&s, SHT_PROGBITS, ".gopclntab");
    if (!h) /* position-independent */
        h = sections_find(&s, SHT_PROGBITS, ".data.rel.ro.gopclntab");
    int rc = -ENODATA;
    if (h) {
        struct gotable *t = mem_alloc(sizeof(*t));
        *t = (struct gotable){.m = m, .off = h->sh_offset, .bytes = h->sh_size};
        rc = read_head(t, &s, h);
        if (rc < 0)
            free(t);
        else
            *ret_table = t;
    }
    sections_release(&s);
    return rc;
}

void gotable_close(struct gotable *t)
{
    free(t);
}

/* The start of function i (vaddr), or the end of the last one; and where its record is. */
static int entry(struct gotable *t, uint64_t i, uint64_t *ret_start, uint64_t *ret_record)
{
    uint64_t start = 0, record = 0, at = t->table + i * 2 * t->field_bytes;
    if (read_at(t, &start, t->field_bytes, at) < 0 ||
        (i < t->n && read_at(t, &record, t->field_bytes, at + t->field_bytes) < 0))
        return -EBADMSG;
    *ret_start = t->text_start + start;
    *ret_record = record;
    return 0;
}

static int read_name(struct gotable *t, uint64_t record, char *name)
{
    /* _func: the entry, as wide as in the table, then the name's offset */
    uint32_t offset;
    uint64_t at;
    if (__builtin_add_overflow(t->table, record + t->field_bytes, &at) ||
        read_at(t, &offset, sizeof(offset), at) < 0)
        return -EBADMSG;
    at = t->names + offset;
    if (at >= t->bytes)
        return -EBADMSG;
    uint64_t room = t->bytes - at;
    size_t bytes = room < GOTABLE_NAME_BYTES ? (size_t)room : GOTABLE_NAME_BYTES;
    if (read_at(t, name, bytes, at) < 0)
        return -EBADMSG;
    name[bytes - 1] = '\0';
    return 0;
}

/* The function that covers vaddr. */
static int search(struct gotable *t, uint64_t vaddr, uint64_t *ret_start, uint64_t *ret_end,
                  uint64_t *ret_record)
{
    uint64_t lo = 0, hi = t->n, start, record;
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        if (entry(t, mid, &start, &record) < 0)
            return -EBADMSG;
        if (start <= vaddr)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (!lo || entry(t, lo, ret_end, ret_record) < 0 ||
        entry(t, lo - 1, ret_start, ret_record) < 0 || vaddr < *ret_start || vaddr >= *ret_end)
        return -ENODATA;
    return 0;
}

int gotable_find(struct gotable *t, uint64_t vaddr, struct gofunction *ret_function)
{
    struct gofunction f = {0};
    uint64_t end, record;
    int rc = search(t, vaddr, &f.start, &end, &record);
    if (rc < 0)
        return rc;
    f.bytes = end - f.start;
    if (read_name(t, record, f.name) < 0)
        return -EBADMSG;
    *ret_function = f;
    return 0;
}

/* Bytes of a table of values by code address, in the order they are read. */
struct pc_data {
    uint8_t bytes[PC_DATA_BYTES_MAX];
    size_t at, n;
    bool bad;
};

static uint32_t read_varint(struct pc_data *d)
{
    uint32_t v = 0;
    for (unsigned shift = 0; shift < 35; shift += 7) {
        if (d->at == d->n)
            break;
        uint8_t byte = d->bytes[d->at++];
        v |= (uint32_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return v;
    }
    d->bad = true;
    return 0;
}

/* Pairs: by how much the value changes (zigzag), and for how many bytes of code it holds; it
 * begins as -1 (src/runtime/symtab.go, step()). */
static int read_deltas(struct pc_data *d, uint64_t pc, uint64_t end, gotable_visit *visit,
                       void *arg)
{
    int64_t delta = -1;
    for (bool first = true; pc < end; first = false) {
        uint32_t change = read_varint(d);
        if (d->bad || (!change && !first))
            return -EBADMSG;
        delta += (int32_t)(change >> 1 ^ -(change & 1));
        uint64_t next = pc + read_varint(d);
        if (d->bad || delta < 0 || delta > SP_DELTA_MAX)
            return -EBADMSG;
        if (next > end)
            next = end;
        if (next > pc && !visit(arg, pc, next, (uint32_t)delta))
            return 0;
        pc = next;
    }
    return 0;
}

int gotable_sp_deltas(struct gotable *t, uint64_t vaddr, gotable_visit *visit, void *arg)
{
    enum { FIELDS_BEFORE = 3 }; /* name, arguments, deferreturn */
    struct pc_data *data OX_FREE = mem_alloc(sizeof(*data));
    uint64_t start, end, record, at;
    uint32_t offset;
    int rc = search(t, vaddr, &start, &end, &record);
    if (rc < 0)
        return rc;
    if (__builtin_add_overflow(t->table, record + t->field_bytes + FIELDS_BEFORE * 4, &at) ||
        read_at(t, &offset, sizeof(offset), at) < 0)
        return -EBADMSG;
    if (!offset)
        return -ENODATA;
    at = t->pc_data + offset;
    if (at < offset || at >= t->bytes)
        return -EBADMSG;
    data->n = t->bytes - at < sizeof(data->bytes) ? t->bytes - at : sizeof(data->bytes);
    if (read_at(t, data->bytes, data->n, at) < 0)
        return -EBADMSG;
    return read_deltas(data, start, end, visit, arg);
}

/* SPDX-License-Identifier: MIT */
#include "target/sections.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    SECTIONS_MAX = 65536,
    NAMES_MAX_BYTES = 4 << 20, /* of all; those of a linked file take a few hundred */
    NOTE_MAX_BYTES = 4096
};

/* gABI 1.2 "Sections": counts from SHN_LORESERVE up stand in section 0. */
static int extend(struct module *m, const Elf64_Ehdr *e, uint64_t *n, uint64_t *names)
{
    Elf64_Shdr zero;
    *n = e->e_shnum;
    *names = e->e_shstrndx;
    if (*n && *names != SHN_XINDEX)
        return 0;
    if (module_read(m, &zero, sizeof(zero), e->e_shoff) < 0)
        return -EBADMSG;
    if (!*n)
        *n = zero.sh_size;
    if (*names == SHN_XINDEX)
        *names = zero.sh_link;
    return 0;
}

static void read_names(struct sections *s, struct module *m, const Elf64_Shdr *h)
{
    if (!h->sh_size || h->sh_size > NAMES_MAX_BYTES || h->sh_size > m->file_bytes)
        return;
    char *names OX_FREE = mem_alloc(h->sh_size);
    if (module_read(m, names, h->sh_size, h->sh_offset) < 0)
        return;
    s->names = OX_TAKE(names);
    s->names_bytes = h->sh_size;
}

int sections_read(struct sections *ret_sections, struct module *m)
{
    Elf64_Ehdr e;
    if (module_read(m, &e, sizeof(e), 0) < 0 || memcmp(e.e_ident, ELFMAG, SELFMAG) ||
        e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_ident[EI_DATA] != ELFDATA2LSB ||
        e.e_machine != EM_X86_64)
        return -EBADMSG;
    if (!e.e_shoff)
        return -ENODATA;
    uint64_t n, names;
    if (e.e_shentsize != sizeof(Elf64_Shdr) || extend(m, &e, &n, &names) < 0 || n > SECTIONS_MAX)
        return -EBADMSG;
    if (!n)
        return -ENODATA;
    OX_FREE Elf64_Shdr *items = mem_alloc(n * sizeof(Elf64_Shdr));
    if (module_read(m, items, n * sizeof(Elf64_Shdr), e.e_shoff) < 0)
        return -EBADMSG;
    struct sections read = {.n = n};
    if (names < n)
        read_names(&read, m, &items[names]);
    read.items = OX_TAKE(items);
    *ret_sections = read;
    return 0;
}

void sections_release(struct sections *s)
{
    if (!s)
        return;
    free(s->items);
    free(s->names);
    memset(s, 0, sizeof(*s));
}

bool sections_named(const struct sections *s, const Elf64_Shdr *section, const char *name)
{
    size_t bytes = strlen(name) + 1;
    return section->sh_name < s->names_bytes && s->names_bytes - section->sh_name >= bytes &&
           !memcmp(s->names + section->sh_name, name, bytes);
}

const Elf64_Shdr *sections_find(const struct sections *s, uint32_t type, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i].sh_type == type && (!name || sections_named(s, &s->items[i], name)))
            return &s->items[i];
    return NULL;
}

const Elf64_Shdr *sections_at(const struct sections *s, uint64_t vaddr)
{
    for (size_t i = 0; i < s->n; i++) {
        const Elf64_Shdr *h = &s->items[i];
        if ((h->sh_flags & SHF_EXECINSTR) && vaddr >= h->sh_addr && vaddr - h->sh_addr < h->sh_size)
            return h;
    }
    return NULL;
}

static bool note_is(struct module *m, const Elf64_Shdr *h, const uint8_t *id, size_t bytes)
{
    uint8_t desc[MODULE_BUILD_ID_MAX];
    struct {
        Elf64_Nhdr n;
        char owner[sizeof(ELF_NOTE_GNU)];
    } note;
    if (h->sh_size < sizeof(note) + bytes || h->sh_size > NOTE_MAX_BYTES ||
        module_read(m, &note, sizeof(note), h->sh_offset) < 0)
        return false;
    if (note.n.n_type != NT_GNU_BUILD_ID || note.n.n_namesz != sizeof(note.owner) ||
        note.n.n_descsz != bytes || memcmp(note.owner, ELF_NOTE_GNU, sizeof(note.owner)))
        return false;
    return !module_read(m, desc, bytes, h->sh_offset + sizeof(note)) && !memcmp(desc, id, bytes);
}

bool sections_have_build_id(const struct sections *s, struct module *m, const uint8_t *id,
                            size_t bytes)
{
    if (!bytes || bytes > MODULE_BUILD_ID_MAX)
        return false;
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i].sh_type == SHT_NOTE && note_is(m, &s->items[i], id, bytes))
            return true;
    return false;
}

/* SPDX-License-Identifier: MIT */
#include "symbols/locate.h"

#include <string.h>

#include "base/mem.h"
#include "symbols/symtab.h"
#include "target/sections.h"

enum { TABLE_MAX_BYTES = 64 << 20 };

struct search {
    struct module *module;
    const char *const *names;
    size_t n_names;
    struct located *found;
    size_t n;
    const char *text; /* of the table that is searched, and a 0 behind it */
    uint64_t text_bytes;
};

static bool is_called(const char *text, const char *name)
{
    size_t n = strlen(name);
    return !strncmp(text, name, n) && (!text[n] || text[n] == '.' || text[n] == '@');
}

static void add(struct search *s, size_t name, const Elf64_Sym *symbol)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->found[i].vaddr == symbol->st_value && s->found[i].name == name)
            return;
    if (s->n < LOCATED_MAX)
        s->found[s->n++] =
            (struct located){.name = name, .vaddr = symbol->st_value, .bytes = symbol->st_size};
}

static bool look_at(void *arg, const Elf64_Sym *symbol)
{
    struct search *s = arg;
    if (symbol->st_shndx == SHN_UNDEF || !symbol->st_value || symbol->st_name >= s->text_bytes)
        return true;
    for (size_t i = 0; i < s->n_names; i++)
        if (is_called(s->text + symbol->st_name, s->names[i]))
            add(s, i, symbol);
    return s->n < LOCATED_MAX;
}

/* Read at once: of a table's hundred thousand names each is looked at. A 0 is behind it; NULL where
 * it can't be had. Owned by the caller. */
static char *read_strings(struct module *m, const Elf64_Shdr *h)
{
    if (h->sh_type == SHT_NOBITS || h->sh_size > TABLE_MAX_BYTES || h->sh_size > m->file_bytes)
        return NULL;
    char *bytes OX_FREE = mem_alloc(h->sh_size + 1);
    return module_read(m, bytes, h->sh_size, h->sh_offset) == 0 ? OX_TAKE(bytes) : NULL;
}

static void search_table(struct search *s, const struct sections *sections, uint32_t type)
{
    const Elf64_Shdr *h = sections_find(sections, type, NULL);
    if (!h || h->sh_link >= sections->n || h->sh_size > TABLE_MAX_BYTES)
        return;
    const Elf64_Shdr *strings = &sections->items[h->sh_link];
    char *text OX_FREE = read_strings(s->module, strings);
    s->text = text;
    s->text_bytes = text ? strings->sh_size : 0;
    if (text)
        symtab_each(s->module, h, TABLE_MAX_BYTES / sizeof(Elf64_Sym), look_at, s);
}

size_t locate_symbols(struct module *m, const char *const *names, size_t n,
                      struct located ret[LOCATED_MAX])
{
    struct search s = {.module = m, .names = names, .n_names = n, .found = ret};
    struct sections sections __attribute__((cleanup(sections_release))) = {0};
    if (sections_read(&sections, m) < 0)
        return 0;
    search_table(&s, &sections, SHT_SYMTAB);
    search_table(&s, &sections, SHT_DYNSYM);
    return s.n;
}

bool locate_section(struct module *m, const char *name, uint64_t *ret_vaddr)
{
    struct sections sections __attribute__((cleanup(sections_release))) = {0};
    if (sections_read(&sections, m) < 0)
        return false;
    const Elf64_Shdr *h = sections_find(&sections, SHT_PROGBITS, name);
    if (!h || !h->sh_addr)
        return false;
    *ret_vaddr = h->sh_addr;
    return true;
}

/* SPDX-License-Identifier: MIT */
#include "symbols/sources.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "symbols/decompress.h"

enum { MINI_MAX_BYTES = 64 << 20 }; /* a distribution's largest has some 5 MiB */

struct sources *sources_new(struct module *m, uint32_t id)
{
    struct sources *src = mem_alloc(sizeof(*src));
    src->m = m;
    src->id = id;
    src->debug_rc = -ENODATA;
    src->rc = m->n_loads ? sections_read(&src->sections, m) : -EBADMSG;
    src->go = sections_find(&src->sections, SHT_PROGBITS, ".gopclntab") != NULL;
    if (gotable_open(m, &src->gotable) < 0)
        src->gotable = NULL;
    return src;
}

void sources_free(struct sources *src)
{
    if (!src)
        return;
    for (int i = 0; i < SOURCE_TABLES_N; i++)
        symtab_free(src->tables[i]);
    gotable_close(src->gotable);
    dwarf_file_free(src->dwarf);
    sections_release(&src->debug_sections);
    sections_release(&src->sections);
    free(src);
}

static void find_debug_file(struct sources *src, const struct sources_shared *shared)
{
    if (src->debug_tried)
        return;
    src->debug_tried = true;
    src->debug_rc =
        debug_file_find(&shared->places, src->m, &src->sections, &src->debug, &src->debug_sections);
}

static struct symtab *read_debug_table(struct sources *src, const struct sources_shared *shared)
{
    find_debug_file(src, shared);
    if (!src->debug)
        return NULL;
    return symtab_read(src->debug, &src->debug_sections, SHT_SYMTAB, shared->functions);
}

/* The file that .gnu_debugdata holds becomes a module of its own. */
static struct module *unpack_mini(struct sources *src, const struct sources_shared *shared)
{
    const Elf64_Shdr *h = sections_find(&src->sections, SHT_PROGBITS, ".gnu_debugdata");
    uint8_t *data;
    uint64_t bytes;
    if (!h)
        return NULL;
    struct packed packed = {.m = src->m,
                            .off = h->sh_offset,
                            .bytes = h->sh_size,
                            .heartbeat = shared->places.heartbeat};
    if (decompress_xz(&packed, MINI_MAX_BYTES, &data, &bytes) < 0)
        return NULL;
    if (!debug_room_take(shared->debug, bytes)) {
        free(data);
        return NULL;
    }
    struct module *mini = modules_add(shared->places.files, 0, 0, "[.gnu_debugdata]");
    mini->file_bytes = bytes;
    mini->pieces = mem_alloc(sizeof(*mini->pieces));
    mini->pieces[0] = (struct module_piece){.bytes = bytes, .data = data};
    mini->n_pieces = 1;
    return mini;
}

static struct symtab *read_mini_table(struct sources *src, const struct sources_shared *shared)
{
    struct sections sections;
    struct module *mini = unpack_mini(src, shared);
    if (!mini || sections_read(&sections, mini) < 0)
        return NULL;
    struct symtab *t = symtab_read(mini, &sections, SHT_SYMTAB, shared->functions);
    sections_release(&sections);
    return t;
}

static struct symtab *read_table(struct sources *src, enum source source,
                                 const struct sources_shared *shared)
{
    switch (source) {
    case SOURCE_DEBUG:
        return read_debug_table(src, shared);
    case SOURCE_MINI:
        return read_mini_table(src, shared);
    default:
        return symtab_read(src->m, &src->sections,
                           source == SOURCE_SYMTAB ? SHT_SYMTAB : SHT_DYNSYM, shared->functions);
    }
}

const struct symtab *sources_table(struct sources *src, enum source source,
                                   const struct sources_shared *shared)
{
    if (!src->tried[source])
        src->tables[source] = read_table(src, source, shared);
    src->tried[source] = true;
    return src->tables[source];
}

/* It has no code of its own: whose module it is opened for does not matter. */
static struct dwarf_file *alt_file(struct sources *src, struct module *alt,
                                   const struct sections *s, const struct sources_shared *shared)
{
    struct alt_files *alts = shared->alts;
    for (size_t i = 0; i < alts->n; i++)
        if (alts->items[i]->m == alt)
            return alts->items[i];
    struct dwarf_file *f = dwarf_file_open(alt, s, src->m, shared->debug);
    if (!f)
        return NULL;
    alts->items = mem_grow(alts->items, &alts->cap, alts->n + 1, sizeof(struct dwarf_file *));
    alts->items[alts->n++] = f;
    return f;
}

void alt_files_release(struct alt_files *alts)
{
    for (size_t i = 0; i < alts->n; i++)
        dwarf_file_free(alts->items[i]);
    free(alts->items);
}

void alt_files_trim(struct alt_files *alts, bool packed)
{
    for (size_t i = 0; i < alts->n; i++)
        dwarf_file_trim(alts->items[i], packed);
}

static void open_alt(struct sources *src, struct module *file, const struct sections *s,
                     const struct sources_shared *shared)
{
    struct module *alt;
    struct sections sections;
    src->alt_rc = 0;
    if (!sections_find(s, SHT_PROGBITS, ".gnu_debugaltlink"))
        return;
    src->alt_rc = debug_file_alt(&shared->places, file, s, &alt, &sections);
    if (src->alt_rc < 0)
        return;
    src->dwarf->alt = alt_file(src, alt, &sections, shared);
    sections_release(&sections);
}

struct dwarf_file *sources_dwarf(struct sources *src, const struct sources_shared *shared)
{
    if (src->dwarf_tried || src->rc < 0)
        return src->dwarf;
    src->dwarf_tried = true;
    struct module *file = src->m;
    const struct sections *s = &src->sections;
    src->dwarf = dwarf_file_open(file, s, src->m, shared->debug);
    if (!src->dwarf) {
        find_debug_file(src, shared);
        file = src->debug;
        s = &src->debug_sections;
        src->dwarf = file ? dwarf_file_open(file, s, src->m, shared->debug) : NULL;
    }
    if (src->dwarf)
        open_alt(src, file, s, shared);
    return src->dwarf;
}

void sources_trim(struct sources *src, bool packed)
{
    if (src->dwarf)
        dwarf_file_trim(src->dwarf, packed);
}

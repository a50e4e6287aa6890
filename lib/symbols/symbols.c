/* SPDX-License-Identifier: MIT */
#include "symbols/symbols.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/intern.h"
#include "base/map.h"
#include "base/mem.h"
#include "symbols/debug_file.h"
#include "symbols/demangle.h"
#include "symbols/plt.h"
#include "symbols/sections.h"
#include "symbols/symtab.h"

enum source { SOURCE_SYMTAB, SOURCE_DEBUG, SOURCE_DYNSYM, SOURCE_PLT, SOURCE_N };

enum {
    NAMES_MAX_BYTES = 64 << 20,
    FUNCTIONS_MAX = 4 << 20, /* of all tables together: 96 MiB */
};

/* What names the functions of one module. */
struct names {
    struct module *m; /* borrowed */
    uint32_t id;
    int rc; /* of its sections */
    struct sections sections;
    bool go;                           /* dots are part of Go's names */
    bool tried[SOURCE_PLT];            /* each table is looked for once */
    struct symtab *tables[SOURCE_PLT]; /* owned; NULL: none */
    int debug_rc;                      /* of debug_file_open() */
};

struct symbols {
    enum demangle demangle;
    char *debug_dir;        /* owned */
    struct intern *strings; /* every name handed out */
    struct map by_module;   /* (struct module *, 0) -> place in modules */
    struct names **modules; /* owned */
    size_t n, cap;
    struct symbol *known; /* owned; whatever has been named */
    size_t n_known, known_cap;
    struct map by_place; /* (module id and source, place) -> place in known */
    struct modules debug_files;
    struct symtab_room room;
};

struct symbols *symbols_new(const struct symbols_options *opt)
{
    struct symbols *s = mem_alloc(sizeof(*s));
    s->demangle = opt->demangle;
    s->debug_dir = mem_strdup(opt->debug_dir ? opt->debug_dir : "/usr/lib/debug");
    s->strings = intern_new(NAMES_MAX_BYTES);
    s->room.left = FUNCTIONS_MAX;
    return s;
}

static void names_free(struct names *names)
{
    for (int i = 0; i < SOURCE_PLT; i++)
        symtab_free(names->tables[i]);
    sections_release(&names->sections);
    free(names);
}

void symbols_free(struct symbols *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        names_free(s->modules[i]);
    free(s->modules);
    free(s->known);
    map_release(&s->by_module);
    map_release(&s->by_place);
    modules_release(&s->debug_files);
    intern_free(s->strings);
    free(s->debug_dir);
    free(s);
}

static struct names *names_of(struct symbols *s, struct module *m)
{
    const uint64_t *known = map_find(&s->by_module, (uintptr_t)m, 0);
    if (known)
        return s->modules[*known];
    struct names *names = mem_alloc(sizeof(*names));
    names->m = m;
    names->id = (uint32_t)s->n;
    names->debug_rc = -ENODATA;
    names->rc = m->n_loads ? sections_read(&names->sections, m) : -EBADMSG;
    names->go = sections_find(&names->sections, m, SHT_PROGBITS, ".gopclntab") != NULL;
    s->modules = mem_grow(s->modules, &s->cap, s->n + 1, sizeof(struct names *));
    map_put(&s->by_module, (uintptr_t)m, 0, s->n);
    return s->modules[s->n++] = names;
}

static struct symtab *read_debug_table(struct symbols *s, struct names *names)
{
    struct module *file;
    struct sections sections;
    names->debug_rc = debug_file_open(&s->debug_files, s->debug_dir, names->m, &file, &sections);
    if (names->debug_rc < 0)
        return NULL;
    struct symtab *t = symtab_read(file, &sections, SHT_SYMTAB, &s->room);
    sections_release(&sections);
    return t;
}

static struct symtab *table_of(struct symbols *s, struct names *names, enum source source)
{
    if (names->tried[source])
        return names->tables[source];
    names->tried[source] = true;
    names->tables[source] =
        source == SOURCE_DEBUG
            ? read_debug_table(s, names)
            : symtab_read(names->m, &names->sections,
                          source == SOURCE_SYMTAB ? SHT_SYMTAB : SHT_DYNSYM, &s->room);
    return names->tables[source];
}

/* What has been named is found again by its source and its place there. */
static bool recall(const struct symbols *s, uint64_t source_id, uint64_t place,
                   struct symbol *ret_symbol)
{
    const uint64_t *index = map_find(&s->by_place, source_id, place);
    if (index)
        *ret_symbol = s->known[*index];
    return index != NULL;
}

static const char *keep(struct symbols *s, const char *text)
{
    return intern_get(s->strings, intern_put(s->strings, text));
}

static void remember(struct symbols *s, uint64_t source_id, uint64_t place,
                     const struct symbol *symbol)
{
    s->known = mem_grow(s->known, &s->known_cap, s->n_known + 1, sizeof(*s->known));
    map_put(&s->by_place, source_id, place, s->n_known);
    s->known[s->n_known++] = *symbol;
}

static uint64_t source_id(const struct names *names, enum source source)
{
    return (uint64_t)names->id * SOURCE_N + source;
}

static int find_in_table(struct symbols *s, struct names *names, enum source source, uint64_t vaddr,
                         struct symbol *ret_symbol)
{
    const struct symtab *t = table_of(s, names, source);
    struct symtab_hit hit;
    struct symtab_symbol found;
    if (!t || !symtab_find(t, vaddr, &hit))
        return -ENODATA;
    uint64_t id = source_id(names, source), place = (uint64_t)hit.first << 32 | hit.n;
    if (recall(s, id, place, ret_symbol))
        return 0;
    if (symtab_name(t, &hit, &found) < 0)
        return -ENODATA;
    OX_FREE char *linkage = found.name;
    OX_FREE char *name = demangle_name(linkage, names->go ? DEMANGLE_NONE : s->demangle);
    *ret_symbol = (struct symbol){.name = keep(s, name),
                                  .linkage_name = keep(s, linkage),
                                  .vaddr = found.vaddr,
                                  .bytes = found.bytes};
    remember(s, id, place, ret_symbol);
    return 0;
}

static int find_in_plt(struct symbols *s, struct names *names, uint64_t vaddr,
                       struct symbol *ret_symbol)
{
    struct plt_entry entry;
    int rc = plt_find(names->m, &names->sections, vaddr, &entry);
    if (rc < 0)
        return rc;
    OX_FREE char *linkage = entry.name;
    uint64_t id = source_id(names, SOURCE_PLT);
    if (recall(s, id, entry.vaddr, ret_symbol))
        return 0;
    OX_FREE char *demangled = linkage ? demangle_name(linkage, s->demangle) : NULL;
    OX_FREE char *name = demangled ? mem_printf("%s@plt", demangled) : mem_strdup("[plt]");
    OX_FREE char *full = linkage ? mem_printf("%s@plt", linkage) : mem_strdup("[plt]");
    *ret_symbol = (struct symbol){.name = keep(s, name),
                                  .linkage_name = keep(s, full),
                                  .vaddr = entry.vaddr,
                                  .bytes = entry.bytes};
    remember(s, id, entry.vaddr, ret_symbol);
    return 0;
}

int symbols_find(struct symbols *s, struct module *m, uint64_t vaddr, struct symbol *ret_symbol)
{
    struct names *names = names_of(s, m);
    if (names->rc < 0)
        return names->rc;
    for (int source = 0; source < SOURCE_PLT; source++)
        if (find_in_table(s, names, (enum source)source, vaddr, ret_symbol) == 0)
            return 0;
    return find_in_plt(s, names, vaddr, ret_symbol);
}

int symbols_lines(struct symbols *s, struct module *m, uint64_t vaddr,
                  struct symbol_line *ret_lines)
{
    struct symbol symbol;
    int rc = symbols_find(s, m, vaddr, &symbol);
    if (rc < 0)
        return rc;
    ret_lines[0] = (struct symbol_line){.name = symbol.name, .linkage_name = symbol.linkage_name};
    return 1;
}

const char *symbols_demangle(struct symbols *s, const char *linkage_name)
{
    OX_FREE char *name = demangle_name(linkage_name, s->demangle);
    return keep(s, name);
}

uint64_t symbols_tables_cut(const struct symbols *s)
{
    return s->room.cut;
}

uint64_t symbols_names_folded(const struct symbols *s)
{
    return intern_overflowed(s->strings);
}

static void advise_debug_file(const struct symbols *s, const struct names *names, char *buf,
                              size_t buf_bytes)
{
    char hex[2 * MODULE_BUILD_ID_MAX + 1];
    const char *have =
        names->tables[SOURCE_DYNSYM] ? "only its exported functions have names" : "no symbols";
    module_build_id_hex(names->m, hex, sizeof(hex));
    if (!hex[0])
        snprintf(buf, buf_bytes, "%s: it is stripped and has no build-id; build it unstripped",
                 have);
    else if (names->debug_rc == -EBADMSG)
        snprintf(buf, buf_bytes,
                 "%s: its debug file below %s is of another build or damaged (build-id %s)", have,
                 s->debug_dir, hex);
    else
        snprintf(buf, buf_bytes, "%s: install the package with its debug symbols (build-id %s)",
                 have, hex);
}

void symbols_advice(struct symbols *s, struct module *m, char *buf, size_t buf_bytes)
{
    struct names *names = names_of(s, m);
    if (buf_bytes)
        buf[0] = '\0';
    if (!m->n_loads || m->trouble[0]) {
        snprintf(buf, buf_bytes, "no symbols: %s", m->trouble[0] ? m->trouble : "not read");
        return;
    }
    /* The kernel's own page: no package has its symbols. */
    if (!strcmp(m->path, "[vdso]"))
        return;
    for (int source = 0; source < SOURCE_PLT; source++)
        if (table_of(s, names, (enum source)source) && source != SOURCE_DYNSYM)
            return;
    advise_debug_file(s, names, buf, buf_bytes);
}

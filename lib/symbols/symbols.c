/* SPDX-License-Identifier: MIT */
#include "symbols/symbols.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/intern.h"
#include "base/map.h"
#include "base/mem.h"
#include "symbols/demangle.h"
#include "symbols/plt.h"
#include "symbols/sources.h"

enum { SOURCE_GO = SOURCE_TABLES_N, SOURCE_PLT, SOURCES_N };

enum {
    NAMES_MAX_BYTES = 64 << 20,
    FUNCTIONS_MAX = 4 << 20, /* of all tables together: 96 MiB */
    DEBUG_MAX_BYTES = 320 << 20,
    DEBUG_TRIM_BYTES = 224 << 20, /* from here on what can be read again is given back */
    TRIMS_FOR_WANT_MAX = 16, /* where two packed sections don't fit at once: each takes a second */
    /* for one address: a unit of half a GiB, or a second */
    DEBUG_MAX_WORK = 50 * 1000 * 1000
};

struct symbols {
    enum demangle demangle;
    bool tables_only;
    char *debug_dir;          /* owned */
    struct intern *strings;   /* every name handed out */
    struct map by_module;     /* (struct module *, 0) -> place in modules */
    struct sources **modules; /* owned */
    size_t n, cap;
    struct symbol *known; /* owned; whatever has been named */
    size_t n_known, known_cap;
    struct map by_place;  /* (module id and source, place) -> place in known */
    struct map demangled; /* (number of a linkage name, 0) -> number of the name */
    struct modules debug_files;
    struct symtab_room room;
    struct debug_room debug_room;
    struct alt_files alts;
    struct sources_shared shared; /* points to the members above */
};

struct symbols *symbols_new(const struct symbols_options *opt)
{
    struct symbols *s = mem_alloc(sizeof(*s));
    s->demangle = opt->demangle;
    s->tables_only = opt->tables_only;
    s->debug_dir = mem_strdup(opt->debug_dir ? opt->debug_dir : "/usr/lib/debug");
    s->strings = intern_new(NAMES_MAX_BYTES);
    s->room.left = FUNCTIONS_MAX;
    s->room.heartbeat = opt->heartbeat;
    s->debug_room.heartbeat = opt->heartbeat;
    s->debug_room.max_bytes = DEBUG_MAX_BYTES;
    s->debug_room.max_work = opt->entries_max ? opt->entries_max : DEBUG_MAX_WORK;
    s->shared = (struct sources_shared){.places = {.debug_dir = s->debug_dir,
                                                   .debuginfod = opt->debuginfod,
                                                   .open_in_target = opt->open_in_target,
                                                   .open_arg = opt->open_arg,
                                                   .heartbeat = opt->heartbeat,
                                                   .files = &s->debug_files},
                                        .functions = &s->room,
                                        .debug = &s->debug_room,
                                        .alts = &s->alts};
    return s;
}

void symbols_free(struct symbols *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        sources_free(s->modules[i]);
    alt_files_release(&s->alts);
    free(s->modules);
    free(s->known);
    map_release(&s->by_module);
    map_release(&s->by_place);
    map_release(&s->demangled);
    modules_release(&s->debug_files);
    intern_free(s->strings);
    free(s->debug_dir);
    free(s);
}

static struct sources *sources_of(struct symbols *s, struct module *m)
{
    const uint64_t *known = map_find(&s->by_module, (uintptr_t)m, 0);
    if (known)
        return s->modules[*known];
    s->modules = mem_grow(s->modules, &s->cap, s->n + 1, sizeof(struct sources *));
    map_put(&s->by_module, (uintptr_t)m, 0, s->n);
    s->modules[s->n] = sources_new(m, (uint32_t)s->n);
    return s->modules[s->n++];
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

static uint64_t source_id(const struct sources *src, unsigned source)
{
    return (uint64_t)src->id * SOURCES_N + source;
}

static int find_in_table(struct symbols *s, struct sources *src, enum source source, uint64_t vaddr,
                         struct symbol *ret_symbol)
{
    const struct symtab *t = sources_table(src, source, &s->shared);
    struct symtab_hit hit;
    struct symtab_symbol found;
    if (!t || !symtab_find(t, vaddr, &hit))
        return -ENODATA;
    uint64_t id = source_id(src, source), place = (uint64_t)hit.first << 32 | hit.n;
    if (recall(s, id, place, ret_symbol))
        return 0;
    if (symtab_name(t, &hit, &found) < 0)
        return -ENODATA;
    OX_FREE char *linkage = found.name;
    OX_FREE char *name = demangle_name(linkage, src->go ? DEMANGLE_NONE : s->demangle);
    *ret_symbol = (struct symbol){.name = keep(s, name),
                                  .linkage_name = keep(s, linkage),
                                  .vaddr = found.vaddr,
                                  .bytes = found.bytes};
    remember(s, id, place, ret_symbol);
    return 0;
}

/* The names that Go's runtime needs stay in stripped programs. */
static int find_in_gotable(struct symbols *s, struct sources *src, uint64_t vaddr,
                           struct symbol *ret_symbol)
{
    struct gofunction found;
    if (!src->gotable || gotable_find(src->gotable, vaddr, &found) < 0)
        return -ENODATA;
    uint64_t id = source_id(src, SOURCE_GO);
    if (recall(s, id, found.start, ret_symbol))
        return 0;
    const char *name = keep(s, found.name);
    *ret_symbol = (struct symbol){
        .name = name, .linkage_name = name, .vaddr = found.start, .bytes = found.bytes};
    remember(s, id, found.start, ret_symbol);
    return 0;
}

static int find_in_plt(struct symbols *s, struct sources *src, uint64_t vaddr,
                       struct symbol *ret_symbol)
{
    struct plt_entry entry;
    int rc = plt_find(src->m, &src->sections, vaddr, &entry);
    if (rc < 0)
        return rc;
    OX_FREE char *linkage = entry.name;
    uint64_t id = source_id(src, SOURCE_PLT);
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
    struct sources *src = sources_of(s, m);
    if (src->rc < 0)
        return src->rc;
    for (int source = 0; source < SOURCE_TABLES_N; source++)
        if (find_in_table(s, src, (enum source)source, vaddr, ret_symbol) == 0)
            return 0;
    if (find_in_gotable(s, src, vaddr, ret_symbol) == 0)
        return 0;
    return find_in_plt(s, src, vaddr, ret_symbol);
}

/* Half of what a trim can give back is let grow again, lest each address should begin with one: the
 * floor stays. */
static uint64_t trim_from(const struct debug_room *room)
{
    uint64_t half = room->floor_bytes + (room->max_bytes - room->floor_bytes) / 2;
    return half > DEBUG_TRIM_BYTES ? half : DEBUG_TRIM_BYTES;
}

/* Cut off what is asked for again and again: memory has a bound, an address' work too. */
static void prepare_debug_room(struct symbols *s)
{
    struct debug_room *room = &s->debug_room;
    heartbeat_beat(room->heartbeat);
    bool wanting = room->wanting && room->trims_for_want < TRIMS_FOR_WANT_MAX;
    debug_room_next(room);
    if (room->bytes <= trim_from(room) && !wanting)
        return;
    room->trims_for_want += wanting;
    room->wanting = false;
    for (size_t i = 0; i < s->n; i++)
        sources_trim(s->modules[i], wanting);
    alt_files_trim(&s->alts, wanting);
    room->floor_bytes = room->bytes < room->max_bytes ? room->bytes : room->max_bytes;
}

/* NULL where it has no name. */
static const char *known_as(const struct dwarf_frame *frame)
{
    if (!frame->name)
        return NULL;
    return frame->name->linkage ? frame->name->linkage : frame->name->plain;
}

static struct symbol_line line_of(struct symbols *s, const struct dwarf_frame *frame)
{
    struct symbol_line line = {.name = "[inlined]",
                               .linkage_name = "[inlined]",
                               .file = frame->path ? keep(s, frame->path) : NULL,
                               .line = frame->line,
                               .start_line = frame->name ? frame->name->start_line : 0};
    if (frame->name && frame->name->linkage) {
        line.name = symbols_demangle(s, frame->name->linkage);
        line.linkage_name = keep(s, frame->name->linkage);
    } else if (known_as(frame)) {
        line.name = line.linkage_name = keep(s, known_as(frame));
    }
    return line;
}

/* The outermost function is called as the linker knows it, where it does. */
static int name_lines(struct symbols *s, struct dwarf_frame *frames, size_t n,
                      const struct symbol *symbol, struct symbol_line *ret_lines)
{
    const struct dwarf_frame *outermost = &frames[n - 1];
    if (!symbol && !known_as(outermost))
        return -ENODATA;
    size_t kept = n < SYMBOL_LINES_MAX ? n : SYMBOL_LINES_MAX;
    for (size_t i = 0; i < kept; i++)
        ret_lines[i] = line_of(s, &frames[i]);
    if (symbol && kept == n) {
        ret_lines[n - 1].name = symbol->name;
        ret_lines[n - 1].linkage_name = symbol->linkage_name;
    }
    return (int)kept;
}

static bool is_alias(struct symbols *s, struct sources *src, const struct symbol *symbol,
                     const char *name)
{
    struct symtab_hit hit;
    for (int source = 0; name && source < SOURCE_TABLES_N; source++) {
        const struct symtab *t = sources_table(src, (enum source)source, &s->shared);
        if (t && symtab_find(t, symbol->vaddr, &hit) && symtab_has_name(t, &hit, name))
            return true;
    }
    return false;
}

/*
 * gcc may inline a part of a function into what is left of it, under another of its names: glibc's
 * write() then is __GI___libc_write() inlined in __libc_write(). That is one function, at the inner
 * line. Under the same name it is recursion that was inlined.
 */
static size_t join_aliases(struct symbols *s, struct sources *src, const struct symbol *symbol,
                           struct dwarf_frame *frames, size_t n)
{
    if (n < 2 || n > SYMBOL_LINES_MAX)
        return n;
    const char *inner = known_as(&frames[n - 2]), *outer = known_as(&frames[n - 1]);
    if (!inner || !outer || !strcmp(inner, outer) || !is_alias(s, src, symbol, inner))
        return n;
    dwarf_frame_release(&frames[n - 1]);
    return n - 1;
}

int symbols_lines(struct symbols *s, struct module *m, uint64_t vaddr,
                  struct symbol_line *ret_lines)
{
    struct symbol symbol;
    struct dwarf_frame frames[SYMBOL_LINES_MAX + 1];
    prepare_debug_room(s);
    int rc = symbols_find(s, m, vaddr, &symbol);
    if (rc < 0 && rc != -ENODATA)
        return rc;
    struct dwarf_file *dwarf = s->tables_only ? NULL : sources_dwarf(sources_of(s, m), &s->shared);
    size_t n = dwarf ? dwarf_frames(dwarf, vaddr, frames, SYMBOL_LINES_MAX + 1) : 0;
    if (rc == 0)
        n = join_aliases(s, sources_of(s, m), &symbol, frames, n);
    int named = n ? name_lines(s, frames, n, rc < 0 ? NULL : &symbol, ret_lines) : -ENODATA;
    for (size_t i = 0; i < n; i++)
        dwarf_frame_release(&frames[i]);
    if (named > 0 || rc < 0)
        return named;
    ret_lines[0] = (struct symbol_line){.name = symbol.name, .linkage_name = symbol.linkage_name};
    return 1;
}

const char *symbols_demangle(struct symbols *s, const char *linkage_name)
{
    uint32_t linkage = intern_put(s->strings, linkage_name);
    const uint64_t *known = map_find(&s->demangled, linkage, 0);
    if (known)
        return intern_get(s->strings, (uint32_t)*known);
    OX_FREE char *name = demangle_name(linkage_name, s->demangle);
    uint32_t kept = intern_put(s->strings, name);
    /* what folds has one number, whatever it was */
    if (!strcmp(intern_get(s->strings, linkage), linkage_name))
        map_put(&s->demangled, linkage, 0, kept);
    return intern_get(s->strings, kept);
}

uint64_t symbols_tables_cut(const struct symbols *s)
{
    return s->room.cut;
}

uint64_t symbols_names_folded(const struct symbols *s)
{
    return intern_overflowed(s->strings);
}

uint64_t symbols_lines_cut(const struct symbols *s)
{
    return debug_room_exhausted(&s->debug_room);
}

/* What is there of the names; NULL where all is well. */
static const char *lacking(struct symbols *s, struct sources *src)
{
    if (src->gotable)
        return NULL;
    static const enum source whole[] = {SOURCE_SYMTAB, SOURCE_DEBUG, SOURCE_MINI};
    for (size_t i = 0; i < sizeof(whole) / sizeof(*whole); i++)
        if (sources_table(src, whole[i], &s->shared))
            return NULL;
    return sources_table(src, SOURCE_DYNSYM, &s->shared) ? "only its exported functions have names"
                                                         : "no symbols";
}

/*
 * Which package has the debug symbols can't be known from the file: Debian's are called after the
 * package that the file came from, but for a few that were there before (libc6-dbg).
 */
static void advise_debug_file(const struct symbols *s, const struct sources *src, const char *lacks,
                              char *buf, size_t buf_bytes)
{
    char hex[2 * MODULE_BUILD_ID_MAX + 1], name[64];
    const char *online =
        s->shared.places.debuginfod ? "; debuginfod had none" : "; or --debuginfod";
    module_short_name(src->m, name, sizeof(name));
    module_build_id_hex(src->m, hex, sizeof(hex));
    if (src->debug_rc == -EBADMSG)
        snprintf(buf, buf_bytes,
                 "%s: its debug file (below %s, or beside it) is of another build or damaged "
                 "(build-id %s)",
                 lacks, s->debug_dir, hex[0] ? hex : "none");
    else if (!strcmp(name, "libc.so.6"))
        snprintf(buf, buf_bytes,
                 "%s: install libc6-dbg (Debian), glibc-debuginfo (others) (build-id %s%s)", lacks,
                 hex, online);
    else if (hex[0])
        snprintf(buf, buf_bytes,
                 "%s: install its debug symbols (Debian: the package's -dbgsym or -dbg; build-id "
                 "%s%s)",
                 lacks, hex, online);
    else
        snprintf(buf, buf_bytes, "%s: it is stripped and has no build-id; build it unstripped",
                 lacks);
}

void symbols_advice(struct symbols *s, struct module *m, char *buf, size_t buf_bytes)
{
    struct sources *src = sources_of(s, m);
    if (buf_bytes)
        buf[0] = '\0';
    if (!m->n_loads || m->trouble[0]) {
        snprintf(buf, buf_bytes, "no symbols: %s", m->trouble[0] ? m->trouble : "not read");
        return;
    }
    /* The kernel's own page: no package has its symbols. */
    if (!strcmp(m->path, "[vdso]"))
        return;
    const char *lacks = lacking(s, src);
    if (lacks)
        advise_debug_file(s, src, lacks, buf, buf_bytes);
    else if (src->alt_rc < 0)
        snprintf(buf, buf_bytes,
                 "some inlined functions have no names: what dwz moved out of its debug file was "
                 "not found below %s",
                 s->debug_dir);
}

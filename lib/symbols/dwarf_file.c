/* SPDX-License-Identifier: MIT */
#include "symbols/dwarf_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "symbols/dwarf_functions.h"
#include "symbols/dwarf_lines.h"
#include "symbols/dwarf_names.h"

static const char *const names[DEBUG_SECTIONS_N] = {
    [DEBUG_INFO] = ".debug_info",
    [DEBUG_ABBREV] = ".debug_abbrev",
    [DEBUG_LINE] = ".debug_line",
    [DEBUG_STR] = ".debug_str",
    [DEBUG_LINE_STR] = ".debug_line_str",
    [DEBUG_RANGES] = ".debug_ranges",
    [DEBUG_RNGLISTS] = ".debug_rnglists",
    [DEBUG_ADDR] = ".debug_addr",
    [DEBUG_STR_OFFSETS] = ".debug_str_offsets",
};

static void find_sections(struct dwarf_file *f, const struct sections *s)
{
    for (int i = 0; i < DEBUG_SECTIONS_N; i++) {
        char old[32];
        snprintf(old, sizeof(old), ".z%s", names[i] + 1);
        const Elf64_Shdr *h = sections_find(s, SHT_PROGBITS, names[i]);
        const Elf64_Shdr *z = h ? NULL : sections_find(s, SHT_PROGBITS, old);
        if (h || z)
            debug_data_init(&f->sections[i], f->m, h ? h : z, z != NULL, f->room);
    }
}

struct dwarf_file *dwarf_file_open(struct module *m, const struct sections *s,
                                   const struct module *code, struct debug_room *room)
{
    struct dwarf_file *f = mem_alloc(sizeof(*f));
    f->m = m;
    f->code = code;
    f->room = room;
    find_sections(f, s);
    if (f->sections[DEBUG_INFO].bytes && f->sections[DEBUG_ABBREV].bytes)
        return f;
    dwarf_file_free(f);
    return NULL;
}

void dwarf_file_trim_abbrevs(struct dwarf_file *f)
{
    size_t pos = 0;
    const struct map_entry *e;
    while ((e = map_next(&f->abbrevs, &pos)))
        dwarf_abbrevs_free((struct dwarf_abbrevs *)(uintptr_t)e->value, f->room);
    map_release(&f->abbrevs);
}

void dwarf_file_trim(struct dwarf_file *f, bool packed)
{
    for (size_t i = 0; i < f->n_units; i++) {
        dwarf_functions_free(OX_TAKE(f->units[i].functions), f->room);
        dwarf_lines_free(OX_TAKE(f->units[i].lines), f->room);
    }
    dwarf_file_trim_abbrevs(f);
    dwarf_names_release(&f->names, f->room);
    for (int i = 0; i < DEBUG_SECTIONS_N; i++)
        debug_data_trim(&f->sections[i], packed);
}

void dwarf_file_free(struct dwarf_file *f)
{
    if (!f)
        return;
    dwarf_file_trim(f, false);
    f->room->bytes -= f->units_cap * sizeof(*f->units);
    dwarf_spans_release(&f->spans, f->room);
    for (int i = 0; i < DEBUG_SECTIONS_N; i++)
        debug_data_release(&f->sections[i]);
    free(f->units);
    free(f);
}

const struct dwarf_abbrevs *dwarf_file_abbrevs(struct dwarf_file *f, uint64_t off)
{
    const uint64_t *known = map_find(&f->abbrevs, off, 0);
    if (known)
        return (const struct dwarf_abbrevs *)(uintptr_t)*known;
    uint64_t refusals = f->room->refusals;
    struct dwarf_abbrevs *a = dwarf_abbrevs_read(&f->sections[DEBUG_ABBREV], off);
    if (!a && f->room->refusals != refusals)
        return NULL; /* there may be room later */
    map_put(&f->abbrevs, off, 0, (uintptr_t)a);
    return a;
}

bool dwarf_file_is_code(const struct dwarf_file *f, uint64_t vaddr)
{
    for (size_t i = 0; i < f->code->n_loads; i++) {
        const struct module_load *l = &f->code->loads[i];
        if ((l->flags & PF_X) && vaddr >= l->vaddr && vaddr - l->vaddr < l->file_bytes)
            return true;
    }
    return false;
}

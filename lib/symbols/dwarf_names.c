/* SPDX-License-Identifier: MIT */
#include "symbols/dwarf_names.h"

#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    CHAIN_MAX = 16, /* origins of an entry; compilers need three */
    DEPTH_MAX = 32, /* of namespaces and classes */
    PATH_MAX_BYTES = 4096
};

/* DWARF does not keep entries of C apart by where they stand. */
static bool has_scopes(const struct dwarf_unit *u)
{
    switch (u->language) {
    case DW_LANG_C89:
    case DW_LANG_C:
    case DW_LANG_C99:
    case DW_LANG_C11:
    case DW_LANG_Go: /* the package is part of the name */
    case DW_LANG_Mips_Assembler:
        return false;
    default:
        return true;
    }
}

static bool is_scope(uint32_t tag)
{
    return tag == DW_TAG_namespace || tag == DW_TAG_class_type || tag == DW_TAG_structure_type ||
           tag == DW_TAG_union_type || tag == DW_TAG_module || tag == DW_TAG_enumeration_type ||
           tag == DW_TAG_interface_type;
}

struct scopes {
    const char *names[DEPTH_MAX]; /* borrowed from the file; NULL: none to be shown */
    size_t n;
};

static const char *scope_name(const struct dwarf_die *die)
{
    if (!is_scope(die->tag))
        return NULL;
    const char *name = dwarf_value_string(die->file, die->unit, dwarf_die_get(die, SLOT_NAME));
    return !name && die->tag == DW_TAG_namespace ? "(anonymous namespace)" : name;
}

/* Reads the unit up to the entry; what is open there are its scopes. */
static bool find_scopes(const struct dwarf_die *target, struct scopes *ret_scopes)
{
    struct dwarf_die die;
    struct scopes open = {0};
    for (uint64_t off = target->unit->die_off; off < target->off;) {
        if (!dwarf_die_read(target->file, target->unit, off, &die))
            return false;
        uint64_t sibling = dwarf_die_sibling(&die);
        off = die.next;
        if (!die.tag) {
            if (!open.n--)
                return false;
        } else if (die.has_children && sibling && sibling <= target->off) {
            off = sibling;
        } else if (die.has_children) {
            if (open.n == DEPTH_MAX)
                return false;
            open.names[open.n++] = scope_name(&die);
        }
    }
    *ret_scopes = open;
    return true;
}

static char *qualify(const struct dwarf_die *die, const char *name)
{
    struct scopes scopes;
    if (!has_scopes(die->unit) || !find_scopes(die, &scopes))
        return mem_strdup(name);
    const char *between = die->unit->language == DW_LANG_D ? "." : "::";
    OX_FREE char *path = mem_strdup("");
    for (size_t i = 0; i < scopes.n; i++) {
        if (!scopes.names[i] || strlen(path) > PATH_MAX_BYTES)
            continue;
        char *longer = mem_printf("%s%s%s", path, scopes.names[i], between);
        free(path);
        path = longer;
    }
    return mem_printf("%s%s", path, name);
}

/* What an entry does not say itself, its origin or the declaration in its class says. */
static bool next_of_chain(const struct dwarf_die *die, struct dwarf_die *ret_die)
{
    return dwarf_die_follow(die, SLOT_ORIGIN, ret_die) ||
           dwarf_die_follow(die, SLOT_SPECIFICATION, ret_die);
}

static uint32_t small(uint64_t number)
{
    return number <= UINT32_MAX ? (uint32_t)number : 0;
}

static void find_name(const struct dwarf_die *function, struct dwarf_name *name)
{
    struct dwarf_die steps[2] = {*function};
    const char *linkage = NULL, *plain = NULL;
    struct dwarf_die named = *function;
    for (unsigned i = 0; i < CHAIN_MAX; i++) {
        const struct dwarf_die *die = &steps[i % 2];
        const struct dwarf_value *mangled = dwarf_die_get(die, SLOT_LINKAGE_NAME);
        const struct dwarf_value *own = dwarf_die_get(die, SLOT_NAME);
        if (mangled && !linkage)
            linkage = dwarf_value_string(die->file, die->unit, mangled);
        if (own && !plain)
            plain = dwarf_value_string(die->file, die->unit, own);
        /* the last that it is said of: the declaration stands in its class */
        if (own)
            named = *die;
        if (!name->start_line) {
            name->start_line = small(dwarf_die_number(die, SLOT_DECL_LINE, 0));
            name->start_column = small(dwarf_die_number(die, SLOT_DECL_COLUMN, 0));
        }
        if (!next_of_chain(die, &steps[(i + 1) % 2]))
            break;
    }
    name->linkage = linkage && linkage[0] ? mem_strdup(linkage) : NULL;
    name->plain = plain && plain[0] && !name->linkage ? qualify(&named, plain) : NULL;
}

static uint64_t bytes_of(const struct dwarf_name *name)
{
    return sizeof(*name) + (name->linkage ? strlen(name->linkage) + 1 : 0) +
           (name->plain ? strlen(name->plain) + 1 : 0);
}

static void release(struct dwarf_name *name, struct debug_room *room)
{
    room->bytes -= bytes_of(name);
    free(name->linkage);
    free(name->plain);
    *name = (struct dwarf_name){.cut = name->cut};
}

const struct dwarf_name *dwarf_name_of(const struct dwarf_die *function)
{
    struct dwarf_file *f = function->file;
    struct debug_room *room = f->room;
    uint64_t off = function->off, refusals = room->refusals;
    if (function->tag == DW_TAG_inlined_subroutine)
        dwarf_die_reference(function, SLOT_ORIGIN, &f, &off);
    const uint64_t *known = map_find(&f->names, off, 0);
    struct dwarf_name *name = known ? (struct dwarf_name *)(uintptr_t)*known : NULL;
    if (name && !debug_cut_retry(&name->cut, room))
        return name;
    if (name)
        release(name, room);
    else
        name = mem_alloc(sizeof(*name));
    find_name(function, name);
    room->bytes += bytes_of(name);
    name->cut.cut = room->refusals != refusals;
    map_put(&f->names, off, 0, (uintptr_t)name);
    return name;
}

void dwarf_names_release(struct map *names, struct debug_room *room)
{
    size_t pos = 0;
    const struct map_entry *e;
    while ((e = map_next(names, &pos))) {
        struct dwarf_name *name = (struct dwarf_name *)(uintptr_t)e->value;
        release(name, room);
        free(name);
    }
    map_release(names);
}

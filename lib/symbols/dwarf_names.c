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

void dwarf_name_of(const struct dwarf_die *function, struct dwarf_name *ret_name)
{
    struct dwarf_die steps[2] = {*function};
    const char *linkage = NULL, *plain = NULL;
    struct dwarf_die named = *function;
    uint64_t line = 0;
    for (unsigned i = 0; i < CHAIN_MAX; i++) {
        const struct dwarf_die *die = &steps[i % 2];
        const struct dwarf_value *mangled = dwarf_die_get(die, SLOT_LINKAGE_NAME);
        const struct dwarf_value *name = dwarf_die_get(die, SLOT_NAME);
        if (mangled && !linkage)
            linkage = dwarf_value_string(die->file, die->unit, mangled);
        if (name && !plain)
            plain = dwarf_value_string(die->file, die->unit, name);
        /* the last that it is said of: the declaration stands in its class */
        if (name)
            named = *die;
        if (!line)
            line = dwarf_die_number(die, SLOT_DECL_LINE, 0);
        if (!next_of_chain(die, &steps[(i + 1) % 2]))
            break;
    }
    ret_name->linkage = linkage && linkage[0] ? mem_strdup(linkage) : NULL;
    ret_name->plain = plain && plain[0] && !ret_name->linkage ? qualify(&named, plain) : NULL;
    ret_name->start_line = line <= UINT32_MAX ? (uint32_t)line : 0;
}

void dwarf_name_release(struct dwarf_name *name)
{
    free(name->linkage);
    free(name->plain);
    memset(name, 0, sizeof(*name));
}

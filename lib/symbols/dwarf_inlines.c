/* SPDX-License-Identifier: MIT */
#include <dwarf.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "symbols/dwarf.h"
#include "symbols/dwarf_die.h"
#include "symbols/dwarf_functions.h"
#include "symbols/dwarf_lines.h"
#include "symbols/dwarf_units.h"

enum { CHAIN_MAX = 128 };

/* The functions at an address, outermost first, by the offsets of their entries. */
struct chain {
    uint64_t offs[CHAIN_MAX];
    size_t n;
};

static bool is_block(uint32_t tag)
{
    return tag == DW_TAG_lexical_block || tag == DW_TAG_inlined_subroutine ||
           tag == DW_TAG_try_block || tag == DW_TAG_catch_block;
}

/*
 * Reads a function's entries in a row, as in dwarf_functions.c: `depth` is that of the entry,
 * `inside` that of the innermost one known to cover vaddr. What covers it ends the search where
 * it ends; all else is passed over.
 */
static void find_inlined(const struct dwarf_die *function, uint64_t vaddr, struct chain *chain)
{
    struct dwarf_die die;
    uint64_t depth = 1, inside = 1;
    uint64_t off = function->next;
    while (function->has_children && depth >= inside &&
           dwarf_die_read(function->file, function->unit, off, &die)) {
        uint64_t sibling = dwarf_die_sibling(&die);
        off = die.next;
        if (!die.tag) {
            depth--;
            continue;
        }
        bool enters = depth == inside && is_block(die.tag) && dwarf_die_covers(&die, vaddr);
        if (enters && die.tag == DW_TAG_inlined_subroutine && chain->n < CHAIN_MAX)
            chain->offs[chain->n++] = die.off;
        if (!die.has_children) {
            if (enters)
                return;
        } else if (!enters && sibling) {
            off = sibling;
        } else {
            depth++;
            inside += enters;
        }
    }
}

void dwarf_frame_release(struct dwarf_frame *frame)
{
    free(frame->path);
    memset(frame, 0, sizeof(*frame));
}

/* The line that the address comes from itself. */
static void place(struct dwarf_file *f, struct dwarf_unit *u, uint64_t vaddr,
                  struct dwarf_frame *frame)
{
    const struct dwarf_lines *t = dwarf_lines_of(f, u);
    uint32_t file, line;
    if (!t || !dwarf_lines_find(t, vaddr, &file, &line))
        return;
    frame->line = line;
    frame->path = dwarf_lines_path(f, u, t, file);
}

/* Where the one before was called: its entry says so. */
static void place_call(const struct dwarf_die *inlined, struct dwarf_frame *caller)
{
    const struct dwarf_lines *t = dwarf_lines_of(inlined->file, inlined->unit);
    uint64_t line = dwarf_die_number(inlined, SLOT_CALL_LINE, 0);
    caller->line = line <= UINT32_MAX ? (uint32_t)line : 0;
    if (t && dwarf_die_get(inlined, SLOT_CALL_FILE))
        caller->path = dwarf_lines_path(inlined->file, inlined->unit, t,
                                        dwarf_die_number(inlined, SLOT_CALL_FILE, 0));
}

/* Is `part` a part of the function around it, not a call of itself? It is called from where the
 * function's name stands. */
static bool is_split_off(const struct dwarf_die *part, const struct dwarf_die *around)
{
    struct dwarf_file *of_part, *of_around;
    uint64_t origin, around_origin;
    uint64_t line = dwarf_die_number(part, SLOT_CALL_LINE, 0);
    uint64_t column = dwarf_die_number(part, SLOT_CALL_COLUMN, 0);
    if (!line || !column || !dwarf_die_reference(part, SLOT_ORIGIN, &of_part, &origin) ||
        !dwarf_die_reference(around, SLOT_ORIGIN, &of_around, &around_origin))
        return false;
    const struct dwarf_name *name = dwarf_name_of(part);
    return of_part == of_around && origin == around_origin && line == name->start_line &&
           column == name->start_column;
}

static size_t fill(struct dwarf_file *f, struct dwarf_unit *u, const struct chain *chain,
                   struct dwarf_frame *frames, size_t max)
{
    struct dwarf_die steps[2];
    size_t n = 0, i = chain->n;
    bool read = i && dwarf_die_read(f, u, chain->offs[i - 1], &steps[i % 2]);
    while (read && n < max) {
        const struct dwarf_die *die = &steps[i % 2];
        frames[n].name = dwarf_name_of(die);
        const struct dwarf_die *around = &steps[--i % 2];
        read = i && dwarf_die_read(f, u, chain->offs[i - 1], &steps[i % 2]);
        if (read && is_split_off(die, around))
            continue;
        if (i && n + 1 < max)
            place_call(die, &frames[n + 1]);
        n++;
    }
    return n;
}

size_t dwarf_frames(struct dwarf_file *f, uint64_t vaddr, struct dwarf_frame *ret_frames,
                    size_t max)
{
    struct dwarf_unit *u = dwarf_unit_of_address(f, vaddr);
    struct dwarf_die function;
    struct chain chain = {0};
    if (!u || !max)
        return 0;
    memset(ret_frames, 0, max * sizeof(*ret_frames));
    place(f, u, vaddr, &ret_frames[0]);
    const struct dwarf_span *span = dwarf_spans_find(dwarf_functions_of(f, u), vaddr);
    if (span && dwarf_die_read(f, u, span->value, &function)) {
        chain.offs[0] = span->value;
        chain.n = 1;
        find_inlined(&function, vaddr, &chain);
    }
    size_t n = fill(f, u, &chain, ret_frames, max);
    if (!n && ret_frames[0].line)
        return 1;
    /* a place whose function could not be read */
    if (n < max)
        dwarf_frame_release(&ret_frames[n]);
    return n;
}

/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_DWARF_FILE_H
#define SYMBOLS_DWARF_FILE_H

#include "base/map.h"
#include "symbols/dwarf_abbrev.h"
#include "symbols/dwarf_spans.h"
#include "target/sections.h"

/*
 * The debug information of one file, DWARF 2 to 5 (references to sections of DWARF 5 by number).
 * dwarf_file: sections and units. dwarf_die: one entry. dwarf_units: which unit covers an address.
 * dwarf_functions, dwarf_lines: the tables of a unit that was hit. dwarf_inlines: what they say of
 * an address. dwarf_names: how a function is called.
 */

enum debug_section {
    DEBUG_INFO,
    DEBUG_ABBREV,
    DEBUG_LINE,
    DEBUG_STR,
    DEBUG_LINE_STR,
    DEBUG_RANGES,
    DEBUG_RNGLISTS,
    DEBUG_ADDR,
    DEBUG_STR_OFFSETS,
    DEBUG_SECTIONS_N
};

struct dwarf_lines;

struct dwarf_value {
    uint16_t form; /* 0: absent; references within the unit as DW_FORM_ref_addr */
    uint64_t u;    /* the number, the offset, or, of DW_FORM_string, where it stands */
};

/* A unit: all offsets are of .debug_info. */
struct dwarf_unit {
    uint64_t off, end, die_off, abbrev_off;
    uint16_t version;
    bool dwarf64;
    bool is_code;      /* neither type unit nor partial unit */
    bool root_read;    /* what follows is there */
    bool bad;          /* its root makes no sense */
    uint16_t language; /* DW_LANG_...; 0 not known */
    uint64_t low_pc, addr_base, str_offsets_base, rnglists_base;
    uint64_t stmt_list; /* offset in .debug_line; UINT64_MAX none */
    struct dwarf_value comp_dir;
    struct dwarf_spans *functions; /* owned; NULL before they are asked for */
    struct dwarf_lines *lines;     /* owned; the same */
    struct debug_cut functions_cut, lines_cut;
};

struct dwarf_file {
    struct module *m;          /* borrowed: the file */
    const struct module *code; /* borrowed: the mapped file; its segments say where code is */
    struct debug_room *room;   /* borrowed */
    struct debug_data sections[DEBUG_SECTIONS_N];
    struct dwarf_file *alt;   /* borrowed; dwz's, or NULL */
    struct map abbrevs;       /* (offset, 0) -> struct dwarf_abbrevs *, owned; NULL: none */
    struct map names;         /* (offset, 0) -> struct dwarf_name *, owned; see dwarf_names.h */
    struct dwarf_unit *units; /* owned; by offset */
    size_t n_units, units_cap;
    uint64_t listed_bytes;    /* of .debug_info: the units up to there are known */
    struct dwarf_spans spans; /* what code each unit covers */
    size_t n_indexed;         /* units whose spans are known */
    bool listed, indexed;     /* all of them */
    bool cut;                 /* not all units or spans were kept */
};

/* NULL where the file has no debug information. */
struct dwarf_file *dwarf_file_open(struct module *m, const struct sections *s,
                                   const struct module *code, struct debug_room *room);
void dwarf_file_free(struct dwarf_file *f);

/* As debug_data_trim(); no DIE, string, name or unit's table of it may be in use. */
void dwarf_file_trim(struct dwarf_file *f, bool packed);
/* The abbreviations alone: they take eight times what they take in the file. */
void dwarf_file_trim_abbrevs(struct dwarf_file *f);

/* NULL where it can't be had. */
const struct dwarf_abbrevs *dwarf_file_abbrevs(struct dwarf_file *f, uint64_t off);

/* Whether the mapped file has code there: what linkers dropped is said to be at 0 or -1. */
bool dwarf_file_is_code(const struct dwarf_file *f, uint64_t vaddr);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_NAMER_WIRE_H
#define SYMBOLS_NAMER_WIRE_H

#include <stdint.h>

/*
 * What goes between a namer and its process, over a stream socket. Both ends are the same program.
 * The process is not trusted: whatever comes from it is checked.
 */

enum namer_kind { NAMER_LINES = 1, NAMER_ADVICE, NAMER_DEMANGLE, NAMER_KERNEL };

/* What a module is read for. */
enum namer_level {
    NAMER_ALL,
    NAMER_TABLES, /* not its DWARF */
    NAMER_OWN,    /* and no other file than itself */
    NAMER_NONE    /* it is not read */
};

/* To the process; `text_bytes` of text follow (NAMER_DEMANGLE). */
struct namer_request {
    uint32_t kind;   /* enum namer_kind */
    uint32_t level;  /* enum namer_level */
    uint32_t module; /* its id */
    uint32_t text_bytes;
    uint64_t number; /* comes with the answer */
    uint64_t vaddr;
};

/* From the process: a head, then so many bytes. */
enum namer_frame { NAMER_STRING = 1, NAMER_ANSWER };

struct namer_head {
    uint32_t frame; /* enum namer_frame */
    uint32_t bytes;
};

/* NAMER_STRING: text, which has the next number from then on. Numbers begin with 1; 0: no string.
 * NAMER_ANSWER: this, and `n_lines` lines. */
struct namer_result {
    uint64_t number;
    uint64_t tables_cut, lines_cut, names_folded;
    int32_t rc;
    uint32_t text; /* number of a string */
    uint32_t n_lines;
    uint32_t zero;
};

struct namer_line {
    uint32_t name, linkage_name, file; /* numbers of strings */
    uint32_t line, start_line;
};

enum {
    NAMER_TEXT_MAX_BYTES = 64 * 1024,    /* longer names are not demangled; see demangle.c */
    NAMER_STRING_MAX_BYTES = 128 * 1024, /* a demangled name with "@plt" */
    NAMER_STRINGS_MAX = 4 << 20,
};

#endif

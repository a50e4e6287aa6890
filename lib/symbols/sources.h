/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_SOURCES_H
#define SYMBOLS_SOURCES_H

#include "symbols/debug_file.h"
#include "symbols/dwarf.h"
#include "symbols/symtab.h"
#include "target/gotable.h"
#include "target/sections.h"

/* The tables of names of a module, the first that has a symbol at the address wins. */
enum source {
    SOURCE_SYMTAB, /* .symtab of the mapped file */
    SOURCE_DEBUG,  /* .symtab of its separate debug file */
    SOURCE_MINI,   /* .symtab in .gnu_debugdata: what a distribution left when it stripped */
    SOURCE_DYNSYM, /* .dynsym of the mapped file */
    SOURCE_TABLES_N
};

/* What all modules share. Everything is borrowed. */
struct sources_shared {
    struct debug_places places;
    struct symtab_room *functions;
    struct debug_room *debug;
    struct alt_files *alts;
};

/* What dwz moved out of several debug files is read once. */
struct alt_files {
    struct dwarf_file **items; /* owned */
    size_t n, cap;
};
void alt_files_release(struct alt_files *alts);
/* As sources_trim(). */
void alt_files_trim(struct alt_files *alts, bool packed);

/* What names the functions of one module, and where in the source they are. */
struct sources {
    struct module *m; /* borrowed */
    uint32_t id;
    int rc; /* of its sections */
    struct sections sections;
    bool go;                 /* dots are part of Go's names */
    struct gotable *gotable; /* owned; NULL: not Go's, or of a format we don't know */

    bool tried[SOURCE_TABLES_N];            /* each table is looked for once */
    struct symtab *tables[SOURCE_TABLES_N]; /* owned; NULL: none */

    bool debug_tried;
    int debug_rc;                   /* of debug_file_find(), once tried */
    struct module *debug;           /* borrowed; NULL: none */
    struct sections debug_sections; /* owned */

    bool dwarf_tried;
    struct dwarf_file *dwarf; /* owned; NULL: none */
    int alt_rc;               /* -EBADMSG, -ENODATA where it is named and was not found */
};

struct sources *sources_new(struct module *m, uint32_t id);
void sources_free(struct sources *src);

/* Read when first asked for; NULL where there is none. */
const struct symtab *sources_table(struct sources *src, enum source source,
                                   const struct sources_shared *shared);
struct dwarf_file *sources_dwarf(struct sources *src, const struct sources_shared *shared);

/* Gives back what DWARF takes, as debug_data_trim(). */
void sources_trim(struct sources *src, bool packed);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_SYMBOLS_H
#define SYMBOLS_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "symbols/heartbeat.h"
#include "target/module.h"

/*
 * Addresses become names, after the sampling. Sources for a module, the first that has a symbol at
 * the address wins: .symtab of the mapped file, .symtab of its separate debug file (where that is
 * looked for: symbols/debug_file.h), the small .symtab in its .gnu_debugdata, .dynsym of the mapped
 * file, its procedure linkage table ("malloc@plt"; "[plt]" for an entry that no relocation names).
 * Inlined functions and lines come from the DWARF of the mapped file or of its debug file. What gcc
 * split off a function and inlined into the rest of it is that function, and so is what is inlined
 * in itself under another of its names (glibc's __GI_... aliases).
 * Each is read when first needed; names are read from the file one by one. For one thread.
 */

enum demangle { DEMANGLE_SIMPLE, DEMANGLE_FULL, DEMANGLE_NONE };

struct symbols_options {
    enum demangle
        demangle;          /* full: with return and template types as libiberty's DMGL_VERBOSE-less
                              default with parameters; simple: without parameters; none: as linked */
    const char *debug_dir; /* NULL: /usr/lib/debug; copied */
    uint64_t entries_max;  /* of debug information that are looked at for one address; 0: 50 M */
    bool tables_only;      /* neither lines nor inlined functions: no DWARF is read */
    bool debuginfod;       /* servers of $DEBUGINFOD_URLS may be asked, which takes its time */
    /* Opens a path as the target of m sees it, below its root: O_RDONLY, O_NONBLOCK, no symbolic
     * links that lead elsewhere. symbols closes the file; negative where it can't be
     * had. NULL: debug files are looked for in our own root only. */
    int (*open_in_target)(void *arg, const struct module *m, const char *path);
    void *open_arg;              /* borrowed */
    struct heartbeat *heartbeat; /* borrowed; NULL, or it is stepped while something takes long */
};

/* The modules that it is asked about must outlive it. */
struct symbols *symbols_new(const struct symbols_options *opt);
void symbols_free(struct symbols *s);

struct symbol {
    /* Demangled, and without what compilers append to a function's pieces (".cold", ".part.0",
     * ...), whose hits are the function's; borrowed, lives as long as the struct symbols. */
    const char *name;
    const char *linkage_name; /* as in the symbol table, less its version; borrowed */
    uint64_t vaddr;           /* where the function, or the piece, begins */
    uint64_t bytes;           /* its size; 0 where the table does not say */
};

/*
 * The function that covers vaddr. Where several symbols start at the same place the choice is
 * deterministic: the default version before others, fewest leading underscores ("poll", not
 * "__poll"), global before weak before local, then the shorter, then the smaller name. Symbols of
 * size 0 (assembly) reach to the next symbol of their section. 0, -ENODATA where no symbol covers
 * it, -EBADMSG where the file can't be read as ELF.
 */
int symbols_find(struct symbols *s, struct module *m, uint64_t vaddr, struct symbol *ret_symbol);

/*
 * What stands in the source for one address: a function, and where in it. Of inlined functions the
 * innermost comes first, the one that the linker knows is the last; `line` of a caller is where it
 * calls the one before. Strings are borrowed as above; file is NULL and line 0 where not known.
 */
struct symbol_line {
    const char *name, *linkage_name; /* as in struct symbol */
    const char *file; /* path as the compiler was told, made absolute by DW_AT_comp_dir */
    uint32_t line;
    uint32_t start_line; /* where the function is declared */
};

enum { SYMBOL_LINES_MAX = 64 }; /* the outermost ones past it are left out */

/* Fills up to SYMBOL_LINES_MAX and returns how many, at least 1; or fails as symbols_find(). */
int symbols_lines(struct symbols *s, struct module *m, uint64_t vaddr,
                  struct symbol_line *ret_lines);

/* Demangles any symbol (C++, Rust legacy and v0, D) as the options say and cuts suffixes as above;
 * the result is borrowed as above. */
const char *symbols_demangle(struct symbols *s, const char *linkage_name);

/* What limits took: symbol tables that were not read to their end (4 M functions of all modules
 * together), and how often a name was too much and reads "[other]" (64 MiB of them). */
uint64_t symbols_tables_cut(const struct symbols *s);
/* How many addresses got no lines, or not all, because their debug information was too much: 320
 * MiB in memory, 50 M entries looked at for one address. The next address goes on where one had to
 * end. */
uint64_t symbols_lines_cut(const struct symbols *s);
uint64_t symbols_names_folded(const struct symbols *s);

/* Of the module's name sources, for "what would name the unnamed": "" where all is well, else one
 * sentence such as "no symbols: install the package with its debug symbols (build-id ab12...)". */
void symbols_advice(struct symbols *s, struct module *m, char *buf, size_t buf_bytes);

/*
 * A JIT's /tmp/perf-PID.map: "START SIZE NAME" with hexadecimal numbers (Linux
 * tools/perf/Documentation/jit-interface.txt). Text of up to 256 MiB and 4 M symbols; malformed
 * lines and a last line without its newline (half-written) are skipped and counted. Later lines win
 * where ranges overlap: JITs reuse memory. The text may go when the call returns.
 */
struct perfmap;
struct perfmap *perfmap_parse(const char *text, size_t bytes);
void perfmap_free(struct perfmap *p);
/* Borrowed; NULL where no symbol covers addr. */
const char *perfmap_find(const struct perfmap *p, uint64_t addr);
size_t perfmap_skipped(const struct perfmap *p);

/* "futex" for 202 (x86-64 table of the kernel headers built against); NULL where unknown. */
const char *syscall_name(int64_t number);

#endif

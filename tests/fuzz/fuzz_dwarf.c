/* SPDX-License-Identifier: MIT */
/* Inlined functions and lines of an ELF file with DWARF. */
#include <elf.h>
#include <stdlib.h>

#include "fuzz.h"
#include "symbols/symbols.h"

enum { SPREAD = 32 };

static void check(struct symbols *s, struct module *m, uint64_t vaddr)
{
    struct symbol_line lines[SYMBOL_LINES_MAX];
    int n = symbols_lines(s, m, vaddr, lines);
    if (n == 0 || n > SYMBOL_LINES_MAX)
        abort();
    for (int i = 0; i < n; i++)
        if (!lines[i].name || !lines[i].linkage_name)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct modules t = {0};
    struct symbols_options options = {.demangle = DEMANGLE_FULL, .debug_dir = "/nonexistent"};
    struct symbols *s = symbols_new(&options);
    struct module *m = fuzz_module(&t, data, bytes);
    check(s, m, 0);
    check(s, m, UINT64_MAX);
    for (size_t i = 0; i < m->n_loads && i < 8; i++)
        for (uint64_t part = 0; part < SPREAD && (m->loads[i].flags & PF_X); part++)
            check(s, m, m->loads[i].vaddr + m->loads[i].file_bytes / SPREAD * part);
    symbols_free(s);
    modules_release(&t);
    return 0;
}

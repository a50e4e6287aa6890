/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/mem.h"
#include "symbols/locate.h"
#include "symbols/symbols.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void take_bytes(struct module *m, const uint8_t *data, size_t bytes)
{
    m->file_bytes = bytes;
    m->pieces = mem_alloc(sizeof(*m->pieces));
    m->pieces[0].bytes = bytes;
    m->pieces[0].data = mem_alloc(bytes);
    memcpy(m->pieces[0].data, data, bytes);
    m->n_pieces = 1;
}

/* Every segment's begin, middle and end, and the ends of the address space. */
static void find_some(struct symbols *s, struct module *m)
{
    struct symbol symbol;
    symbols_find(s, m, 0, &symbol);
    symbols_find(s, m, UINT64_MAX, &symbol);
    for (size_t i = 0; i < m->n_loads; i++)
        for (uint64_t part = 0; part <= 16; part++)
            symbols_find(s, m, m->loads[i].vaddr + m->loads[i].file_bytes / 16 * part, &symbol);
}

static void locate_some(struct module *m)
{
    static const char *const names[] = {"main", "_start", "f"};
    struct located found[LOCATED_MAX];
    uint64_t vaddr;
    locate_symbols(m, names, sizeof(names) / sizeof(*names), found);
    locate_section(m, ".text", &vaddr);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char advice[200];
    struct modules t = {0};
    struct symbols_options options = {.demangle = DEMANGLE_FULL, .debug_dir = "/nonexistent"};
    struct symbols *s = symbols_new(&options);
    struct module *m = modules_add(&t, 0, 0, "fuzz");
    if (bytes)
        take_bytes(m, data, bytes);
    /* Headers that make no sense must keep the symbols away; try without asking. */
    module_read_headers(m);
    find_some(s, m);
    locate_some(m);
    symbols_advice(s, m, advice, sizeof(advice));
    symbols_free(s);
    modules_release(&t);
    return 0;
}

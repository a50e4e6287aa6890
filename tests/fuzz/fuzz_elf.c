/* SPDX-License-Identifier: MIT */
/* A mapped file: its headers, its symbols, its names. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "symbols/symbols.h"

enum { PLACES = 64 };

static void find_symbols(struct symbols *s, struct module *m, uint64_t from, uint64_t bytes)
{
    for (unsigned i = 0; i < PLACES; i++) {
        struct symbol found = {0};
        if (symbols_find(s, m, from + bytes / PLACES * i, &found) == 0 && !found.name)
            abort();
    }
}

static void check_addresses(const struct module *m)
{
    for (size_t i = 0; i < m->n_loads; i++) {
        uint64_t vaddr = 0, off = 0;
        if (module_vaddr_of_off(m, m->loads[i].off, &vaddr))
            (void)module_off_of_vaddr(m, vaddr, &off);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct symbols_options options = {.debug_dir = "/nonexistent"};
    struct modules table = {0};
    struct module *m = fuzz_module(&table, data, bytes);
    struct symbols *s = symbols_new(&options);
    char advice[256];

    check_addresses(m);
    find_symbols(s, m, 0, 0x1000);
    for (size_t i = 0; i < m->n_loads; i++)
        find_symbols(s, m, m->loads[i].vaddr, m->loads[i].file_bytes);
    symbols_advice(s, m, advice, sizeof(advice));

    symbols_free(s);
    modules_release(&table);
    return 0;
}

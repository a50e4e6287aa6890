/* SPDX-License-Identifier: MIT */
/* An ELF file whose .eh_frame and .debug_frame are compiled, at places all over it. */
#include "fuzz.h"
#include "unwind/rows.h"

enum { PLACES = 64 };

static void find_rows(struct rows *rows, struct module *m)
{
    for (size_t i = 0; i < m->n_loads; i++)
        for (uint64_t k = 0; k < PLACES; k++)
            (void)rows_find(rows, m, m->loads[i].vaddr + m->loads[i].file_bytes / PLACES * k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct modules table = {0};
    struct module *m = fuzz_module(&table, data, bytes);
    struct pages *pages = pages_new();
    struct cfi *cfi = cfi_new(pages);
    struct go_stacks *go_stacks = go_stacks_new();
    struct rows *rows = rows_new(cfi, go_stacks, pages);
    find_rows(rows, m);
    rows_free(rows);
    go_stacks_free(go_stacks);
    cfi_free(cfi);
    pages_free(pages);
    modules_release(&table);
    return 0;
}

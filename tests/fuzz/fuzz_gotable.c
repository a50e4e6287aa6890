/* SPDX-License-Identifier: MIT */
/* An ELF file that may be a Go program. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "target/gotable.h"

enum { PLACES = 64 };

static bool see(void *arg, uint64_t start, uint64_t end, uint32_t delta)
{
    uint64_t *next = arg;
    if (start >= end || (*next && start != *next) || delta > INT32_MAX)
        abort();
    *next = end;
    return true;
}

static void check(struct gotable *t, uint64_t vaddr)
{
    struct gofunction f;
    uint64_t next = 0;
    (void)gotable_sp_deltas(t, vaddr, see, &next);
    if (gotable_find(t, vaddr, &f) < 0)
        return;
    if (vaddr < f.start || vaddr - f.start >= f.bytes || !memchr(f.name, '\0', sizeof(f.name)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct modules table = {0};
    struct gotable *t;
    struct module *m = fuzz_module(&table, data, bytes);
    if (gotable_open(m, &t) == 0) {
        for (size_t i = 0; i < m->n_loads; i++)
            for (uint64_t k = 0; k < PLACES; k++)
                check(t, m->loads[i].vaddr + m->loads[i].file_bytes / PLACES * k);
        for (uint64_t k = 0; k < PLACES; k++)
            check(t, 0x401000 + k * 8);
        gotable_close(t);
    }
    modules_release(&table);
    return 0;
}

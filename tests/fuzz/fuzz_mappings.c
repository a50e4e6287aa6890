/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "target/mappings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(const struct mappings *t)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct mapping *m = &t->items[i];
        if (m->start >= m->end || (i && t->items[i - 1].end > m->start) ||
            mappings_find(t, m->start) != m || mappings_find(t, m->end - 1) != m)
            abort();
    }
}

/* The text of a /proc/PID/maps, any way round. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct mappings t = {0};
    const char *at = (const char *)data, *end = at + bytes;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *stop = newline ? newline : end;
        struct mapping m;
        if (mapping_parse(at, (size_t)(stop - at), &m) == 0)
            mappings_put(&t, &m);
        at = newline ? newline + 1 : end;
    }
    check(&t);
    mappings_release(&t);
    return 0;
}

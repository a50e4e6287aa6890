/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/mem.h"
#include "fuzz.h"

char *fuzz_text(const uint8_t *data, size_t bytes)
{
    char *text = mem_alloc(bytes + 1);
    if (bytes)
        memcpy(text, data, bytes);
    return text;
}

struct module *fuzz_module(struct modules *table, const uint8_t *data, size_t bytes)
{
    struct module *m = modules_add(table, 1, 1, "/fuzz/input");
    m->pieces = mem_alloc(sizeof(*m->pieces));
    m->pieces[0] = (struct module_piece){.off = 0, .bytes = bytes};
    m->pieces[0].data = (uint8_t *)fuzz_text(data, bytes);
    m->n_pieces = 1;
    m->file_bytes = bytes;
    (void)module_read_headers(m); /* a refusal is an answer too: what follows must cope */
    return m;
}

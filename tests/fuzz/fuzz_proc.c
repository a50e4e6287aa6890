/* SPDX-License-Identifier: MIT */
/* The texts of /proc: names in them are the target's choice. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "target/mappings.h"
#include "target/proctext.h"

static void put_lines(const char *text, size_t bytes)
{
    struct mappings maps = {0};
    for (const char *end = text + bytes; text < end;) {
        const char *stop = memchr(text, '\n', (size_t)(end - text));
        size_t line_bytes = (size_t)((stop ? stop : end) - text);
        struct mapping m = {0};
        if (mapping_parse(text, line_bytes, &m) == 0) {
            if (m.start >= m.end)
                abort();
            mappings_put(&maps, &m);
        }
        text += line_bytes + 1;
    }
    for (size_t i = 1; i < maps.n; i++)
        if (maps.items[i].start < maps.items[i - 1].end)
            abort();
    mappings_release(&maps);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = fuzz_text(data, bytes);
    struct proc_stat stat = {0};
    struct proc_status status = {0};
    struct proc_run run = {0};
    struct proc_where where = {0};
    if (proctext_stat(text, bytes, &stat) == 0 && !memchr(stat.comm, 0, sizeof(stat.comm)))
        abort();
    (void)proctext_status(text, bytes, &status);
    (void)proctext_schedstat(text, bytes, &run);
    (void)proctext_syscall(text, bytes, &where);
    put_lines(text, bytes);
    free(text);
    return 0;
}

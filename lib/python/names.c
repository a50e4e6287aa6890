/* SPDX-License-Identifier: MIT */
#include "python/names.h"

#include <stdlib.h>

#include "base/mem.h"

static uint32_t add(struct python_names *t, uint32_t name, uint32_t file, uint32_t first_line)
{
    t->items = mem_grow(t->items, &t->cap, t->n + 1, sizeof(*t->items));
    t->items[t->n] = (struct python_function){.name = name, .file = file, .first_line = first_line};
    return (uint32_t)t->n++;
}

void python_names_init(struct python_names *t)
{
    *t = (struct python_names){.strings = intern_new(PYTHON_NAMES_BYTES_MAX)};
    lookup_init(&t->by_key);
    add(t, intern_put(t->strings, "[other]"), 0, 0);
}

void python_names_release(struct python_names *t)
{
    intern_free(t->strings);
    free(t->items);
    lookup_release(&t->by_key);
}

uint32_t python_names_put(struct python_names *t, const char *name, const char *file,
                          uint32_t first_line)
{
    uint32_t name_id = intern_put(t->strings, name), file_id = intern_put(t->strings, file), i;
    uint32_t hash = lookup_hash(&t->by_key, (uint64_t)name_id << 32 | file_id, first_line);
    for (size_t pos = 0; (i = lookup_next(&t->by_key, hash, &pos)) != LOOKUP_NONE;)
        if (t->items[i].name == name_id && t->items[i].file == file_id &&
            t->items[i].first_line == first_line)
            return i;
    if (t->n >= PYTHON_FUNCTIONS_MAX)
        return 0;
    i = add(t, name_id, file_id, first_line);
    lookup_put(&t->by_key, hash, i);
    return i;
}

const char *python_names_name(const struct python_names *t, uint32_t function)
{
    return intern_get(t->strings, t->items[function].name);
}

const char *python_names_file(const struct python_names *t, uint32_t function)
{
    return intern_get(t->strings, t->items[function].file);
}

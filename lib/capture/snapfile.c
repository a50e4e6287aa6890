/* SPDX-License-Identifier: MIT */
#include "capture/snapfile.h"

#include <stdlib.h>

void snapfile_free_shown(struct snapfile_shown *shown, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(shown[i].function);
        free(shown[i].file);
    }
    free(shown);
}

void snapfile_release(struct snapfile *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_processes; i++)
        mappings_release(&s->processes[i].maps);
    for (size_t i = 0; i < s->n_items; i++) {
        free(s->items[i].name);
        free(s->items[i].wait);
        free(s->items[i].stack);
        snapfile_free_shown(s->items[i].shown, s->items[i].n_shown);
    }
    free(s->processes);
    free(s->items);
    modules_release(&s->modules);
    *s = (struct snapfile){0};
}

const struct mappings *snapfile_maps(const struct snapfile *s, pid_t pid)
{
    for (size_t i = 0; i < s->n_processes; i++)
        if (s->processes[i].pid == pid)
            return &s->processes[i].maps;
    return NULL;
}

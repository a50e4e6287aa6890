/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/mem.h"
#include "capture/snapfile.h"
#include "session/state.h"

/* Everything in the file's struct is borrowed from the session; only the two lists are made here.
 */
int session_save_snapshots(struct session *s, FILE *out, struct error *err)
{
    struct snapfile_process *processes OX_FREE = mem_alloc(s->n_targets * sizeof(*processes));
    struct snapfile_item *items OX_FREE = mem_alloc(s->n_kept * sizeof(*items));
    struct snapfile file = {.modules = s->modules, .processes = processes, .items = items};
    for (size_t i = 0; i < s->n_targets; i++) {
        const struct process *p = &s->targets[i]->process;
        if (s->targets[i]->live)
            processes[file.n_processes++] =
                (struct snapfile_process){.pid = p->pid, .maps = p->maps};
    }
    for (size_t i = 0; i < s->n_kept; i++)
        items[file.n_items++] = (struct snapfile_item){.snap = s->kept[i].snapshot,
                                                       .name = s->kept[i].name,
                                                       .wait = s->kept[i].wait,
                                                       .shown = s->kept[i].shown,
                                                       .n_shown = s->kept[i].n_shown};
    return snapfile_write(out, &file, err);
}

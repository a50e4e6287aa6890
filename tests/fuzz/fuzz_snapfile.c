/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "capture/snapfile.h"
#include "unwind/unwind.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Whatever a snapshot file holds, every stack in it can be walked: ELF headers and CFI included. */
static void walk_all(const struct snapfile *file)
{
    static struct stack stack;
    struct unwinder *u = unwinder_new();
    for (size_t i = 0; i < file->n_items; i++) {
        const struct mappings *maps = snapfile_maps(file, file->items[i].snap.pid);
        if (!maps)
            continue;
        unwinder_forget(u);
        unwinder_walk(u, &file->items[i].snap, maps, &stack);
        while (stack.end == STACK_UNMAPPED && stack.miss_addr)
            unwinder_walk_on(u, &file->items[i].snap, maps, &stack);
        if (!stack.n || stack.n > UNWIND_FRAMES_MAX)
            abort();
    }
    unwinder_free(u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct snapfile file;
    FILE *f = bytes ? fmemopen((void *)(uintptr_t)data, bytes, "r") : NULL;
    if (!f)
        return 0;
    if (snapfile_read(f, &file, NULL) == 0) {
        walk_all(&file);
        snapfile_release(&file);
    }
    fclose(f);
    return 0;
}

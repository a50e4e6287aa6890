/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_DEBUG_FILE_H
#define SYMBOLS_DEBUG_FILE_H

#include "symbols/symbols.h"
#include "target/module.h"
#include "target/sections.h"

/* Where separate debug files are looked for. Everything is borrowed. */
struct debug_places {
    const char *debug_dir; /* "/usr/lib/debug" */
    bool debuginfod;
    int (*open_in_target)(void *arg, const struct module *m, const char *path); /* or NULL */
    void *open_arg;
    struct heartbeat *heartbeat; /* or NULL */
    struct modules *files;       /* those found are added here, and live as long */
};

/*
 * The separate debug file of m, whose sections s are. The first that fits of:
 *   DEBUG_DIR/.build-id/ab/cdef.debug, with the same build-id inside;
 *   the file that .gnu_debuglink names, in the directory of m, in its .debug/, below DEBUG_DIR;
 *     with the same build-id or, where m has none, the right CRC;
 *   the same below the target's own root;
 *   what debuginfod has for the build-id, if it may be asked.
 * 0, -ENODATA where there is none, -EBADMSG where only such of other builds were found.
 */
int debug_file_find(const struct debug_places *p, struct module *m, const struct sections *s,
                    struct module **ret_file, struct sections *ret_sections);

/* What dwz moved out of a debug file, by its .gnu_debugaltlink: by build-id below DEBUG_DIR, or by
 * its path (relative to the debug file's), below our root, then the target's. -ENODATA, -EBADMSG as
 * above. */
int debug_file_alt(const struct debug_places *p, struct module *file, const struct sections *s,
                   struct module **ret_alt, struct sections *ret_sections);

#endif

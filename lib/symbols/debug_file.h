/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_DEBUG_FILE_H
#define SYMBOLS_DEBUG_FILE_H

#include "symbols/sections.h"
#include "target/module.h"

/*
 * The separate debug file of m: DEBUG_DIR/.build-id/ab/cdef.debug, if it is a regular file with the
 * same build-id inside. Adds it to the table of debug files.
 * 0, -ENODATA where there is none, -EBADMSG where it is of another build or no ELF file.
 */
int debug_file_open(struct modules *files, const char *debug_dir, const struct module *m,
                    struct module **ret_file, struct sections *ret_sections);

#endif

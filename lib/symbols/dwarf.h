/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_DWARF_H
#define SYMBOLS_DWARF_H

#include "symbols/dwarf_file.h"
#include "symbols/dwarf_names.h"

/* A function that an address belongs to, and where in it. */
struct dwarf_frame {
    const struct dwarf_name *name; /* borrowed until the next trim; NULL where not known */
    char *path;                    /* owned by the caller; NULL where not known */
    uint32_t line;                 /* 0 where not known */
};

/*
 * The innermost inlined function comes first, the one that was compiled last; `line` of a caller
 * is where it calls the one before. Returns how many, at most max (the outermost ones past it are
 * left out); where only the line is known one without a name; 0 where nothing is known.
 * gcc splits what is worth inlining off a function, and inlines it into what is left: both are one
 * frame here, at the inner line. Each is to be released, also on the next call.
 */
size_t dwarf_frames(struct dwarf_file *f, uint64_t vaddr, struct dwarf_frame *ret_frames,
                    size_t max);
void dwarf_frame_release(struct dwarf_frame *frame);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_STACK_WORDS_H
#define UNWIND_STACK_WORDS_H

#include <stdbool.h>
#include <string.h>

#include "target/snapshot.h"

/* The word at addr, if all of it lies in the snapshot's copy of the stack. */
static inline bool stack_read(const struct snapshot *s, uint64_t addr, uint64_t *ret_word)
{
    uint64_t at = addr - s->stack_addr;
    if (addr < s->stack_addr || at >= s->stack_bytes || s->stack_bytes - at < sizeof(*ret_word))
        return false;
    memcpy(ret_word, s->stack + at, sizeof(*ret_word));
    return true;
}

#endif

/* SPDX-License-Identifier: MIT */
#ifndef UNWIND_STACK_WORDS_H
#define UNWIND_STACK_WORDS_H

#include <stdbool.h>
#include <string.h>

#include "target/snapshot.h"

/* The word at addr, if all of it lies in one of the snapshot's copies of stacks. */
static inline bool stack_read(const struct snapshot *s, uint64_t addr, uint64_t *ret_word)
{
    const struct snapshot_piece *other = &s->interrupted;
    uint64_t at = addr - s->stack_addr;
    if (at < s->stack_bytes && s->stack_bytes - at >= sizeof(*ret_word)) {
        memcpy(ret_word, s->stack + at, sizeof(*ret_word));
        return true;
    }
    at = addr - other->addr;
    if (at >= other->bytes || other->bytes - at < sizeof(*ret_word))
        return false;
    memcpy(ret_word, other->data + at, sizeof(*ret_word));
    return true;
}

/* Is addr in one of the copies, or right above it? */
static inline bool stack_holds(const struct snapshot *s, uint64_t addr)
{
    return addr - s->stack_addr <= s->stack_bytes ||
           (s->interrupted.bytes && addr - s->interrupted.addr <= s->interrupted.bytes);
}

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SHADOW_H
#define SHADOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What the stack must be, kept by somebody who saw every instruction: a call adds the place of its
 * return address, a signal the place that it interrupted; whatever lies below RSP is gone, by which
 * way ever it went (ret, longjmp, an exception's landing). It knows no CFI and no frame pointer.
 */
struct shadow_entry {
    uint64_t slot;      /* addr of the return address; of a signal: of its frame */
    uint64_t stack_end; /* end of the mapping that holds it: which stack it is on */
    bool signal;
};

struct shadow {
    struct shadow_entry *items; /* owned */
    size_t n, cap;
};

void shadow_release(struct shadow *s);

/* The call has been executed: its return address lies at slot. */
void shadow_call(struct shadow *s, uint64_t slot, uint64_t stack_end);

/* A handler is about to execute its first instruction. rsp: there, at its return address. */
void shadow_signal(struct shadow *s, uint64_t rsp, uint64_t stack_end);

/* rt_sigreturn(2) has put the interrupted registers back. */
void shadow_signal_over(struct shadow *s);

/* RSP is now rsp, on the stack of this end. */
void shadow_moved(struct shadow *s, uint64_t rsp, uint64_t stack_end);

/* The bytes of a call instruction at the beginning of code, or 0 where there is none. */
size_t shadow_call_bytes(const uint8_t *code, size_t bytes);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef CAPTURE_ASLEEP_H
#define CAPTURE_ASLEEP_H

#include "capture/watch.h"
#include "target/snapshot.h"

/*
 * A sleeping thread, sampled without touching it: /proc/.../syscall answers only for a thread that
 * is switched out, and the run counter, which counts before it can run again, is equal before and
 * after the copy. w->run must hold the counter as just read.
 *
 * 0 with *ret filled (its stack and pieces lie in buf, which must hold SNAPSHOT_BUF_BYTES);
 * -EAGAIN: it runs; -EBUSY: it woke while it was copied; -ESRCH: gone; -ENODATA: it has exited (a
 * zombie leader). After -EBUSY w->run is up to date.
 */
int asleep_capture(struct watch *w, uint8_t *buf, struct snapshot *ret);

/*
 * Copies a stack of w's process: from sp less the red zone, w->copy_bytes at most, never beyond
 * the mapping that holds sp, which must be plain anonymous memory. Where it has the word at
 * w->signal_sp_at, the stack that this points to too, in the same way; half the room of both is
 * its own. Fills the stack fields of ret; they stay empty where it can't be read. No allocation.
 */
void asleep_copy_stack(struct watch *w, uint64_t sp, uint8_t *buf, struct snapshot *ret);

/* Lets the next copies of this thread's stacks hold at least `more` bytes beyond the last ones'. */
void asleep_want_more(struct watch *w, const struct snapshot *last, uint64_t more);

#endif

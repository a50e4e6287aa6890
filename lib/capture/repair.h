/* SPDX-License-Identifier: MIT */
#ifndef CAPTURE_REPAIR_H
#define CAPTURE_REPAIR_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/user.h>

#include "capture/watch.h"

/*
 * What a stop interrupted, and how it is put back. PTRACE_INTERRUPT ends a system call that waits;
 * the kernel begins most of them again, without a trace. Two kinds are repaired here, in the one
 * register that holds the result: those that would report EINTR to a program that has got no
 * signal, and those that would go on by restart_syscall where a seccomp filter may kill for that.
 *
 * Both are asked while the thread stands still, with its registers as the kernel shows them then:
 * no allocation, no message. The caller traces it.
 */
enum repair {
    REPAIR_NEEDLESS, /* no call was interrupted, or the kernel begins it again */
    REPAIR_DONE,
    REPAIR_DISTURBED /* it reports EINTR: it can't be begun again, or the thread has been killed */
};

/* w: of the thread, borrowed; NULL: not known, and taken for one with a seccomp filter. */
enum repair repair_call(pid_t tid, struct watch *w, const struct user_regs_struct *r);

/* Was the thread in a call (r->orig_rax) that waited? To be asked of the registers as they were
 * before the repair. */
bool repair_was_blocked(const struct user_regs_struct *r);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef CAPTURE_SEIZE_H
#define CAPTURE_SEIZE_H

#include <sys/types.h>

/*
 * PTRACE_SEIZE that can't hang. It waits for an exec under way in the target (cred_guard_mutex,
 * ptrace_attach() in kernel/ptrace.c), and that exec waits for us where another thread of the
 * process, already seized, has been ended by it and is to be reaped by us: for ever. The wait can
 * be interrupted, but the kernel begins it again after the signal's handler; ours steps over that.
 *
 * SIGCHLD, which tells of the thread to be reaped, is let through meanwhile. It may come between
 * the last instruction before the system call and the wait itself; the guardian therefore sends
 * another, later, also where the exec takes long for reasons of its own.
 */

/* Installs the handler of SIGCHLD. 0 or a negative errno. */
int seize_prepare(void);

/* 0 or a negative errno; -EINTR: called off. SIGCHLD is blocked, before and after; one that was
 * pending, or came, may no longer be. */
int seize(pid_t tid);

#endif

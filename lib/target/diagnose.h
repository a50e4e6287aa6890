/* SPDX-License-Identifier: MIT */
#ifndef TARGET_DIAGNOSE_H
#define TARGET_DIAGNOSE_H

#include <sys/types.h>

#include "base/error.h"

/*
 * Why a process can't be profiled and what to do about it: one sentence. The causes are looked for
 * in this order: no such process; zombie; kernel thread; own process; already traced; runs as
 * another user; Yama; no CAP_SYS_PTRACE (in a container); undumpable.
 */

/* Before anything is opened. 0 where nothing speaks against it. */
int diagnose_before(pid_t pid, struct error *err);

/* After an attempt failed with rc. Returns rc's meaning: -ESRCH, -EPERM, or rc itself. */
int diagnose_refusal(pid_t pid, int rc, struct error *err);

/* The program is one that we can unwind: 0, or -ENOTSUP for 32-bit and other machines' programs. */
int diagnose_program(pid_t pid, struct error *err);

/* "strace (pid 77)" for who traces the thread; 0 length where nobody does. */
void diagnose_tracer(pid_t tid, char *buf, size_t bytes);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef TARGET_PROCTEXT_H
#define TARGET_PROCTEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The texts of /proc/PID (proc(5)). Parsers of bytes already read: 0, or -EBADMSG where the text is
 * not what the kernel writes; *ret is then untouched. Names in them are the target's choice.
 */

/* /proc/PID/stat. The command name may hold blanks and ')', so fields begin behind the LAST ')'. */
struct proc_stat {
    char comm[64];
    char state;
    pid_t ppid;
    uint64_t flags;       /* PF_*: include/linux/sched.h */
    uint64_t start_ticks; /* field 22, in clock ticks since boot */
    uint64_t start_stack; /* field 28: moves with every exec, 0 without permission */
    uint64_t cpu;         /* field 39: that it runs on, or ran on last */
    uint64_t policy;      /* field 41: SCHED_* */
};
enum {
    PROC_FLAG_DUMPCORE = 0x00000200, /* PF_DUMPCORE: it writes the core dump of its process */
    PROC_FLAG_KTHREAD = 0x00200000,  /* PF_KTHREAD, since Linux 2.6.27 */
};
int proctext_stat(const char *text, size_t bytes, struct proc_stat *ret);

/* /proc/PID/status, what we need of it. Absent lines leave 0. */
struct proc_status {
    char state;
    pid_t tgid, tracer, ns_pid; /* ns_pid: in its innermost PID namespace */
    uid_t uid, euid;
    unsigned seccomp; /* 0 none, 1 strict, 2 filter */
};
int proctext_status(const char *text, size_t bytes, struct proc_status *ret);

/* /proc/PID/task/TID/schedstat (Documentation/scheduler/sched-stats.rst). */
struct proc_run {
    uint64_t run_ns, delay_ns;
    uint64_t switches_in; /* how often it was given a CPU: counted before it can run */
};
int proctext_schedstat(const char *text, size_t bytes, struct proc_run *ret);

/* /proc/PID/task/TID/syscall. */
enum { PROC_CALL_ARGS = 6 };
struct proc_where {
    bool running;    /* nothing else is known then */
    int64_t syscall; /* -1: blocked, but in no system call */
    uint64_t args[PROC_CALL_ARGS];
    uint64_t sp, pc;
};
int proctext_syscall(const char *text, size_t bytes, struct proc_where *ret);

#endif

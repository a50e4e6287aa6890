/* SPDX-License-Identifier: MIT */
#ifndef TARGET_THREADS_H
#define TARGET_THREADS_H

#include "base/map.h"
#include "target/process.h"

/*
 * The threads of a process. Each has kept descriptors of its /proc files, which answer -ESRCH once
 * it is gone and never speak of a later thread with the same number. Past the limit of open files
 * they are opened at each use.
 */
struct thread {
    pid_t tid;
    int schedstat_fd, syscall_fd, status_fd, stat_fd; /* owned; -1 not open */
    char name[64];                                    /* as last read; the target's choice */
    uint64_t seen_in;                                 /* number of the rescan that saw it last */
    bool gone;
    struct watch *watch; /* the sampler's notes; not looked at here, freed by the sampler */
};

/*
 * How the limit of open files is shared out, for all processes of a session together: three eighths
 * at most are kept open for threads, three quarters for threads and processes; the rest is for
 * modules and for ourselves.
 */
struct fd_budget {
    size_t all, for_threads;
    size_t kept; /* for threads, at present */
};

/* Of the limit as it is now. */
void fd_budget_init(struct fd_budget *b);

/* Whether so many processes can be open at once. */
bool fd_budget_allows(const struct fd_budget *b, size_t processes);

struct threads {
    struct thread **items; /* owned; in order of appearance */
    size_t n, cap;
    struct map by_tid; /* tid -> struct thread * */
    uint64_t rescans;
    uint64_t links;        /* of /proc/PID/task when it was last read; 0 = read it again */
    struct fd_budget *fds; /* borrowed */
};

/* fds must outlive the threads. */
void threads_init(struct threads *t, struct fd_budget *fds);
void threads_release(struct threads *t);

/*
 * Brings the list up to date. Cheap where the link count of /proc/PID/task is as before (threads
 * plus two); reads the folder where it is not, or where t->links is 0, as after a -ESRCH. Threads
 * that have ended are marked gone. True where it read the folder; -ESRCH with no task left.
 */
int threads_rescan(struct threads *t, const struct process *p);

/* Frees those marked gone that have no watch any more. */
void threads_drop_gone(struct threads *t);

/* 0, -ESRCH where the thread is gone, or another negative errno. No allocation. */
int thread_run(struct threads *t, const struct process *p, struct thread *th, struct proc_run *ret);
int thread_where(struct threads *t, const struct process *p, struct thread *th,
                 struct proc_where *ret);
int thread_status(struct threads *t, const struct process *p, struct thread *th,
                  struct proc_status *ret);
int thread_stat(struct threads *t, const struct process *p, struct thread *th,
                struct proc_stat *ret);
int thread_read_name(const struct process *p, struct thread *th);

#endif

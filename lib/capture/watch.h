/* SPDX-License-Identifier: MIT */
#ifndef CAPTURE_WATCH_H
#define CAPTURE_WATCH_H

#include "capture/plan.h"
#include "target/threads.h"

struct perf_ring;
struct perf_queue;

/* The time of a thread that no hit stands for yet; less than 0 where hits came first. */
struct open_time {
    struct proc_run run; /* as of when it was brought up to date: */
    uint64_t at_ns;
    int64_t wall_ns; /* all; of that: */
    int64_t cpu_ns, ready_ns;
};

enum { WATCH_COPY_FIRST_BYTES = 16 << 10 };

/* What the sampler has learnt of a thread. */
struct watch {
    struct process *process; /* borrowed */
    struct threads *threads; /* borrowed; of the process */
    struct thread *thread;   /* borrowed */

    struct proc_run run;   /* as of its last look */
    uint64_t run_first_ns; /* its running time when first seen */
    uint64_t tick;         /* the last tick that was settled for it */
    uint64_t next_look;    /* the tick at which it is looked at again */
    uint64_t idle_ticks;   /* for how long it has not run */
    bool asleep;           /* at its last look it slept, and tally says where */
    bool sampled;          /* at least once: tally and syscall are set */
    bool truncated;        /* the stack behind tally did not reach its first function, */
    bool given_up;         /* because it took too much to unwind */
    bool exited;           /* a leader that has ended before its threads */
    uint32_t tally;        /* of the profile */
    uint32_t profile_thread;
    int64_t syscall; /* that it was in; -1 none */

    size_t copy_bytes;      /* how much of a stack to copy */
    uint64_t signal_sp_at;  /* where the kernel left the RSP of the code that a handler with a stack
                               of its own interrupted; the same each time. 0 not known */
    struct copy_plan *plan; /* owned; what else, in the same moment; NULL: nothing */
    bool plan_stale;        /* made of something that is no longer there */
    uint32_t plan_list;     /* which list of its owner's it was made from */
    uint32_t plan_misses;   /* how often in a row there was nothing to plan */
    char *python_name;      /* owned; what Python's threading calls it; NULL: nothing */
    pid_t ns_tid;           /* its number as it sees itself; 0 not asked for yet */
    uint64_t cpu;           /* where it ran when it was last interrupted */
    uint64_t run_released;  /* see stopper_release_run(); 0 not known */
    bool teach;             /* to be stopped even if it sleeps: its registers are wanted */
    bool fell_asleep;       /* when it was to be stopped: to be captured where it sleeps */
    pid_t waits_for;        /* asleep: for what this thread holds, or for its end; 0: none known */
    uint64_t waits_at;      /* addr of that lock */
    int waits_kind;         /* of the session: what kind of lock */
    bool waits_limited;     /* it gives up after a time */
    struct perf_ring *perf; /* owned; NULL: the kernel does not sample it */
    struct perf_queue *perf_queue; /* owned, with perf: samples whose time has not come */
    uint64_t perf_full;            /* the tick that last found no room left in it; 0 never */
    size_t perf_dump_bytes;
    uint64_t perf_retry; /* the tick from which on its ring may be tried again */
    struct {             /* how well the kernel's samples show what it does */
        uint32_t samples, cut, in_kernel;
    } perf_quality;
    struct open_time open;
    bool stopping; /* interrupted, and its stop has not come yet */
};

void watch_free(struct watch *w);

#endif

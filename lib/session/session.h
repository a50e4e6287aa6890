/* SPDX-License-Identifier: MIT */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/error.h"
#include "capture/guardian.h"
#include "profile/profile.h"
#include "symbols/symbols.h"

/*
 * One profiling run: clock, capture, unwinding and counting tied together. The caller has one loop:
 *
 *     wait for a signal until session_next_ns();  all signals are blocked, SIGCHLD among them
 *     on a timeout: session_tick();  on SIGCHLD: session_collect();
 *
 * All on one thread.
 */
enum session_view {
    VIEW_MIXED,  /* Python's frames in place of the interpreter's that run them */
    VIEW_NATIVE, /* native frames only */
    VIEW_PYTHON, /* Python's frames only */
};

/* How running threads are sampled. Those that sleep are never stopped for a sample. */
enum session_capture {
    CAPTURE_AUTO, /* stopped, at present */
    CAPTURE_STOP,
    CAPTURE_NOSTOP, /* not at all */
    CAPTURE_PERF,   /* by the kernel (capture/perf.h); only those that run Python code are stopped,
                       unless VIEW_NATIVE */
};

struct session_options {
    uint64_t interval_ns;
    uint64_t duration_ns; /* of sampling, pauses excluded; 0: no end */
    uint64_t samples_max; /* 0: no end */
    bool cpu_only;        /* count running threads only */
    bool children;        /* and the processes that they fork */
    bool start_paused;
    enum session_capture capture;
    bool keep_snapshots; /* for session_snapshots() */
    enum session_view view;
    bool gil;       /* count only threads that hold it */
    bool keep_time; /* for formats that show the order in time */
    enum demangle demangle;
    bool debuginfod; /* servers may be asked for debug information */
};

struct session;

/* guardian is borrowed and must outlive the session. */
struct session *session_new(const struct session_options *opt, struct guardian *guardian);
void session_free(struct session *s);

/* tid 0: all its threads; else this one, and others so named. -ESRCH, -EPERM,
 * -ENOTSUP, … */
int session_add(struct session *s, pid_t pid, pid_t tid, struct error *err);

/* A launched command, our own child: its end is noticed here. */
void session_set_child(struct session *s, pid_t child);
/* True with the status of waitpid(2) once it has ended. */
bool session_child_status(const struct session *s, int *ret_status);

/* Arms the clock: the first tick falls at a random point of the interval that begins now. */
void session_start(struct session *s);

/* When session_tick() is due (CLOCK_MONOTONIC); never far away, so that an end is noticed in time.
 */
uint64_t session_next_ns(const struct session *s);
void session_tick(struct session *s);

/* After SIGCHLD: ends the stops that have come. Also to be called after the end of sampling, as
 * long as the program runs. */
void session_collect(struct session *s);

/* Nothing more will be sampled: the time is up, enough samples, or no target lives. */
bool session_finished(const struct session *s);
bool session_targets_live(const struct session *s);
/* A stop is under way: this is no moment to stop ourselves. */
bool session_stopping(const struct session *s);

/* Ends the stops that come within so long; true where none is left. SIGCHLD is blocked. */
bool session_end_stops(struct session *s, uint64_t within_ns);

void session_pause(struct session *s);
void session_resume(struct session *s);
bool session_paused(const struct session *s);

/* Stops sampling, waits a moment for stops under way, settles every thread's account. */
void session_finish(struct session *s);

/* Settles, names what is new, and fills in the head's figures. Borrowed; sampling may go on. */
struct profile *session_profile(struct session *s);

uint64_t session_samples(const struct session *s);
uint64_t session_ticks(const struct session *s);

/* What kept threads or names from being seen, for one warning each: NULL when i is past the last.
 */
const char *session_warning(struct session *s, size_t i);

/* What would give the i-th module (of the path, unescaped) more names: "" where all is well. False
 * past the last. */
bool session_advice(struct session *s, size_t i, const char **ret_module, char *buf, size_t bytes);

/* What was found of each thread at its last look, for `oxprof dump`. */
struct session_thread {
    pid_t pid, tid;
    const char *name; /* holds until the next call */
    bool sampled;     /* else nothing below is set */
    bool asleep;
    int64_t syscall; /* -1: none */
    uint32_t tally;  /* of the profile */
};
bool session_thread(struct session *s, size_t i, struct session_thread *ret);

/* Writes the snapshots that were kept, with the bytes of the modules that unwinding them needs. */
int session_save_snapshots(struct session *s, FILE *out, struct error *err);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/clock.h"
#include "base/error.h"
#include "capture/guardian.h"
#include "capture/stop_histogram.h"
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
    CAPTURE_AUTO,   /* by the kernel (capture/perf.h) where it lets us, and it shows all; stopped
                       where not: processes that run Python, unless VIEW_NATIVE; stacks that are
                       too deep; much time in the kernel where we may sample user code only */
    CAPTURE_STOP,   /* stopped */
    CAPTURE_NOSTOP, /* by the kernel where it lets us, else not at all */
    CAPTURE_PERF,   /* by the kernel, or an error; those that run Python are stopped all the same */
};

struct session_options {
    uint64_t interval_ns;
    uint64_t duration_ns; /* of sampling, pauses excluded; 0: no end */
    uint64_t samples_max; /* 0: no end */
    bool cpu_only;        /* count running threads only */
    bool children;        /* and the processes that they fork */
    bool start_paused;
    enum session_capture capture;
    bool no_perf; /* not by the kernel, whatever capture says: for one look, or a trial of stops */
    bool keep_snapshots; /* for session_snapshots() */
    enum session_view view;
    bool gil;                  /* count only threads that hold it */
    bool keep_time;            /* for formats that show the order in time */
    uint32_t max_overhead_ppm; /* of a CPU, for us and the stops; 0: any. The looks become fewer */
    enum demangle demangle;
    bool debuginfod; /* servers may be asked for debug information */
};

enum { SESSION_INTERVAL_MIN_NS = 100 * 1000 };
#define SESSION_INTERVAL_MAX_NS (10 * OX_NS_PER_S)

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

/* The counts begin anew: hits, losses, ticks, time and cost. What is known of the target stays, and
 * so do opt.duration_ns and its clock. */
void session_reset(struct session *s);

/* -ERANGE outside of SESSION_INTERVAL_MIN_NS to _MAX_NS. A new interval begins a new count, as
 * hits at different intervals weigh differently; the present one changes nothing. */
int session_set_interval(struct session *s, uint64_t interval_ns, struct error *err);

/* How it goes, since the last reset but for the counts that end in _ever. Costs no look at the
 * target. */
struct session_status {
    uint64_t interval_ns;
    /* between ticks as they came; each falls at a random point of its interval, so the deviation
     * of a punctual sampler is 0.41 of it. 0: fewer than two. */
    double achieved_mean_ns, achieved_deviation_ns;
    uint64_t samples, ticks, ticks_missed, sampled_ns;
    uint64_t lost[LOSS_N], truncated;
    struct profile_cost cost;
    uint64_t samples_ever[PROFILE_STATES], lost_ever[LOSS_N];
    struct stop_histogram stops_ever;
    uint64_t cpu_ns_ever;      /* ours */
    size_t threads, processes; /* watched at present; living */
    bool paused, finished;
    bool stopping; /* session_stopping(): what was begun before a pause is still to come */
};
void session_status(const struct session *s, struct session_status *ret);

/* Stops sampling, waits a moment for stops under way, settles every thread's account. */
void session_finish(struct session *s);

/* Counts what long sleepers have not been looked at for. */
void session_settle(struct session *s);

/* Settles, names what is new, and fills in the head's figures. Borrowed; sampling may go on. */
struct profile *session_profile(struct session *s);

/*
 * For those who follow a run as it goes: every hit as it is counted, on the caller's thread, from
 * now on. It must be quick, and may ask the session for nothing but its ticks and counts. Two at
 * most.
 */
void session_follow(struct session *s, void (*hit)(void *arg, uint32_t tally, uint64_t hits),
                    void *arg);
/* Asks for the names of at most so many frames that are new, takes those that have come, waiting
 * for none, and returns how many of all have had their turn: those below keep their names, but for
 * all of KIND_JIT where *ret_jit_renamed is set. Best with no stop under way. */
size_t session_name_new(struct session *s, size_t most, bool *ret_jit_renamed);
/* The counts as they are: session_profile() without settling, naming, or figures in its head. */
const struct profile *session_counts(const struct session *s);
/* "pid 4242 (app)": of the processes so far. */
void session_title(const struct session *s, char *buf, size_t bytes);

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

/* For `oxprof dump`, when all stops have ended: what was found in a call at its stop is looked at
 * again where it sleeps. Only of sleepers can be said what they wait for. How many are awake. */
size_t session_look_at_sleepers(struct session *s);

/* One link of a ring of threads that wait for each other for ever. */
struct session_link {
    bool first; /* of a ring: the ones until the next first follow it, the last leads back to it */
    pid_t tid, holder_tid;
    const char *name, *holder; /* the target's choice */
    const char *lock;          /* "mutex", "rwlock", "GIL"; NULL: it waits for the holder's end */
    uint64_t addr;             /* of the lock */
};
/* Looks at the threads of all rings once more; tells only what holds at one moment. */
void session_deadlocks(struct session *s, void (*take)(void *arg, const struct session_link *link),
                       void *arg);

/* Writes the snapshots that were kept, with the bytes of the modules that unwinding them needs. */
int session_save_snapshots(struct session *s, FILE *out, struct error *err);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SESSION_STATE_H
#define SESSION_STATE_H

#include "capture/snapfile.h"
#include "capture/stopper.h"
#include "python/frames.h"
#include "python/merge.h"
#include "session/account.h"
#include "session/follow.h"
#include "session/look.h"
#include "session/session.h"
#include "session/sleeper.h"
#include "session/stops.h"
#include "session/waits.h"
#include "symbols/namer.h"
#include "target/threads.h"
#include "unwind/unwind.h"

/* What the files of this room share; nobody else includes it. */

/* Code of the interpreter that is told apart in native stacks. */
struct code_range {
    uint64_t start, end; /* addr */
    enum native_role role;
};

/* CPython in a process. */
struct interpreter {
    struct python_runtime runtime;
    struct python_codes codes;
    const struct module *module; /* borrowed; where _PyRuntime lies */
    struct code_range *ranges;   /* owned; by start */
    size_t n_ranges, ranges_cap;
    struct python_thread *threads; /* owned; as last listed */
    size_t n_threads, threads_cap;
    uint32_t lists;                /* how often they were */
    struct python_thread *listing; /* owned; where the next list is made */
    size_t listing_cap;
    struct copy_refs refs;     /* code objects; the plans of all threads borrow it */
    uint64_t codes_changed_ns; /* when one was last met that had not been known */
    uint64_t found_ns;         /* when it was found */
    uint64_t listing_ns;       /* how long the listing of threads has taken since */
    uint64_t active_dict;      /* threading._active; 0 not found yet */
};

/* One process under study. */
struct target {
    struct process process;
    struct threads threads;
    struct unwinder *unwinder; /* owned */
    struct perfmap *perfmap;   /* owned; read when names are wanted */
    bool live;
    bool from_start;   /* it was there when the run began; */
    bool listed;       /* its threads have been looked for: those found first had been there, too */
    bool has_jit;      /* samples fell on anonymous executable memory */
    bool filtered;     /* only the threads in wanted */
    struct map wanted; /* tid -> 1 */
    uint32_t index;    /* in session->targets */
    uint64_t exec_checked_ns, maps_checked_ns, children_read_ns;
    size_t name_turn; /* whose name is read next */
    bool traced_said;
    struct interpreter *python;             /* owned; NULL where none was found */
    uint64_t python_look_ns, python_gap_ns; /* when to look for one again */
};

/* The keys under which code is known to the profile (struct profile_frame's space). */
enum {
    SPACE_UNMAPPED,
    SPACE_SPECIAL,
    SPACE_MODULE,
    SPACE_JIT,
    SPACE_PYTHON,
    SPACE_WAIT,
    SPACE_KERNEL
};
/* Of SPACE_WAIT: the address is a text of the waits, or (WAIT_PLAIN) of the profile; the thread
 * that it ends with is part of the number. */
enum { WAIT_KERNEL, WAIT_PYTHON, WAIT_PLAIN };
#define OX_WAIT_NUMBER(kind, thread) ((uint32_t)(kind) | ((uint32_t)(thread) + 1) << 2)
#define OX_WAIT_KIND(number) ((number)&3)
#define OX_WAIT_THREAD(number) (((number) >> 2) - 1)
enum {
    SPECIAL_UNWIND_FAILED,
    SPECIAL_NOT_STOPPED,
    SPECIAL_NO_PYTHON,
    SPECIAL_WAITING_FOR_GIL,
    SPECIAL_NOT_COUNTED, /* without the GIL, where only its holder counts */
    SPECIAL_WAITING_FOR_CPU,
    SPECIAL_IN_KERNEL, /* running there, where the kernel samples user code only, or hides what is
                          where in it */
};
#define OX_SPACE(kind, number) ((uint64_t)(kind) << 60 | (uint64_t)(number))
#define OX_SPACE_KIND(space) ((unsigned)((space) >> 60))
#define OX_SPACE_NUMBER(space) ((uint32_t)(space))
/* A waiting thread's innermost frame may be named by its system call: that is part of its key. */
#define OX_SPACE_CALL(nr) (((uint64_t)(nr) + 1) << 32)
#define OX_SPACE_CALL_OF(space) ((int64_t)((space) >> 32 & 0xfffffff) - 1)

struct kept_snapshot {
    struct snapshot snapshot; /* stack owned */
    char name[64];
    char *wait;                   /* owned; NULL: not known */
    struct snapfile_shown *shown; /* owned; innermost first; NULL: the native stack as it is */
    size_t n_shown;
};

enum { WAIT_FOR_GIL = 64 }; /* watch.waits_kind: beside those of enum lock_kind */
enum { WAIT_TEXT_BYTES = 4096 + 64 };
enum {
    WARNINGS_MAX = 16,
    FOLLOWERS_MAX = 2,
    STACK_FRAMES_MAX = UNWIND_FRAMES_MAX + PYTHON_STACK_MAX + 2 + SNAPSHOT_KERNEL_MAX
};

struct session {
    struct session_options opt;
    struct guardian *guardian; /* borrowed */
    struct profile *profile;
    struct modules modules;
    struct fd_budget fds;       /* shared by the targets' threads */
    struct namer *namer;        /* owned */
    struct unwinder *functions; /* owned; knows where functions without symbols begin */
    struct stopper stopper;
    struct target **targets; /* owned */
    size_t n_targets, targets_cap;

    /* the clock */
    uint64_t epoch_ns; /* where tick 1's interval begins; moved by pauses */
    uint64_t tick;     /* the last one that was made */
    uint64_t due_ns;   /* when the next one is due */
    uint64_t stands;   /* how many ticks the look under way, or the next one, stands for */
    uint64_t group;    /* and the next one, as planned */
    uint64_t looks;
    struct {
        uint64_t since_ns, spent_ns; /* where the window of the budget began */
    } budget;
    uint64_t start_tick, sampled_ns, resumed_ns;
    uint64_t ended_ns;  /* where `finished`: when it was */
    uint64_t ticked_ns; /* the last tick's time; 0: none since a pause or reset */
    struct {
        uint64_t n;
        double mean_ns, squares; /* of the distances from tick to tick (Welford) */
    } pace;
    struct { /* what was counted before the last reset */
        uint64_t tick, looks, sampled_ns, lost[LOSS_N];
        struct profile_cost cost;
    } before;
    uint64_t gone_mappings_cut, gone_cfi_cut; /* of targets that have ended */
    uint64_t samples_ever[PROFILE_STATES];
    struct {
        void (*hit)(void *arg, uint32_t tally, uint64_t hits);
        void *arg;
    } followers[FOLLOWERS_MAX];
    size_t n_followers;
    uint64_t random;
    bool started, paused, finished;

    struct watch **to_stop; /* owned list: found running in this tick */
    size_t n_to_stop, to_stop_cap;
    size_t n_fell_asleep; /* of those: watch.fell_asleep */

    uint64_t n_watches; /* threads watched at present */
    size_t n_rings;     /* of those: watch.perf */
    uint64_t perf_samples;
    enum { KERNEL_UNKNOWN, KERNEL_NAMED, KERNEL_HIDDEN } kernel; /* whether it says what is where */
    bool perf_refused, perf_refused_some; /* by the system: to us; for a thread */
    uint64_t samples;
    pid_t own_pid;
    uint64_t own_cpu_start_ns, own_cpu_end_ns; /* of the sampling */
    uint64_t ended_cpu_ns;             /* running time of the targets' threads that have ended */
    size_t frames_asked, frames_named; /* those below: the namer was asked, has answered */
    size_t frames_prepared;            /* looked at by naming_prepare() */
    uint64_t prepared_ns;
    struct map modules_prepared; /* (module id, 0) */
    uint64_t jit_named_ns;
    bool jit_is_new;                   /* named by a map that was read before it was met */
    bool jit_asked;                    /* about all of it again */
    uint8_t *buf;                      /* a sleeper's stack: SNAPSHOT_STACK_MAX_BYTES */
    struct stack *stack;               /* of the walk under way */
    uint32_t *frames;                  /* root first, STACK_FRAMES_MAX */
    struct python_names python_names;  /* of all targets */
    struct python_work *python_work;   /* owned; of the walk under way */
    struct python_files *python_files; /* owned; what was found of CPython in modules */
    struct kept_snapshot *kept;
    size_t n_kept, kept_cap;
    size_t kept_last; /* the one of the walk under way */
    struct waits waits;
    char label[THREAD_LABEL_BYTES]; /* of the thread last asked for */
    char *warnings[WARNINGS_MAX];   /* owned */
    size_t n_warnings;
};

/* stacks.c: the tally for what a snapshot shows. */
uint32_t stacks_tally(struct session *s, struct target *t, struct watch *w,
                      const struct snapshot *snap, struct stack *ret_stack);
/* asleep_capture(), and which call it is that restart_syscall(2) goes on with. */
int stacks_capture_asleep(struct session *s, struct target *t, struct watch *w,
                          struct snapshot *ret);
/* The tally for a sample without a stack: SPECIAL_* in place of one. */
uint32_t stacks_special(struct session *s, struct watch *w, uint64_t special,
                        enum profile_state state);
/* Whether hits of this tally are wanted at all. */
bool stacks_counts(const struct session *s, uint32_t tally);
/* The frame of a place in native code. */
uint32_t stacks_native_frame(struct session *s, struct target *t, const struct frame *f);
/* Hits of the ticks up to last_tick. */
void stacks_hit(struct session *s, uint32_t tally, uint64_t hits, uint64_t last_tick);

/* interpreter.c: finds CPython in a target; looks again where there is none yet, ever more rarely.
 * With a stop under way, which it makes longer, only when no tick has been without one for long. */
void interpreter_look(struct session *s, struct target *t, uint64_t now);
/* Forgets it, after an exec or at the target's end. */
void interpreter_forget(struct target *t);
void interpreter_files_free(struct python_files *f);

/* pythreads.c: prepares the copying of a thread's Python frames, if it has any. Lists the
 * interpreter's threads if need be. */
void pythreads_plan(struct session *s, struct target *t, struct watch *w);
/* Its TID as it sees itself. */
pid_t pythreads_ns_tid(struct watch *w);
/* Reads what the threading module calls the threads. */
void pythreads_name(struct session *s, struct target *t);

/* pystacks.c: replaces the native frames in s->frames (innermost first, n of them) by the merged
 * stack and returns its length; n where the thread runs no Python. */
struct python_work *pystacks_new(void);
size_t pystacks_merge(struct session *s, struct target *t, struct watch *w,
                      const struct snapshot *snap, struct stack *native, size_t n);

/* What stands behind the reason of a wait. */
struct wait_thing {
    char text[WAIT_TEXT_BYTES];
    uint32_t thread; /* of the profile: its name and number follow; OX_NO_THREAD: nothing does */
};
#define OX_NO_THREAD UINT32_MAX

/* waits.c: what a sleeper waits for, as the frame that stands below its innermost;
 * PROFILE_NO_FRAME where that is not known, or the call's name says it all. Notes in w->waits_for
 * which thread it waits for. */
uint32_t waits_find(struct session *s, struct target *t, struct watch *w,
                    const struct snapshot *snap, const struct stack *stack);
/* Has it not run since its run counter was last read? */
bool waits_sleeps(const struct watch *w);
/* The frame "[REASON: THING]". */
uint32_t waits_frame(struct session *s, const char *reason, const struct wait_thing *thing,
                     bool python);
/* The wait of such a frame, with the name that the thread in it has by now. */
uint32_t waits_text(struct session *s, uint32_t frame);

/* wait_things.c: what a descriptor is of; of one that is polled alone; of connect(2). False where
 * that is not known. */
bool wait_file(struct session *s, struct target *t, const struct watch *w, uint64_t fd,
               struct wait_thing *ret);
bool wait_poll(struct session *s, struct target *t, const struct watch *w,
               const struct snapshot *snap, struct wait_thing *ret);
bool wait_address(struct session *s, struct target *t, const struct snapshot *snap,
                  struct wait_thing *ret);
/* Memory that is sure to be there at once: anonymous, or of a module. The bytes got. */
size_t wait_read(struct session *s, struct target *t, void *dst, size_t bytes, uint64_t addr);

/* wait_locks.c: the lock behind futex(2), and who holds it. */
bool wait_lock(struct session *s, struct target *t, struct watch *w, const struct snapshot *snap,
               const struct stack *stack, struct wait_thing *ret);
/* Notes that w waits for the thread that calls itself ns_tid: its number in the profile;
 * OX_NO_THREAD: it is none of this process, or not seen yet. */
uint32_t wait_for_thread(struct session *s, struct target *t, struct watch *w, uint64_t ns_tid);
void wait_functions_release(struct waits *waits);

/* naming.c */
void naming_resolve(struct session *s);
bool naming_new(struct session *s, size_t most);
/* While the sampling goes on and no thread is stopped: lets the namer's process open what takes
 * long. */
void naming_prepare(struct session *s, uint64_t now);
void naming_keep_perfmap(struct session *s, struct target *t);
int naming_open_in_target(void *session, const struct module *m, const char *path);
bool naming_kept_fd(void *session, size_t i, int *ret_fd); /* what process_open_file() needs */
void naming_advise(struct session *s, const struct module *m, char *buf, size_t buf_bytes);

/* ticks.c: a tick; `missed`: those before it that came too late to be made. */
void ticks_run(struct session *s, uint64_t tick, uint64_t missed);
/* Brings the accounts of all threads up to the last tick. */
void ticks_settle(struct session *s);

/* status.c: `now` is that of a tick. */
void status_tick(struct session *s, uint64_t now);
void status_cost(const struct session *s, struct profile_cost *ret);
uint64_t status_sampled_ns(const struct session *s);
/*
 * perfticks.c: threads that the kernel samples while they run.
 */
/* Whether it is to be sampled so. */
bool perfticks_wanted(const struct session *s, const struct target *t);
/* True if it is: it has its ring, or has just got it. Else it is to be looked at like any other.
 * `run`: as just read; w->run as of the last look. */
bool perfticks_have(struct session *s, struct target *t, struct watch *w,
                    const struct proc_run *run);
/* One look. 0, or as ticks_capture_asleep() where the thread has ended. */
int perfticks_look(struct session *s, struct target *t, struct watch *w, const struct proc_run *run,
                   bool ran);
/* It was found running: true where the kernel samples it from now on, which needs no stop. */
bool perfticks_take(struct session *s, struct target *t, struct watch *w);
/* Brings its account up to this tick; what can't be told is lost. */
void perfticks_settle(struct session *s, struct target *t, struct watch *w);
/* So many ticks are to be told for when it is closed. */
void perfticks_owe(const struct session *s, struct watch *w, uint64_t ticks);
/* No more samples of it; t NULL: those that wait in its ring are lost too. */
void perfticks_close(struct session *s, struct target *t, struct watch *w);
/* After a pause: what came meanwhile does not count. */
void perfticks_resume(struct session *s, struct watch *w);
/* After the accounts were settled: nothing is sampled while it pauses; at the end all rings go. */
void perfticks_halt(struct session *s);

/* session.c: a living one, or NULL. */
struct target *session_target(struct session *s, pid_t pid);

/* budget.c: after a look; settles how many ticks the ones to come stand for. */
void budget_tick(struct session *s, uint64_t now);
/* At the end of the sampling: the ticks that the next look would have stood for are to be settled.
 */
void budget_end(struct session *s);

/* children.c */
void children_find(struct session *s, struct target *t);

void session_warn(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif

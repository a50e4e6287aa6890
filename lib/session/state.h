/* SPDX-License-Identifier: MIT */
#ifndef SESSION_STATE_H
#define SESSION_STATE_H

#include "capture/stopper.h"
#include "session/session.h"
#include "target/threads.h"
#include "unwind/unwind.h"

/* What the files of this room share; nobody else includes it. */

/* One process under study. */
struct target {
    struct process process;
    struct threads threads;
    struct unwinder *unwinder; /* owned */
    struct perfmap *perfmap;   /* owned; read when names are wanted */
    bool live;
    bool has_jit;      /* samples fell on anonymous executable memory */
    bool filtered;     /* only the threads in wanted */
    struct map wanted; /* tid -> 1 */
    uint32_t index;    /* in session->targets */
    uint64_t exec_checked_ns, maps_checked_ns, children_read_ns;
    size_t name_turn; /* whose name is read next */
    bool traced_said;
};

/* The keys under which code is known to the profile (struct profile_frame's space). */
enum { SPACE_UNMAPPED, SPACE_SPECIAL, SPACE_MODULE, SPACE_JIT };
enum { SPECIAL_UNWIND_FAILED, SPECIAL_NOT_STOPPED };
#define OX_SPACE(kind, number) ((uint64_t)(kind) << 60 | (uint64_t)(number))
#define OX_SPACE_KIND(space) ((unsigned)((space) >> 60))
#define OX_SPACE_NUMBER(space) ((uint32_t)(space))
/* A waiting thread's innermost frame may be named by its system call: that is part of its key. */
#define OX_SPACE_CALL(nr) (((uint64_t)(nr) + 1) << 32)
#define OX_SPACE_CALL_OF(space) ((int64_t)((space) >> 32 & 0xfffffff) - 1)

struct kept_snapshot {
    struct snapshot snapshot; /* stack owned */
    char name[64];
};

enum { WARNINGS_MAX = 16, FOLLOWERS_MAX = 2 };

struct session {
    struct session_options opt;
    struct guardian *guardian; /* borrowed */
    struct profile *profile;
    struct modules modules;
    struct fd_budget fds; /* shared by the targets' threads */
    struct symbols *symbols;
    struct unwinder *functions; /* owned; knows where functions without symbols begin */
    struct stopper stopper;
    struct target **targets; /* owned */
    size_t n_targets, targets_cap;

    /* the clock */
    uint64_t epoch_ns; /* where tick 1's interval begins; moved by pauses */
    uint64_t tick;     /* the last one that was made */
    uint64_t due_ns;   /* when the next one is due */
    uint64_t start_tick, sampled_ns, resumed_ns;
    uint64_t ticked_ns; /* the last tick's time; 0: none since a pause or reset */
    struct {
        uint64_t n;
        double mean_ns, squares; /* of the distances from tick to tick (Welford) */
    } pace;
    struct { /* what was counted before the last reset */
        uint64_t tick, sampled_ns, lost[LOSS_N];
        struct profile_cost cost;
    } before;
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
    uint64_t samples;
    pid_t own_pid;
    uint64_t own_cpu_start_ns, own_cpu_end_ns; /* of the sampling */
    uint64_t ended_cpu_ns; /* running time of the targets' threads that have ended */
    size_t frames_named;
    uint64_t jit_named_ns;
    bool jit_is_new; /* named by a map that was read before it was met */
    uint8_t *buf;        /* a sleeper's stack: SNAPSHOT_STACK_MAX_BYTES */
    struct stack *stack; /* of the walk under way */
    uint32_t *frames;    /* root first, UNWIND_FRAMES_MAX */
    struct kept_snapshot *kept;
    size_t n_kept, kept_cap;
    char *warnings[WARNINGS_MAX]; /* owned */
    size_t n_warnings;
};

/* stacks.c: the tally for what a snapshot shows. */
uint32_t stacks_tally(struct session *s, struct target *t, struct watch *w,
                      const struct snapshot *snap, struct stack *ret_stack);
/* The tally for a sample without a stack: SPECIAL_* in place of one. */
uint32_t stacks_special(struct session *s, struct watch *w, uint64_t special,
                        enum profile_state state);
void stacks_hit(struct session *s, uint32_t tally, uint64_t hits);

/* naming.c */
void naming_resolve(struct session *s);
bool naming_new(struct session *s, size_t most);
void naming_keep_perfmap(struct session *s, struct target *t);

/* ticks.c */
void ticks_run(struct session *s, uint64_t tick, uint64_t missed);
void ticks_stop_done(void *session, const struct stop *stop);
void ticks_settle(struct session *s);
/* Those that were to be stopped in this tick, but had fallen asleep. */
void ticks_capture_sleepers(struct session *s);
void ticks_renew_names(struct session *s);
/* `owed`: the last tick that its threads were there for. */
void ticks_end_target(struct session *s, struct target *t, uint64_t owed);

/* status.c: `now` is that of a tick. */
void status_tick(struct session *s, uint64_t now);
void status_cost(const struct session *s, struct profile_cost *ret);
uint64_t status_sampled_ns(const struct session *s);

/* session.c: a living one, or NULL. */
struct target *session_target(struct session *s, pid_t pid);

/* children.c */
void children_find(struct session *s, struct target *t);

void session_warn(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif

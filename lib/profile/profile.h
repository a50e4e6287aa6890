/* SPDX-License-Identifier: MIT */
#ifndef PROFILE_PROFILE_H
#define PROFILE_PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/intern.h"
#include "base/lookup.h"
#include "base/map.h"

/*
 * The counts. One trie of stacks, root first, over interned frames; hits are kept per stack,
 * thread and state. Frames are numbers here: whoever adds them names them afterwards.
 * Bounded: past the limits new stacks fold into their nearest known parent, new threads into one
 * called "[other]", and the profile counts how many samples that touched. Where the tallies
 * outgrow limits.nodes the stack is kept and the hits go to the thread "[other]".
 */

/*
 * 250 MiB when all are full: 32 bytes for each frame, 20 for each line, 8 for each node, 24 for
 * each tally, 16 more each to find it by; and the strings.
 */
enum {
    PROFILE_NODES_MAX = 1 << 20,   /* of the trie; as many tallies */
    PROFILE_FRAMES_MAX = 1 << 20,  /* places in code */
    PROFILE_LINES_MAX = 3 << 20,   /* names of frames */
    PROFILE_THREADS_MAX = 1 << 16, /* told apart: ended ones too */
    PROFILE_STRING_BYTES_MAX = 64 << 20,
    PROFILE_MOMENTS_MAX = 4 << 20, /* 64 MiB, only where the order in time is kept */
};

/* Reserved: no frame. Called "[other]"; a stack is cut before it. Tallies of the root show it. */
enum { PROFILE_NO_FRAME = 0 };

enum profile_state { PROFILE_CPU, PROFILE_WAIT, PROFILE_STATES };

enum frame_kind { KIND_NATIVE, KIND_PYTHON, KIND_JIT, KIND_KERNEL, KIND_UNKNOWN, KIND_N };

/* "native", "python", "jit", "kernel", "unknown" */
const char *frame_kind_name(enum frame_kind kind);

/* One of the functions that a place in code belongs to: with inlined ones there are several.
 * Strings are numbers in profile->strings, 0 where not known. */
struct profile_line {
    uint32_t function;     /* "crunch", "0x3f1a", "[futex]", "unknown" */
    uint32_t linkage_name; /* mangled */
    uint32_t file, line;   /* of the place; where a function was inlined, of its call */
    uint32_t start_line;   /* where the function begins */
};

/* The file that code was loaded from. */
struct profile_module {
    uint32_t path;     /* "/usr/lib/libc.so.6", as the target sees it */
    uint32_t name;     /* "libc.so.6" */
    uint32_t build_id; /* hexadecimal; "" where it has none */
};

/* A place in code, named after the sampling. */
struct profile_frame {
    uint64_t space;   /* the adder's key: which module, or which process's JIT code */
    uint64_t address; /* the adder's key: the address within it */
    enum frame_kind kind;
    uint32_t module;     /* index of a profile_module; 0: none */
    uint32_t first_line; /* in profile->lines: the innermost inlined function first */
    uint32_t n_lines;    /* at least 1 */
    uint32_t wait;       /* what a thread that is innermost here waits for; a string, 0: not known.
                            "epoll_wait", or with the thing "read: /var/lib/x.db" */
};

struct profile_node {
    uint32_t parent; /* index; the root, 0, is its own parent */
    uint32_t frame;  /* index; of the root: 0, meaningless */
};

struct profile_thread {
    pid_t pid, tid; /* 0: not known */
    uint32_t name;  /* last seen */
};

/* Hits of one stack in one thread and state. */
struct profile_tally {
    uint32_t node; /* the leaf */
    uint32_t thread;
    enum profile_state state;
    bool folded; /* the stack was longer; a limit cut it */
    uint64_t hits;
};

/* For as many ticks as it has hits the thread was found in this stack: the order in time. */
struct profile_moment {
    uint64_t tick; /* of the first of them; the run's first is 1 */
    uint32_t tally;
    uint32_t hits;
};

/* Why a sample was lost. */
enum loss {
    LOSS_UNWIND,      /* "unwind": no stack; it is counted under [unwind failed] too */
    LOSS_THREAD_GONE, /* "thread gone": it ended while it was being looked at */
    LOSS_LATE,        /* "late": the tick could not be kept, and the thread had run since */
    LOSS_UNSEEN,      /* "unseen": an idle thread ran between two of its rarer looks */
    LOSS_TRACED,      /* "traced by another": running, and a debugger holds it */
    LOSS_REFUSED,     /* "refused" */
    LOSS_NO_STOP,     /* "did not stop": in the kernel for too long */
    LOSS_UNREADABLE,  /* "unreadable": its state or memory could not be read */
    LOSS_NOT_STOPPED, /* "not stopped": it ran, stops were not allowed; under [not stopped] too */
    LOSS_PERF, /* "lost by perf": it ran, and the kernel had no room for the sample, or took none */
    LOSS_N
};
const char *loss_name(enum loss loss);

/* What the profiling cost. */
struct profile_cost {
    uint64_t stops, stop_ns_sum, stop_ns_max;
    uint64_t calls_disturbed; /* interrupted system calls that were not put back */
    uint64_t calls_repaired;  /* those put back */
    uint64_t target_cpu_ns;   /* the target's own running time while sampled */
    uint64_t profiler_cpu_ns;
    uint64_t profiler_peak_bytes; /* resident */
    uint64_t perf_samples;        /* taken by the kernel, without a stop */
    uint64_t max_overhead_ppm;    /* that was allowed; 0: any. Else: */
    uint64_t looks;               /* there were, each for one tick or several */
    uint64_t perf_refused;        /* 1: it was to take the samples, and would not */
};

/* 0: PROFILE_*_MAX. */
struct profile_limits {
    size_t nodes, frames, threads, string_bytes;
};

struct profile {
    /* owned arrays */
    struct profile_frame *frames;
    struct profile_line *lines;
    struct profile_module *modules;
    struct profile_node *nodes;
    struct profile_thread *threads;
    struct profile_tally *tallies;
    size_t n_lines, lines_cap, n_modules, modules_cap;
    size_t n_frames, frames_cap, n_nodes, nodes_cap, n_threads, threads_cap, n_tallies, tallies_cap;
    struct intern *strings; /* owned */
    struct lookup by_frame, by_node, by_tally;
    struct map by_thread, by_module;
    struct profile_limits limits;
    uint32_t other_thread; /* index of "[other]"; UINT32_MAX until a limit asks for it */

    /* The order in time, where profile_keep_time() has asked for it. */
    struct profile_moment *moments; /* owned; those of a thread in their order */
    uint32_t *last_moment;          /* owned; by thread: its last one + 1; 0: none */
    size_t n_moments, moments_cap, last_moment_cap;
    uint64_t untimed; /* hits that no longer fit */
    bool timed;

    /* what the head of a report tells */
    uint32_t title; /* "pid 4242 (app)", or "pids 4242,4243" */
    uint32_t mode;  /* "wall clock" or "CPU" */
    uint64_t interval_ns;
    uint64_t began_ns;    /* since 1970; 0: not known */
    uint64_t duration_ns; /* sampled; pauses excluded */
    uint64_t ticks, ticks_missed;
    uint64_t threads_seen;
    uint64_t lost[LOSS_N];
    uint64_t truncated;         /* samples whose stack did not reach its thread's first function */
    uint64_t given_up;          /* of those: unwinding took too much */
    uint64_t python_torn;       /* samples whose Python frames could not be followed to their end */
    uint64_t python_mismatches; /* samples whose native and Python frames did not fit together */
    uint64_t folded;            /* samples whose stack a limit cut: SELF fell on a caller */
    uint64_t unattributed;      /* samples that a limit put under the thread "[other]" */
    uint64_t hidden;            /* of a view: samples that its filter left out */
    /* of the adder's limits, since the beginning */
    uint64_t modules_folded;    /* mappings that came under the module "[other]" */
    uint64_t mappings_cut;      /* how often a mapping found its table full */
    uint64_t cfi_cut;           /* modules whose unwind information was not read to its end */
    uint64_t tables_cut;        /* symbol tables that were not read to their end */
    uint64_t lines_cut;         /* places whose debug information took too much to read */
    uint64_t jit_lines_skipped; /* of JITs' maps: malformed, half-written, or past a limit */
    uint64_t names_folded;      /* names that became "[other]", beside those of the strings */
    bool cpu_only;
    struct profile_cost cost;
};

/* limits NULL: the defaults. */
struct profile *profile_new(const struct profile_limits *limits);
void profile_free(struct profile *p);

/*
 * The frame with this key, added nameless (KIND_UNKNOWN, function 0) if new. PROFILE_NO_FRAME past
 * the limit.
 */
uint32_t profile_frame(struct profile *p, uint64_t space, uint64_t address);

/* Index of the module, added if new; never 0. */
uint32_t profile_module(struct profile *p, const char *path, const char *name,
                        const char *build_id);

/* Says what a frame is called, in n > 0 lines that are copied. It may be said again. Past
 * PROFILE_LINES_MAX the frame stays nameless, and counts under names_folded. */
void profile_name(struct profile *p, uint32_t frame, enum frame_kind kind, uint32_t module,
                  const struct profile_line *lines, size_t n);

/* The thread with these numbers, added if new. Renames it if the name has changed. */
uint32_t profile_thread(struct profile *p, pid_t pid, pid_t tid, const char *name);

/* The same for threads whose number is not known: told apart by their names, their tid is 0. */
uint32_t profile_named_thread(struct profile *p, pid_t pid, const char *name);

/* The thread "[other]", for those whose thread is not known. */
uint32_t profile_other_thread(struct profile *p);

/*
 * The tally for a stack given root first. Adds what is missing. The returned index stays valid: a
 * thread that has not moved is credited through it again with profile_hit().
 */
uint32_t profile_stack(struct profile *p, const uint32_t *frames_root_first, size_t n,
                       uint32_t thread, enum profile_state state);

void profile_hit(struct profile *p, uint32_t tally, uint64_t hits);

/* From now on hits are to be told with their ticks, by profile_moment(). */
void profile_keep_time(struct profile *p);

/*
 * Beside profile_hit(): these hits are of the ticks up to last_tick. A thread that stays where it
 * is makes one moment. Past PROFILE_MOMENTS_MAX they count under untimed.
 */
void profile_moment(struct profile *p, uint32_t tally, uint64_t hits, uint64_t last_tick);

/* Sum of hits in a state. */
uint64_t profile_samples(const struct profile *p, enum profile_state state);

/*
 * Drops what was counted: hits, losses, ticks, duration and cost. Keeps frames, nodes, threads (and
 * threads_seen), what the adder's limits did, and the adder's tally numbers.
 */
void profile_reset(struct profile *p);

#endif

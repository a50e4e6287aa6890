/* SPDX-License-Identifier: MIT */
/*
 * Prints a profile that was made up, in a format of oxprof's: the same one in two formats shows
 * whether they say the same.
 *
 * usage: profiles mixed|changed|hostile|STACKS FORMAT [full]
 *        profiles diff|diff-hostile FORMAT
 *
 * diff: from mixed to changed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/report.h"

enum { DEEPEST = 24, SHALLOWEST = 4, MANY_FUNCTIONS = 4000, MANY_THREADS = 24 };

static uint32_t named(struct profile *p, enum frame_kind kind, const char *module,
                      const char *function, const char *file, uint32_t line)
{
    uint32_t frame = profile_frame(p, 99, p->n_frames);
    uint32_t in = *module ? profile_module(p, module, strrchr(module, '/') + 1, "") : 0;
    struct profile_line l = {.function = intern_put(p->strings, function),
                             .file = intern_put(p->strings, file),
                             .line = line,
                             .start_line = line};
    profile_name(p, frame, kind, in, &l, 1);
    return frame;
}

static uint32_t native(struct profile *p, const char *function, const char *file, uint32_t line)
{
    return named(p, KIND_NATIVE, "/usr/bin/app", function, file, line);
}

static void hit(struct profile *p, uint32_t thread, enum profile_state state, uint64_t hits,
                const uint32_t *frames)
{
    size_t n = 0;
    while (frames[n])
        n++;
    profile_hit(p, profile_stack(p, frames, n, thread, state), hits);
}

#define HIT(p, thread, state, hits, ...) \
    hit(p, thread, state, hits, (const uint32_t[]){__VA_ARGS__, 0})

static struct profile *new_profile(const char *title)
{
    struct profile *p = profile_new(NULL);
    p->title = intern_put(p->strings, title);
    p->mode = intern_put(p->strings, "wall clock");
    p->interval_ns = 10000000;
    p->duration_ns = 5020000000;
    p->ticks = 502;
    p->threads_seen = 3;
    p->lost[LOSS_UNWIND] = 3;
    p->given_up = 2;
    p->python_mismatches = 1;
    p->lost[LOSS_THREAD_GONE] = 1;
    p->truncated = 3;
    p->cost = (struct profile_cost){.stops = 412,
                                    .stop_ns_sum = 7004000,
                                    .stop_ns_max = 61234,
                                    .target_cpu_ns = 5000000000,
                                    .profiler_cpu_ns = 45180000,
                                    .profiler_peak_bytes = 14 << 20};
    return p;
}

/* A function in two pieces of a frame: what is inlined first. */
static uint32_t inlined(struct profile *p, const char *inner, const char *outer)
{
    uint32_t frame = profile_frame(p, 98, p->n_frames);
    struct profile_line lines[] = {{.function = intern_put(p->strings, inner)},
                                   {.function = intern_put(p->strings, outer)}};
    profile_name(p, frame, KIND_NATIVE, profile_module(p, "/usr/bin/app", "app", ""), lines, 2);
    return frame;
}

/* All kinds, inlining, recursion, both states, three threads of two processes. */
static struct profile *mixed(void)
{
    struct profile *p = new_profile("pid 4242 (app)");
    uint32_t leader = profile_thread(p, 4242, 4242, "app");
    uint32_t worker = profile_thread(p, 4242, 4243, "worker");
    uint32_t helper = profile_thread(p, 4300, 4300, "helper");
    uint32_t main_ = native(p, "main", "/src/app.c", 7), run = native(p, "run", "/src/app.c", 40);
    uint32_t work = native(p, "work(int, std::vector<int> const&)", "/src/work.cc", 12);
    uint32_t crunch = native(p, "crunch", "/src/work.cc", 90);
    uint32_t fib = native(p, "fib", "/src/work.cc", 130);
    uint32_t sum = inlined(p, "sum", "average");
    uint32_t eval = named(p, KIND_PYTHON, "", "parse", "/srv/app.py", 22);
    uint32_t tokens = named(p, KIND_PYTHON, "", "<listcomp>", "/srv/tokens.py", 5);
    uint32_t jit = named(p, KIND_JIT, "", "LazyCompile:*render", "", 0);
    uint32_t write_ = named(p, KIND_KERNEL, "", "vfs_write", "", 0);
    uint32_t cond = named(p, KIND_NATIVE, "/lib/libc.so.6", "pthread_cond_wait", "", 0);
    uint32_t poll = named(p, KIND_NATIVE, "/lib/libc.so.6", "epoll_wait", "", 0);
    uint32_t lost = named(p, KIND_UNKNOWN, "", "unknown", "", 0);
    HIT(p, leader, PROFILE_CPU, 212, main_, run, work, crunch);
    HIT(p, leader, PROFILE_CPU, 119, main_, run, work);
    HIT(p, leader, PROFILE_CPU, 41, main_, run, fib, fib, fib);
    HIT(p, leader, PROFILE_CPU, 12, main_, run, fib, fib);
    HIT(p, leader, PROFILE_CPU, 9, main_, run, sum);
    HIT(p, worker, PROFILE_CPU, 161, main_, eval, tokens);
    HIT(p, worker, PROFILE_CPU, 77, main_, eval);
    HIT(p, worker, PROFILE_CPU, 66, main_, eval, jit);
    HIT(p, worker, PROFILE_CPU, 30, main_, eval, write_);
    HIT(p, helper, PROFILE_CPU, 18, main_, run, crunch);
    HIT(p, helper, PROFILE_CPU, 3, lost);
    HIT(p, worker, PROFILE_WAIT, 1485, main_, run, cond);
    HIT(p, leader, PROFILE_WAIT, 507, main_, poll);
    HIT(p, helper, PROFILE_WAIT, 20, main_, poll);
    HIT(p, helper, PROFILE_WAIT, 0, main_, tokens, poll);
    return p;
}

/* The program of mixed(), sampled for longer, with one function in place of another. */
static struct profile *changed(void)
{
    struct profile *p = new_profile("pid 5151 (app)");
    uint32_t leader = profile_thread(p, 5151, 5151, "app");
    uint32_t main_ = native(p, "main", "/src/app.c", 7), run = native(p, "run", "/src/app.c", 40);
    uint32_t work = native(p, "work(int, std::vector<int> const&)", "/src/work.cc", 12);
    uint32_t polish = native(p, "polish", "/src/work.cc", 95);
    uint32_t fib = native(p, "fib", "/src/work.cc", 130);
    uint32_t eval = named(p, KIND_PYTHON, "", "parse", "/srv/app.py", 22);
    uint32_t tokens = named(p, KIND_PYTHON, "", "<listcomp>", "/srv/tokens.py", 5);
    uint32_t poll = named(p, KIND_NATIVE, "/lib/libc.so.6", "epoll_wait", "", 0);
    p->interval_ns = 5000000;
    HIT(p, leader, PROFILE_CPU, 390, main_, run, work, polish);
    HIT(p, leader, PROFILE_CPU, 240, main_, run, work);
    HIT(p, leader, PROFILE_CPU, 110, main_, run, fib, fib, fib);
    HIT(p, leader, PROFILE_CPU, 640, main_, eval, tokens);
    HIT(p, leader, PROFILE_CPU, 160, main_, eval);
    HIT(p, leader, PROFILE_WAIT, 900, main_, poll);
    return p;
}

static struct profile *hostile(void)
{
    static const char *const names[] = {
        "</script><img onerror=x>;\"\\ 1",
        "<!--<script>",
        "]]>&lt;&amp;",
        "\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaeright to left",
        "\x01\x1b[31m\x7f\xff\xfe",
        "{{head}}{{scripts}}",
        "__proto__",
        "constructor",
        "",
    };
    struct profile *p = new_profile("pid 1 (</title><script>alert(1)</script>)");
    uint32_t thread = profile_thread(p, 1, 1, "</option><img src=x onerror=alert(2)>");
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        uint32_t outer = named(p, KIND_NATIVE, "/<b>/\"><svg onload=alert(3)>", names[i], "", 0);
        uint32_t inner = named(p, KIND_PYTHON, "", names[i], "/<i>\">.py", 3);
        HIT(p, thread, PROFILE_CPU, 10 + i, outer, inner);
        HIT(p, thread, PROFILE_WAIT, 3 + i, inner, outer);
    }
    return p;
}

/* The same sequence of numbers everywhere. */
static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* Rather few callees for each caller: real programs branch like that. */
static uint32_t callee(uint64_t *state, const uint32_t *frames, uint32_t caller)
{
    uint32_t pick = next_random(state) % 8;
    pick = pick < 5 ? pick % 2 : pick; /* some are called more often */
    return frames[(caller * 31 + pick * 977 + 1) % MANY_FUNCTIONS];
}

static struct profile *many(size_t stacks)
{
    static uint32_t frames[MANY_FUNCTIONS];
    struct profile *p = new_profile("pid 4242 (many)");
    uint64_t state = 1;
    for (uint32_t i = 0; i < MANY_FUNCTIONS; i++) {
        char name[100];
        snprintf(name, sizeof(name), "component%u::Handler<%u>::on_event(Context&, int)", i / 40,
                 i);
        frames[i] = i % 9 == 4 ? named(p, KIND_PYTHON, "", name, "/srv/handlers.py", i)
                               : native(p, name, "/src/handlers.cc", i);
    }
    while (stacks > 0) {
        uint32_t stack[DEEPEST] = {frames[0]}, thread = next_random(&state) % MANY_THREADS;
        uint32_t depth = SHALLOWEST + next_random(&state) % (DEEPEST - SHALLOWEST);
        for (uint32_t d = 1; d < depth; d++)
            stack[d] = callee(&state, frames, stack[d - 1]);
        size_t known = p->n_tallies;
        uint32_t in = profile_thread(p, 4242, (pid_t)(4242 + thread), "handler");
        uint32_t tally = profile_stack(p, stack, depth, in, next_random(&state) % 4 == 0);
        profile_hit(p, tally, 1 + next_random(&state) % 20);
        stacks -= p->n_tallies > known;
    }
    return p;
}

static int print_diff(bool with_hostile, const char *format)
{
    struct report_options opt = {.version = "0.1.0"};
    report_diff_writer *writer = report_find_diff(format);
    struct profile *before = mixed(), *after = with_hostile ? hostile() : changed();
    int rc = writer ? writer(before, after, &opt, stdout) : -1;
    profile_free(before);
    profile_free(after);
    return rc < 0;
}

int main(int argc, char **argv)
{
    if (argc > 2 && !strncmp(argv[1], "diff", 4))
        return print_diff(strcmp(argv[1], "diff") != 0, argv[2]);
    report_writer *writer = argc > 2 ? report_find(argv[2]) : NULL;
    if (!writer)
        return 2;
    struct profile *p = !strcmp(argv[1], "mixed")     ? mixed()
                        : !strcmp(argv[1], "changed") ? changed()
                        : !strcmp(argv[1], "hostile") ? hostile()
                                                      : many(strtoul(argv[1], NULL, 10));
    struct report_options opt = {.version = "0.1.0", .full_paths = argc > 3};
    int rc = writer(p, &opt, stdout);
    profile_free(p);
    return rc < 0;
}

/* SPDX-License-Identifier: MIT */
#ifndef UNIT_REPORT_PROFILE_H
#define UNIT_REPORT_PROFILE_H

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/report.h"

#define NOTHING_COST                                                          \
    "# cost: 0 stops, 0 us mean, 0 us max, 0% of the target's running time; " \
    "0 system calls disturbed; oxprof 0% of a CPU, 0 MiB\n"
#define COLUMNS "#  SELF   SELF%   TOTAL  TOTAL%  KIND    FUNCTION\n"

static const struct report_options plain = {.version = "0.1.0"};

static inline uint32_t frame(struct profile *p, const char *function, const char *module)
{
    uint32_t f = profile_frame(p, 99, p->n_frames);
    uint32_t in = *module ? profile_module(p, module, module, "") : 0;
    struct profile_line line = {.function = intern_put(p->strings, function)};
    profile_name(p, f, KIND_NATIVE, in, &line, 1);
    return f;
}

static inline void source(struct profile *p, uint32_t frame, const char *file, uint32_t start_line)
{
    struct profile_line *l = &p->lines[p->frames[frame].first_line];
    l->file = intern_put(p->strings, file);
    l->start_line = start_line;
}

static inline uint32_t python(struct profile *p, const char *function, const char *file,
                              uint32_t line)
{
    uint32_t f = frame(p, function, "");
    p->frames[f].kind = KIND_PYTHON;
    source(p, f, file, line);
    return f;
}

static inline void hit_thread(struct profile *p, enum profile_state state, uint64_t hits,
                              uint32_t thread, const uint32_t *frames)
{
    size_t n = 0;
    while (frames[n])
        n++;
    profile_hit(p, profile_stack(p, frames, n, thread, state), hits);
}

/* In the thread 4242 of the process 4242; frames root first. */
#define HIT(p, state, hits, ...)                                     \
    hit_thread(p, state, hits, profile_thread(p, 4242, 4242, "app"), \
               (const uint32_t[]){__VA_ARGS__, 0})

static inline struct profile *new_profile(void)
{
    struct profile *p = profile_new(NULL);
    p->title = intern_put(p->strings, "pid 4242 (app)");
    p->mode = intern_put(p->strings, "wall clock");
    p->interval_ns = 10000000;
    p->duration_ns = 5020000000;
    p->threads_seen = 5;
    return p;
}

static inline char *written(report_writer *writer, const struct profile *p,
                            const struct report_options *opt)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    cr_assert_eq(writer(p, opt, out), 0);
    fclose(out);
    return text;
}

static inline void expect(report_writer *writer, const struct profile *p,
                          const struct report_options *opt, const char *wanted)
{
    char *text = written(writer, p, opt);
    cr_assert(!strcmp(text, wanted), "got:\n%s\nwanted:\n%s", text, wanted);
    free(text);
}

/* What follows the three lines of the head. */
static inline void expect_body(const struct profile *p, const struct report_options *opt,
                               const char *wanted)
{
    char *text = written(report_text, p, opt), *body = text;
    for (int i = 0; i < 3; i++)
        body = strchr(body, '\n') + 1;
    cr_assert(!strcmp(body, wanted), "got:\n%s\nwanted:\n%s", body, wanted);
    free(text);
}

static inline uint64_t sum_of_self(const char *text)
{
    uint64_t sum = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1)
        if (*line != '#')
            sum += strtoull(line, NULL, 10);
    return sum;
}

static inline struct profile *threaded_profile(void)
{
    struct profile *p = new_profile();
    uint32_t f = frame(p, "f", "app"), g = frame(p, "g", "app");
    uint32_t idle = profile_thread(p, 4242, 4242, "app");
    uint32_t busy = profile_thread(p, 4242, 4243, "work\ner");
    profile_thread(p, 4242, 4244, "unseen");
    hit_thread(p, PROFILE_WAIT, 9, idle, (uint32_t[]){f, 0});
    hit_thread(p, PROFILE_CPU, 3, busy, (uint32_t[]){f, g, 0});
    hit_thread(p, PROFILE_WAIT, 1, busy, (uint32_t[]){f, 0});
    return p;
}

static inline struct profile *documented_profile(void)
{
    struct profile *p = new_profile();
    uint32_t main_ = frame(p, "main", "app"), crunch = frame(p, "crunch", "app");
    uint32_t work = frame(p, "work(int, std::vector<int> const&)", "app");
    uint32_t parse = python(p, "parse", "/srv/app.py", 22);
    HIT(p, PROFILE_CPU, 212, main_, work, crunch);
    HIT(p, PROFILE_CPU, 119, main_, work);
    HIT(p, PROFILE_CPU, 161, main_, parse);
    HIT(p, PROFILE_WAIT, 1485, frame(p, "pthread_cond_wait", "libc.so.6"));
    HIT(p, PROFILE_WAIT, 507, main_, frame(p, "epoll_wait", "libc.so.6"));
    p->lost[LOSS_UNWIND] = 3;
    p->lost[LOSS_THREAD_GONE] = 1;
    p->truncated = 3;
    p->python_torn = p->python_mismatches = 2;
    p->cost = (struct profile_cost){.stops = 412,
                                    .stop_ns_sum = 7004000,
                                    .stop_ns_max = 61234,
                                    .target_cpu_ns = 5000000000,
                                    .profiler_cpu_ns = 45180000,
                                    .profiler_peak_bytes = 14 << 20};
    return p;
}

#endif

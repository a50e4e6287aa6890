/* SPDX-License-Identifier: MIT */
#ifndef UNIT_MADE_PROFILE_H
#define UNIT_MADE_PROFILE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "report/report.h"

/* A profile made by hand, which has one of everything that a format can get wrong. */
#define HOSTILE "</script><img onerror=x>;\"\\ 1"

static const struct report_options plain = {.version = "0.1.0"};

static uint32_t made_frame(struct profile *p, uint64_t address, enum frame_kind kind,
                           const char *module, const struct profile_line *lines, size_t n)
{
    uint32_t f = profile_frame(p, 99 + p->n_frames, address);
    OX_FREE char *path = mem_printf("/srv/%s", module);
    uint32_t in = *module ? profile_module(p, path, module, "ab12cd34") : 0;
    profile_name(p, f, kind, in, lines, n);
    return f;
}

static struct profile_line made_line(struct profile *p, const char *function, const char *file,
                                     uint32_t line, uint32_t start_line)
{
    return (struct profile_line){.function = intern_put(p->strings, function),
                                 .file = intern_put(p->strings, file),
                                 .line = line,
                                 .start_line = start_line};
}

static void made_hit(struct profile *p, uint32_t thread, enum profile_state state, uint64_t hits,
                     uint64_t tick, const uint32_t *frames, size_t n)
{
    uint32_t tally = profile_stack(p, frames, n, thread, state);
    profile_hit(p, tally, hits);
    if (p->timed)
        profile_moment(p, tally, hits, tick + hits - 1);
}

#define MADE_HIT(p, thread, state, hits, tick, ...)                         \
    made_hit(p, thread, state, hits, tick, (const uint32_t[]){__VA_ARGS__}, \
             sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

/* main and its hostile function; g, which has step inlined, in recursion; Python; a worker that
 * waits in a module of another name. 10 ms; 20 samples: 11 on CPU, 9 waiting. */
static struct profile *made_profile(bool timed)
{
    struct profile *p = profile_new(NULL);
    p->title = intern_put(p->strings, "pid 7 (app)");
    p->mode = intern_put(p->strings, "wall clock");
    p->interval_ns = 10000000;
    p->began_ns = UINT64_C(1700000000000000000);
    p->duration_ns = 150000000;
    p->ticks = 15;
    p->ticks_missed = 1;
    p->threads_seen = 2;
    p->truncated = 2;
    p->lost[LOSS_THREAD_GONE] = 4;
    p->cost = (struct profile_cost){.stops = 9, .stop_ns_sum = 90, .stop_ns_max = 20};
    if (timed)
        profile_keep_time(p);
    struct profile_line main_ = made_line(p, "main", "/s/app.c", 12, 10);
    struct profile_line hostile = made_line(p, HOSTILE, "", 0, 0);
    struct profile_line g[] = {made_line(p, "step<int>", "/s/step.h", 3, 2),
                               made_line(p, "g", "/s/app.c", 33, 30)};
    struct profile_line parse = made_line(p, "parse", "/srv/app.py", 25, 22);
    struct profile_line wait = made_line(p, "[futex]", "", 0, 0);
    g[1].linkage_name = intern_put(p->strings, "_Z1gv");
    uint32_t f_main = made_frame(p, 0x1000, KIND_NATIVE, "app", &main_, 1);
    uint32_t f_hostile = made_frame(p, 0x2000, KIND_NATIVE, "app", &hostile, 1);
    uint32_t f_g = made_frame(p, 0x3000, KIND_NATIVE, "app", g, 2);
    uint32_t f_parse = made_frame(p, 25, KIND_PYTHON, "", &parse, 1);
    uint32_t f_wait = made_frame(p, 0x9000, KIND_NATIVE, "libc.so.6", &wait, 1);
    uint32_t app = profile_thread(p, 7, 7, "app"), worker = profile_thread(p, 7, 8, "w <1> 2");
    MADE_HIT(p, app, PROFILE_CPU, 5, 1, f_main, f_hostile);
    MADE_HIT(p, app, PROFILE_CPU, 3, 6, f_main, f_g, f_g);
    MADE_HIT(p, app, PROFILE_CPU, 2, 10, f_main, f_parse);
    MADE_HIT(p, app, PROFILE_CPU, 1, 12, f_main, f_hostile);
    MADE_HIT(p, worker, PROFILE_WAIT, 9, 1, f_wait);
    return p;
}

/* What a writer writes; to be freed. */
static char *made_text(report_writer *writer, const struct profile *p,
                       const struct report_options *opt, size_t *ret_bytes)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    cr_assert_eq(writer(p, opt, out), 0);
    fclose(out);
    if (ret_bytes)
        *ret_bytes = bytes;
    return text;
}

#endif

/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "live/api.h"
#include "live/mirror.h"

/* Deltas made by hand: those of a sampler that has a frame, node and tally for each stack. */
struct sampler {
    struct profile *p; /* owned */
    size_t strings, frames, nodes, tallies, threads;
    uint64_t now_ns;
};

static void *copy(const void *items, size_t n, size_t bytes)
{
    void *made = mem_alloc(n * bytes + 1);
    memcpy(made, items, n * bytes);
    return made;
}

static void put_text(struct delta *d, struct sampler *s)
{
    size_t n = intern_count(s->p->strings), at = 0, cap = 0;
    for (size_t i = s->strings; i < n; i++) {
        const char *text = intern_get(s->p->strings, (uint32_t)i);
        d->text = mem_grow(d->text, &cap, at + strlen(text) + 1, 1);
        memcpy(d->text + at, text, strlen(text) + 1);
        at += strlen(text) + 1;
    }
    if (!d->text)
        d->text = mem_alloc(1);
    d->n_strings = n - s->strings;
    s->strings = n;
}

static struct delta *next_delta(struct sampler *s)
{
    struct profile *p = s->p;
    struct delta *d = mem_alloc(sizeof(*d));
    s->now_ns += OX_NS_PER_S / 4;
    *d = (struct delta){.taken_ns = s->now_ns};
    d->status.interval_ns = 10000000;
    d->n_frames = p->n_frames - s->frames;
    d->frames = copy(p->frames + s->frames, d->n_frames, sizeof(*p->frames));
    d->names = mem_alloc(d->n_frames * sizeof(*d->names) + 1);
    d->lines = mem_alloc(d->n_frames * sizeof(*d->lines) + 1);
    for (size_t i = 0; i < d->n_frames; i++) {
        const struct profile_frame *f = &p->frames[s->frames + i];
        d->lines[i] = p->lines[f->first_line];
        d->names[i] = (struct delta_name){.frame = (uint32_t)(s->frames + i),
                                          .kind = f->kind,
                                          .first_line = (uint32_t)i,
                                          .n_lines = 1};
        d->frames[i].first_line = 0;
    }
    d->n_names = d->n_lines = d->n_frames;
    d->n_nodes = p->n_nodes - s->nodes;
    d->nodes = copy(p->nodes + s->nodes, d->n_nodes, sizeof(*p->nodes));
    d->n_tallies = p->n_tallies - s->tallies;
    d->tallies = copy(p->tallies + s->tallies, d->n_tallies, sizeof(*p->tallies));
    d->n_threads = p->n_threads;
    d->threads = copy(p->threads, p->n_threads, sizeof(*p->threads));
    if (!s->frames) {
        d->modules = copy(p->modules, p->n_modules, sizeof(*p->modules));
        d->n_modules = p->n_modules;
    }
    s->frames = p->n_frames;
    s->nodes = p->n_nodes;
    s->tallies = p->n_tallies;
    put_text(d, s);
    return d;
}

static void add_hits(struct delta *d, const uint32_t *tallies, size_t n, uint64_t hits)
{
    d->hits = mem_alloc(n * sizeof(*d->hits) + 1);
    d->n_hits = n;
    for (size_t i = 0; i < n; i++)
        d->hits[i] = (struct delta_hits){.tally = tallies[i], .hits = hits};
}

static uint32_t function_frame(struct sampler *s, const char *name)
{
    uint32_t id = intern_put(s->p->strings, name);
    uint32_t frame = profile_frame(s->p, 1, id);
    profile_name(s->p, frame, KIND_NATIVE, 0, &(struct profile_line){.function = id}, 1);
    return frame;
}

static char *functions_json(const struct mirror *m, const struct api_query *q)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    api_functions(m, q, out);
    fclose(out);
    return text;
}

static const struct api_query everything = {.max_records = 100, .thread = UINT32_MAX};

Test(live, mirror_counts_as_the_sampler_does)
{
    struct sampler s = {.p = profile_new(NULL)};
    struct mirror *m = mirror_new();
    uint32_t thread = profile_thread(s.p, 7, 8, "worker");
    uint32_t stack[] = {function_frame(&s, "main"), function_frame(&s, "</script>\x1b")};
    uint32_t tally = profile_stack(s.p, stack, 2, thread, PROFILE_CPU);
    for (int i = 0; i < 3; i++) {
        struct delta *d = next_delta(&s);
        add_hits(d, &tally, 1, 2);
        mirror_apply(m, d);
    }
    char *text = functions_json(m, &everything);
    cr_assert(strstr(text, "\"cpu\":{\"samples\":6,\"functions\":[[6,6,\"native\","
                           "\"\\u003c/script\\u003e\\\\x1b\",\"\"],"
                           "[0,6,\"native\",\"main\",\"\"]],\"matched\":2,\"of\":2}"),
              "%s", text);
    free(text);
    struct delta *d = next_delta(&s);
    d->reset = true;
    add_hits(d, &tally, 1, 1);
    mirror_apply(m, d);
    text = functions_json(m, &everything);
    cr_assert(strstr(text, "\"cpu\":{\"samples\":1,"), "%s", text);
    free(text);
    cr_assert_eq(m->by_process[thread * PROFILE_STATES + PROFILE_CPU], 7, "never falls");
    mirror_free(m);
    profile_free(s.p);
}

Test(live, a_command_that_nobody_hears)
{
    struct feed *f = feed_new();
    struct error err;
    cr_assert_eq(feed_ask(f, COMMAND_PAUSE, 0, &err), 0);
    cr_assert_eq(feed_answer(f, clock_now_ns() + 1000000, &err), -EINPROGRESS);
    cr_assert_eq(feed_ask(f, COMMAND_RESUME, 0, &err), -EBUSY, "the first is still to be done");
    cr_assert_null(feed_take(f));
    feed_free(f);
}

Test(live, a_part_of_the_time_and_what_came_since)
{
    struct sampler s = {.p = profile_new(NULL), .now_ns = 100 * OX_NS_PER_S - OX_NS_PER_S / 4};
    struct mirror *m = mirror_new();
    uint32_t frame = function_frame(&s, "f");
    uint32_t tally = profile_stack(s.p, &frame, 1, profile_thread(s.p, 1, 1, "t"), PROFILE_CPU);
    struct mirror_mark mark = {0};
    struct profile view;
    for (int i = 0; i < 40; i++) { /* 100 s to 109 s, four times one hit */
        struct delta *d = next_delta(&s);
        add_hits(d, &tally, 1, 1);
        mirror_apply(m, d);
        if (i == 9)
            mirror_mark(m, &mark);
    }
    mirror_between(m, 103, 104, &view);
    cr_assert_eq(view.tallies[tally].hits, 8);
    mirror_view_release(&view);
    mirror_since(m, &mark, &view);
    cr_assert_eq(view.tallies[tally].hits, 30);
    mirror_view_release(&view);
    mirror_mark_release(&mark);
    mirror_free(m);
    profile_free(s.p);
}

/* 24 hours at 100 Hz of 20 threads, replayed; hits fall on ever the same 1,000 stacks. */
Test(live, memory_is_flat, .timeout = 120)
{
    struct sampler s = {.p = profile_new(NULL)};
    struct mirror *m = mirror_new();
    uint32_t tallies[1000];
    size_t after_an_hour = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "f%u", i);
        uint32_t frame = function_frame(&s, name);
        tallies[i] = profile_stack(s.p, &frame, 1, profile_thread(s.p, 1, 1 + (pid_t)(i % 20), "t"),
                                   PROFILE_CPU);
    }
    for (int quarter = 0; quarter < 24 * 3600 * 4; quarter++) {
        struct delta *d = next_delta(&s);
        add_hits(d, tallies + quarter % 500, 500, 1);
        mirror_apply(m, d);
        cr_assert_leq(m->history_hits, HISTORY_HITS_MAX + 8192);
        if (quarter == 3600 * 4)
            after_an_hour = mallinfo2().uordblks;
    }
    size_t now = mallinfo2().uordblks;
    cr_assert_lt(now, after_an_hour + (1 << 20), "%zu after an hour, %zu after 24", after_an_hour,
                 now);
    mirror_free(m);
    profile_free(s.p);
}

static size_t answer_bytes(void (*write)(const struct mirror *m, FILE *out), const struct mirror *m)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    write(m, out);
    fclose(out);
    free(text);
    return bytes;
}

static void write_status(const struct mirror *m, FILE *out)
{
    api_status(m, true, "", out);
}

static void write_functions(const struct mirror *m, FILE *out)
{
    api_functions(m, &everything, out);
}

static void write_timeline(const struct mirror *m, FILE *out)
{
    uint64_t now_s = m->updated_ns / OX_NS_PER_S;
    struct api_query q = everything;
    q.first_s = now_s > 60 ? now_s - 60 : 0;
    q.last_s = now_s;
    api_timeline(m, &q, out);
}

/* What the page asks for once a second. */
static void refresh(const struct mirror *m)
{
    void (*const parts[])(const struct mirror *m, FILE *out) = {
        write_status, write_functions, api_threads, write_timeline, api_calls};
    uint64_t before = clock_own_cpu_ns(), all = before;
    printf("# %zu stacks, %zu nodes, ms of CPU:", m->p->n_tallies, m->p->n_nodes);
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        cr_assert_gt(answer_bytes(parts[i], m), 10);
        uint64_t now = clock_own_cpu_ns();
        printf(" %.1f", (double)(now - before) / 1e6);
        before = now;
    }
    printf(", in all %.1f\n", (double)(before - all) / 1e6);
}

/* Says how long it takes; the counts are what is tested. */
Test(live, functions_of_100000_stacks, .timeout = 60)
{
    enum { STACKS = 100000, DEPTH = 20 };
    struct sampler s = {.p = profile_new(NULL)};
    struct mirror *m = mirror_new();
    uint32_t *tallies = mem_alloc(STACKS * sizeof(*tallies));
    uint64_t random = 1;
    for (uint32_t i = 0; i < STACKS; i++) {
        uint32_t stack[DEPTH];
        for (int k = 0; k < DEPTH; k++) {
            char name[32];
            snprintf(name, sizeof(name), "f%u",
                     k < 10 ? (unsigned)k : (unsigned)(clock_random_next(&random) % 3000));
            stack[k] = function_frame(&s, name);
        }
        tallies[i] = profile_stack(s.p, stack, DEPTH, profile_thread(s.p, 1, 1, "t"), PROFILE_CPU);
    }
    struct delta *d = next_delta(&s);
    add_hits(d, tallies, STACKS, 1);
    mirror_apply(m, d);
    cr_assert_eq(m->p->n_tallies, STACKS);
    for (int i = 0; i < 3; i++) {
        refresh(m);
        char *text = functions_json(m, &everything);
        cr_assert(strstr(text, "\"cpu\":{\"samples\":100000,"));
        free(text);
    }
    free(tallies);
    mirror_free(m);
    profile_free(s.p);
}

/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "live/api.h"
#include "live/calls.h"
#include "live/mirror.h"

/* Hits told by hand: the linker puts these in the place of a session's (--wrap). */
enum { STRETCHES_MAX = 1 << 20, FUNCTIONS_MAX = 1 << 14, OPEN_MAX = 64 }; /* as in calls.c */

struct session {
    struct profile *p;
    uint64_t tick;
    void (*hit)(void *arg, uint32_t tally, uint64_t hits);
    void *arg;
};

const struct profile *__wrap_session_counts(const struct session *s);
uint64_t __wrap_session_ticks(const struct session *s);
bool __wrap_session_paused(const struct session *s);
void __wrap_session_follow(struct session *s, void (*hit)(void *, uint32_t, uint64_t), void *arg);

const struct profile *__wrap_session_counts(const struct session *s)
{
    return s->p;
}

uint64_t __wrap_session_ticks(const struct session *s)
{
    return s->tick;
}

bool __wrap_session_paused(const struct session *s)
{
    (void)s;
    return false;
}

void __wrap_session_follow(struct session *s, void (*hit)(void *, uint32_t, uint64_t), void *arg)
{
    s->hit = hit;
    s->arg = arg;
}

/* --- what is followed */

struct followed {
    struct session s;
    struct calls *c;
    regex_t re;
    uint32_t thread;
};

static void follow(struct followed *f)
{
    *f = (struct followed){.s.p = profile_new(NULL)};
    f->s.p->interval_ns = 10 * 1000 * 1000;
    f->thread = profile_thread(f->s.p, 1, 1, "t");
    cr_assert_eq(regcomp(&f->re, "^f", REG_EXTENDED | REG_NOSUB), 0);
    f->c = calls_new(&f->re);
    calls_attach(f->c, &f->s);
}

static void follow_no_more(struct followed *f)
{
    calls_free(f->c);
    regfree(&f->re);
    profile_free(f->s.p);
}

static uint32_t frame_of(struct followed *f, unsigned i)
{
    char name[32];
    snprintf(name, sizeof(name), "f%u", i);
    uint32_t function = intern_put(f->s.p->strings, name);
    uint32_t frame = profile_frame(f->s.p, 1, i + 1);
    profile_name(f->s.p, frame, KIND_NATIVE, 0, &(struct profile_line){.function = function}, 1);
    return frame;
}

static uint32_t stack_of(struct followed *f, unsigned first, unsigned n)
{
    uint32_t frames[200];
    for (unsigned i = 0; i < n; i++)
        frames[i] = frame_of(f, first + i);
    return profile_stack(f->s.p, frames, n, f->thread, PROFILE_CPU);
}

static void hit(struct followed *f, uint32_t tally)
{
    f->s.tick++;
    f->s.hit(f->s.arg, tally, 1);
}

static struct calls_dropped dropped_of(struct followed *f, uint64_t *ret_calls)
{
    struct calls_dropped dropped;
    size_t n;
    struct call_row *rows = calls_table(f->c, &n, &dropped);
    *ret_calls = 0;
    for (size_t i = 0; i < n; i++)
        *ret_calls += rows[i].calls + rows[i].running;
    free(rows);
    return dropped;
}

#define assert_dropped(f, n_calls, n_stretches, n_functions, n_nested)                      \
    do {                                                                                    \
        uint64_t calls_;                                                                    \
        struct calls_dropped d_ = dropped_of(f, &calls_);                                   \
        cr_assert_eq(calls_, (uint64_t)(n_calls), "calls: %zu", (size_t)calls_);            \
        cr_assert_eq(d_.stretches, (uint64_t)(n_stretches), "%zu", (size_t)d_.stretches);   \
        cr_assert_eq(d_.functions, (uint64_t)(n_functions), "%zu", (size_t)d_.functions);   \
        cr_assert_eq(d_.nested, (uint64_t)(n_nested), "%zu", (size_t)d_.nested);            \
        cr_assert_eq(calls_dropped_any(&d_), (n_stretches) || (n_functions) || (n_nested)); \
    } while (0)

/* --- tests */

Test(live_calls, nothing_dropped)
{
    struct followed f;
    follow(&f);
    uint32_t one = stack_of(&f, 0, OPEN_MAX), other = stack_of(&f, OPEN_MAX, 1);
    hit(&f, one);
    hit(&f, other);
    calls_digest_all(f.c);
    assert_dropped(&f, OPEN_MAX + 1, 0, 0, 0);
    follow_no_more(&f);
}

/* One stretch, however long, counts once; the outermost are kept. */
Test(live_calls, too_many_in_one_another)
{
    struct followed f;
    follow(&f);
    uint32_t deep = stack_of(&f, 0, OPEN_MAX + 10), other = stack_of(&f, 1000, 1);
    for (int i = 0; i < 2; i++) {
        hit(&f, deep);
        hit(&f, deep);
        calls_digest_all(f.c);
        hit(&f, deep);
        hit(&f, other);
    }
    calls_digest_all(f.c);
    assert_dropped(&f, 2 * OPEN_MAX + 2, 0, 0, 2);
    calls_reset(f.c);
    assert_dropped(&f, 0, 0, 0, 0);
    follow_no_more(&f);
}

Test(live_calls, too_many_functions)
{
    struct followed f;
    follow(&f);
    for (unsigned i = 0; i < FUNCTIONS_MAX + 5; i++)
        hit(&f, stack_of(&f, i, 1));
    calls_digest_all(f.c);
    assert_dropped(&f, FUNCTIONS_MAX, 0, 5, 0);
    follow_no_more(&f);
}

/* What was worked off leaves room; what was not is counted where it is given up. */
Test(live_calls, too_fast)
{
    struct followed f;
    follow(&f);
    uint32_t stacks[] = {stack_of(&f, 0, 1), stack_of(&f, 1, 1)};
    for (unsigned i = 0; i < 1001; i++)
        hit(&f, stacks[i % 2]);
    calls_digest(f.c, f.s.p->n_frames);
    assert_dropped(&f, 1001, 0, 0, 0);
    for (unsigned i = 1; i <= STRETCHES_MAX + 7; i++) /* the first ends the one that is open */
        hit(&f, stacks[i % 2]);
    assert_dropped(&f, 1001, 7, 0, 0);
    calls_interrupted(f.c);
    assert_dropped(&f, 1001, STRETCHES_MAX + 7, 0, 0);
    follow_no_more(&f);
}

/* --- what is said of it */

static const struct calls_dropped some = {.stretches = 3, .functions = 4, .nested = 5};

Test(live_calls, csv_says_what_was_dropped)
{
    char *text = NULL;
    size_t bytes;
    struct profile *p = profile_new(NULL);
    struct call_row row = {.calls = 1, .function = intern_put(p->strings, "f")};
    struct call_row whole = {
        .calls = 3, .whole = 2, .sum_ns = 4e9, .longest_ns = 3e9, .function = row.function};
    FILE *out = open_memstream(&text, &bytes);
    calls_csv(p, &row, 1, &some, out);
    calls_csv(p, &whole, 1, &(struct calls_dropped){0}, out);
    fclose(out);
    cr_assert_str_eq(
        text, "calls,mean_s,longest_s,running,function,module\r\n"
              "1,,,0,\"f\",\"\"\r\n"
              ",,,,\"[not counted: 3 stretches came too fast]\",\"\"\r\n"
              ",,,,\"[not counted: 4 stretches with functions past the most]\",\"\"\r\n"
              ",,,,\"[not counted: 5 stretches with calls too deep in one another]\",\"\"\r\n"
              "calls,mean_s,longest_s,running,function,module\r\n"
              "3,2.000000,3.000000,0,\"f\",\"\"\r\n");
    free(text);
    profile_free(p);
}

Test(live_calls, json_says_what_was_dropped)
{
    char *text = NULL;
    size_t bytes;
    struct mirror *m = mirror_new();
    FILE *out = open_memstream(&text, &bytes);
    m->calls_dropped = some;
    api_calls(m, out);
    fclose(out);
    cr_assert_str_eq(text, "{\"schema\":\"oxprof.calls/1\",\"followed\":false,\"calls\":[],"
                           "\"dropped\":{\"stretches\":3,\"functions\":4,\"nested\":5}}\n");
    free(text);
    mirror_free(m);
}

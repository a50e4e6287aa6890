/* SPDX-License-Identifier: MIT */
#include "live/mirror.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

struct mirror *mirror_new(void)
{
    struct mirror *m = mem_alloc(sizeof(*m));
    m->p = profile_new(NULL);
    return m;
}

void mirror_free(struct mirror *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < HISTORY_SECONDS; i++)
        free(m->history[i].hits);
    free(m->by_process);
    free(m->calls);
    profile_free(m->p);
    free(m);
}

/* --- what grows: the numbers must come out as they are in the sampler's profile */

static void append(void *items, size_t *n, size_t *cap, const void *more, size_t n_more,
                   size_t item_bytes)
{
    char **array = items;
    *array = mem_grow(*array, cap, *n + n_more + 1, item_bytes);
    if (n_more)
        memcpy(*array + *n * item_bytes, more, n_more * item_bytes);
    *n += n_more;
}

static void apply_strings(struct mirror *m, const struct delta *d)
{
    const char *text = d->text;
    for (size_t i = 0; i < d->n_strings; i++, text += strlen(text) + 1)
        if (intern_put(m->p->strings, text) != m->n_strings++)
            die("the live copy's strings are out of step");
}

static void apply_frames(struct mirror *m, const struct delta *d)
{
    struct profile *p = m->p;
    size_t own = m->updates ? 0 : p->n_frames; /* its reserved frame is the sampler's as well */
    append(&p->frames, &p->n_frames, &p->frames_cap, d->frames + own, d->n_frames - own,
           sizeof(*p->frames));
    for (size_t i = 0; i < d->n_names; i++)
        profile_name(p, d->names[i].frame, d->names[i].kind, d->names[i].module,
                     d->lines + d->names[i].first_line, d->names[i].n_lines);
}

static void apply_stacks(struct mirror *m, const struct delta *d)
{
    struct profile *p = m->p;
    size_t nodes = m->updates ? 0 : p->n_nodes, modules = m->updates ? 0 : p->n_modules;
    append(&p->nodes, &p->n_nodes, &p->nodes_cap, d->nodes + nodes, d->n_nodes - nodes,
           sizeof(*p->nodes));
    append(&p->modules, &p->n_modules, &p->modules_cap, d->modules + modules,
           d->n_modules - modules, sizeof(*p->modules));
    append(&p->tallies, &p->n_tallies, &p->tallies_cap, d->tallies, d->n_tallies,
           sizeof(*p->tallies));
    if (!d->n_threads)
        return;
    p->n_threads = 0;
    append(&p->threads, &p->n_threads, &p->threads_cap, d->threads, d->n_threads,
           sizeof(*p->threads));
}

/* --- hits */

static void forget_second(struct mirror *m, struct history_second *s)
{
    m->history_hits -= s->cap;
    free(s->hits);
    *s = (struct history_second){0};
}

static struct history_second *present_second(struct mirror *m, uint64_t second)
{
    struct history_second *s = &m->history[second % HISTORY_SECONDS];
    if (s->second != second) {
        forget_second(m, s);
        s->second = second;
    }
    if (!m->oldest_second || m->oldest_second + HISTORY_SECONDS <= second)
        m->oldest_second = m->oldest_second ? second - HISTORY_SECONDS + 1 : second;
    return s;
}

static void drop_oldest(struct mirror *m, uint64_t present)
{
    while (m->history_hits > HISTORY_HITS_MAX && m->oldest_second < present) {
        struct history_second *s = &m->history[m->oldest_second % HISTORY_SECONDS];
        if (s->second == m->oldest_second)
            forget_second(m, s);
        m->oldest_second++;
    }
}

static void keep_history(struct mirror *m, const struct delta *d)
{
    uint64_t second = d->taken_ns / OX_NS_PER_S;
    struct history_second *s = present_second(m, second);
    size_t before = s->cap;
    append(&s->hits, &s->n, &s->cap, d->hits, d->n_hits, sizeof(*s->hits));
    m->history_hits += s->cap - before;
    drop_oldest(m, second);
}

static void forget_counts(struct mirror *m)
{
    for (size_t i = 0; i < m->p->n_tallies; i++)
        m->p->tallies[i].hits = 0;
    for (size_t i = 0; i < HISTORY_SECONDS; i++)
        forget_second(m, &m->history[i]);
    m->oldest_second = 0;
    m->resets++;
}

static void apply_hits(struct mirror *m, const struct delta *d)
{
    size_t cap = m->by_process_cap;
    if (d->reset)
        forget_counts(m);
    m->by_process = mem_grow(m->by_process, &m->by_process_cap,
                             (m->p->n_threads + 1) * PROFILE_STATES, sizeof(*m->by_process));
    memset(m->by_process + cap, 0, (m->by_process_cap - cap) * sizeof(*m->by_process));
    for (size_t i = 0; i < d->n_hits; i++) {
        struct profile_tally *t = &m->p->tallies[d->hits[i].tally];
        t->hits += d->hits[i].hits;
        m->by_process[t->thread * PROFILE_STATES + t->state] += d->hits[i].hits;
    }
    keep_history(m, d);
}

static void fill_head(struct mirror *m, const struct delta *d)
{
    struct profile *p = m->p;
    const struct session_status *s = &d->status;
    p->title = d->title;
    p->mode = d->mode;
    p->interval_ns = s->interval_ns;
    p->duration_ns = s->sampled_ns;
    p->ticks = s->ticks;
    p->ticks_missed = s->ticks_missed;
    p->threads_seen = p->n_threads;
    p->truncated = s->truncated;
    p->folded = d->folded;
    p->unattributed = d->unattributed;
    p->names_folded = d->names_folded;
    p->cost = s->cost;
    memcpy(p->lost, s->lost, sizeof(p->lost));
}

void mirror_apply(struct mirror *m, struct delta *d)
{
    apply_strings(m, d);
    apply_frames(m, d);
    apply_stacks(m, d);
    apply_hits(m, d);
    fill_head(m, d);
    m->status = d->status;
    m->updated_ns = d->taken_ns;
    m->updates++;
    free(m->calls);
    m->calls = d->calls;
    d->calls = NULL;
    m->n_calls = d->n_calls;
    m->has_calls = d->has_calls;
    m->calls_dropped = d->calls_dropped;
    delta_free(d);
}

bool mirror_follow(struct mirror *m, struct feed *f)
{
    struct delta *d = feed_take(f);
    if (d)
        mirror_apply(m, d);
    return d != NULL;
}

int mirror_answer(struct mirror *m, struct feed *f, uint64_t until_ns, struct error *err)
{
    int rc;
    do {
        mirror_follow(m, f);
        rc = feed_answer(f, until_ns, err);
    } while (rc == -EAGAIN);
    mirror_follow(m, f);
    return rc;
}

int mirror_command(struct mirror *m, struct feed *f, enum command_kind kind, uint64_t value_ns,
                   struct error *err)
{
    int rc = feed_ask(f, kind, value_ns, err);
    return rc < 0 ? rc : mirror_answer(m, f, clock_now_ns() + OX_NS_PER_S, err);
}

/* --- views */

static void view_without_hits(const struct mirror *m, struct profile *ret)
{
    *ret = *m->p;
    ret->tallies = mem_alloc(m->p->n_tallies * sizeof(*ret->tallies) + 1);
    for (size_t i = 0; i < m->p->n_tallies; i++) {
        ret->tallies[i] = m->p->tallies[i];
        ret->tallies[i].hits = 0;
    }
    memset(ret->lost, 0, sizeof(ret->lost));
    ret->cost = (struct profile_cost){0};
    ret->truncated = ret->folded = ret->unattributed = ret->ticks_missed = 0;
}

void mirror_between(const struct mirror *m, uint64_t first_second, uint64_t last_second,
                    struct profile *ret_view)
{
    uint64_t known = 0;
    view_without_hits(m, ret_view);
    for (size_t i = 0; i < HISTORY_SECONDS; i++) {
        const struct history_second *s = &m->history[i];
        if (!s->second || s->second < first_second || s->second > last_second)
            continue;
        known++;
        for (size_t k = 0; k < s->n; k++)
            ret_view->tallies[s->hits[k].tally].hits += s->hits[k].hits;
    }
    ret_view->duration_ns = known * OX_NS_PER_S;
    ret_view->ticks = ret_view->interval_ns ? ret_view->duration_ns / ret_view->interval_ns : 0;
}

void mirror_mark(const struct mirror *m, struct mirror_mark *ret)
{
    *ret = (struct mirror_mark){.n = m->p->n_tallies,
                                .resets = m->resets,
                                .sampled_ns = m->status.sampled_ns,
                                .truncated = m->status.truncated};
    memcpy(ret->lost, m->status.lost, sizeof(ret->lost));
    ret->hits = mem_alloc(ret->n * sizeof(*ret->hits) + 1);
    for (size_t i = 0; i < ret->n; i++)
        ret->hits[i] = m->p->tallies[i].hits;
}

void mirror_mark_release(struct mirror_mark *mark)
{
    free(mark->hits);
    *mark = (struct mirror_mark){0};
}

void mirror_since(const struct mirror *m, const struct mirror_mark *mark, struct profile *ret_view)
{
    static const struct mirror_mark nothing;
    const struct mirror_mark *from = mark->resets == m->resets ? mark : &nothing;
    view_without_hits(m, ret_view);
    for (size_t i = 0; i < m->p->n_tallies; i++)
        ret_view->tallies[i].hits = m->p->tallies[i].hits - (i < from->n ? from->hits[i] : 0);
    ret_view->duration_ns = m->status.sampled_ns - from->sampled_ns;
    ret_view->ticks = ret_view->interval_ns ? ret_view->duration_ns / ret_view->interval_ns : 0;
    ret_view->truncated = m->status.truncated - from->truncated;
    for (unsigned i = 0; i < LOSS_N; i++)
        ret_view->lost[i] = m->status.lost[i] - from->lost[i];
}

void mirror_view_release(struct profile *view)
{
    free(view->tallies);
    *view = (struct profile){0};
}

/* SPDX-License-Identifier: MIT */
#include "live/feed.h"

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
    PUBLISH_NS = 250 * 1000 * 1000,
    NAMES_PER_TURN = 64,
};

struct feed {
    struct session *session; /* borrowed, as are the calls; NULL: not followed */
    struct calls *calls;
    uint64_t *pending; /* owned; by tally: hits since the last delta */
    size_t pending_cap;
    uint32_t *dirty; /* owned; tallies with pending hits */
    size_t n_dirty, dirty_cap;
    bool reset;
    uint64_t published_ns;
    size_t strings, frames, nodes, tallies, modules, threads, named; /* handed over so far */
    uint64_t threads_sent_ns;
    bool jit_renamed;
    _Atomic(struct delta *) slot; /* owned by whoever takes it */

    /* a command: written by the face while as many were done as asked, then the sampler's */
    _Atomic uint32_t asked, done;
    enum command_kind kind;
    uint64_t value_ns;
    int result;
    struct error refusal;
    sem_t news;  /* for a face that awaits an answer; some come too late, and say nothing */
    bool obeyed; /* and the face is still to be told */
};

void delta_free(struct delta *d)
{
    if (!d)
        return;
    free(d->text);
    free(d->frames);
    free(d->nodes);
    free(d->tallies);
    free(d->modules);
    free(d->threads);
    free(d->names);
    free(d->lines);
    free(d->hits);
    free(d->calls);
    free(d);
}

struct feed *feed_new(void)
{
    struct feed *f = mem_alloc(sizeof(*f));
    sem_init(&f->news, 0, 0);
    return f;
}

void feed_free(struct feed *f)
{
    if (!f)
        return;
    delta_free(atomic_exchange(&f->slot, NULL));
    free(f->pending);
    free(f->dirty);
    sem_destroy(&f->news);
    free(f);
}

static void take_hits(void *feed, uint32_t tally, uint64_t hits)
{
    struct feed *f = feed;
    size_t cap = f->pending_cap;
    f->pending = mem_grow(f->pending, &f->pending_cap, (size_t)tally + 1, sizeof(*f->pending));
    memset(f->pending + cap, 0, (f->pending_cap - cap) * sizeof(*f->pending));
    if (!f->pending[tally]) {
        f->dirty = mem_grow(f->dirty, &f->dirty_cap, f->n_dirty + 1, sizeof(*f->dirty));
        f->dirty[f->n_dirty++] = tally;
    }
    f->pending[tally] += hits;
}

static void forget_hits(struct feed *f)
{
    for (size_t i = 0; i < f->n_dirty; i++)
        f->pending[f->dirty[i]] = 0;
    f->n_dirty = 0;
}

void feed_attach(struct feed *f, struct session *s, struct calls *calls)
{
    f->session = s;
    f->calls = calls;
    session_follow(s, take_hits, f);
}

/* --- deltas */

static void *copy_of(const void *items, size_t first, size_t n, size_t item_bytes)
{
    void *copy = mem_alloc(n * item_bytes + 1);
    if (n)
        memcpy(copy, (const char *)items + first * item_bytes, n * item_bytes);
    return copy;
}

static void add_strings(struct feed *f, struct delta *d, const struct profile *p)
{
    size_t n = intern_count(p->strings), bytes = 0, at = 0;
    for (size_t i = f->strings; i < n; i++)
        bytes += strlen(intern_get(p->strings, (uint32_t)i)) + 1;
    d->text = mem_alloc(bytes + 1);
    for (size_t i = f->strings; i < n; i++) {
        size_t len = strlen(intern_get(p->strings, (uint32_t)i)) + 1;
        memcpy(d->text + at, intern_get(p->strings, (uint32_t)i), len);
        at += len;
    }
    d->n_strings = n - f->strings;
    f->strings = n;
}

static void add_names_of(struct delta *d, const struct profile *p, uint32_t frame,
                         size_t *lines_cap, size_t *names_cap)
{
    const struct profile_frame *from = &p->frames[frame];
    d->names = mem_grow(d->names, names_cap, d->n_names + 1, sizeof(*d->names));
    d->lines = mem_grow(d->lines, lines_cap, d->n_lines + from->n_lines, sizeof(*d->lines));
    d->names[d->n_names++] = (struct delta_name){.frame = frame,
                                                 .kind = from->kind,
                                                 .module = from->module,
                                                 .first_line = (uint32_t)d->n_lines,
                                                 .n_lines = from->n_lines};
    memcpy(d->lines + d->n_lines, p->lines + from->first_line, from->n_lines * sizeof(*d->lines));
    d->n_lines += from->n_lines;
}

static void add_names(struct feed *f, struct delta *d, const struct profile *p, size_t named)
{
    size_t lines_cap = 0, names_cap = 0;
    for (size_t i = 0; f->jit_renamed && i < f->named; i++)
        if (p->frames[i].kind == KIND_JIT)
            add_names_of(d, p, (uint32_t)i, &lines_cap, &names_cap);
    for (size_t i = f->named; i < named; i++)
        add_names_of(d, p, (uint32_t)i, &lines_cap, &names_cap);
    f->named = named;
    f->jit_renamed = false;
}

static void add_frames(struct feed *f, struct delta *d, const struct profile *p)
{
    d->n_frames = p->n_frames - f->frames;
    d->frames = copy_of(p->frames, f->frames, d->n_frames, sizeof(*d->frames));
    for (size_t i = 0; i < d->n_frames; i++) {
        d->frames[i].kind = KIND_UNKNOWN;
        d->frames[i].module = d->frames[i].first_line = 0;
        d->frames[i].n_lines = 1;
    }
    f->frames = p->n_frames;
}

static void add_threads(struct feed *f, struct delta *d, const struct profile *p)
{
    if (p->n_threads == f->threads && d->taken_ns - f->threads_sent_ns < 8 * PUBLISH_NS)
        return;
    d->n_threads = f->threads = p->n_threads;
    d->threads = copy_of(p->threads, 0, p->n_threads, sizeof(*d->threads));
    f->threads_sent_ns = d->taken_ns;
}

static void add_stacks(struct feed *f, struct delta *d, const struct profile *p)
{
    d->n_nodes = p->n_nodes - f->nodes;
    d->nodes = copy_of(p->nodes, f->nodes, d->n_nodes, sizeof(*d->nodes));
    d->n_modules = p->n_modules - f->modules;
    d->modules = copy_of(p->modules, f->modules, d->n_modules, sizeof(*d->modules));
    d->n_tallies = p->n_tallies - f->tallies;
    d->tallies = copy_of(p->tallies, f->tallies, d->n_tallies, sizeof(*d->tallies));
    for (size_t i = 0; i < d->n_tallies; i++)
        d->tallies[i].hits = 0;
    f->nodes = p->n_nodes;
    f->modules = p->n_modules;
    f->tallies = p->n_tallies;
}

static void add_hits(struct feed *f, struct delta *d)
{
    d->hits = mem_alloc(f->n_dirty * sizeof(*d->hits) + 1);
    d->n_hits = f->n_dirty;
    for (size_t i = 0; i < f->n_dirty; i++)
        d->hits[i] = (struct delta_hits){.tally = f->dirty[i], .hits = f->pending[f->dirty[i]]};
    forget_hits(f);
    d->reset = f->reset;
    f->reset = false;
}

static struct delta *make_delta(struct feed *f, size_t named)
{
    char title[400];
    const struct profile *p = session_counts(f->session);
    struct delta *d = mem_alloc(sizeof(*d));
    *d = (struct delta){.taken_ns = clock_now_ns(),
                        .mode = p->mode,
                        .folded = p->folded,
                        .unattributed = p->unattributed,
                        .names_folded = p->names_folded + intern_overflowed(p->strings)};
    session_status(f->session, &d->status);
    session_title(f->session, title, sizeof(title));
    d->title = intern_put(p->strings, title);
    add_frames(f, d, p);
    add_names(f, d, p, named);
    add_stacks(f, d, p);
    add_threads(f, d, p);
    add_hits(f, d);
    d->has_calls = f->calls != NULL;
    if (f->calls)
        d->calls = calls_table(f->calls, &d->n_calls, &d->calls_dropped);
    add_strings(f, d, p);
    return d;
}

struct delta *feed_take(struct feed *f)
{
    return atomic_exchange(&f->slot, NULL);
}

/* --- commands */

static void reset(struct feed *f)
{
    forget_hits(f);
    f->reset = true;
    if (f->calls)
        calls_reset(f->calls);
}

static int execute(struct feed *f, enum command_kind kind, uint64_t value_ns)
{
    struct session *s = f->session;
    struct session_status before, after;
    session_status(s, &before);
    if (before.finished || session_finished(s))
        return error_set(&f->refusal, -ESHUTDOWN, "sampling has ended");
    if (kind == COMMAND_PAUSE) {
        session_pause(s);
    } else if (kind == COMMAND_RESUME) {
        session_resume(s);
        if (f->calls && before.paused)
            calls_interrupted(f->calls);
    } else if (kind == COMMAND_RESET) {
        session_reset(s);
        reset(f);
    } else if (kind == COMMAND_INTERVAL) {
        int rc = session_set_interval(s, value_ns, &f->refusal);
        session_status(s, &after);
        if (before.interval_ns != after.interval_ns)
            reset(f);
        return rc;
    } else if (kind == COMMAND_SNAPSHOT) {
        session_settle(s);
    } else if (kind == COMMAND_STOP) {
        session_finish(s);
    }
    return 0;
}

static void obey(struct feed *f)
{
    if (f->obeyed || atomic_load(&f->asked) == atomic_load(&f->done))
        return;
    f->result = execute(f, f->kind, f->value_ns);
    f->obeyed = true;
}

/* Who has asked is to see what has come of it: the answer comes with the delta. */
static void publish(struct feed *f, size_t named)
{
    f->published_ns = clock_now_ns();
    atomic_store(&f->slot, make_delta(f, named));
    bool asked = atomic_load(&f->asked) != atomic_load(&f->done);
    if (f->obeyed)
        atomic_fetch_add(&f->done, 1);
    f->obeyed = false;
    if (asked)
        sem_post(&f->news);
}

void feed_turn(struct feed *f)
{
    bool jit_renamed = false;
    obey(f);
    size_t named = session_name_new(f->session, NAMES_PER_TURN, &jit_renamed);
    f->jit_renamed |= jit_renamed;
    if (f->calls && jit_renamed)
        calls_renamed(f->calls);
    if (f->calls)
        calls_digest(f->calls, named);
    bool due = f->obeyed || clock_now_ns() - f->published_ns >= PUBLISH_NS;
    if (due && !atomic_load(&f->slot))
        publish(f, named);
}

int feed_ask(struct feed *f, enum command_kind kind, uint64_t value_ns, struct error *err)
{
    if (atomic_load(&f->asked) != atomic_load(&f->done))
        return error_set(err, -EBUSY, "the command before is still to be done; try again");
    while (sem_trywait(&f->news) == 0)
        continue;
    f->kind = kind;
    f->value_ns = value_ns;
    atomic_fetch_add(&f->asked, 1);
    return 0;
}

int feed_answer(struct feed *f, uint64_t until_ns, struct error *err)
{
    struct timespec until = clock_timespec(until_ns);
    bool done = atomic_load(&f->asked) == atomic_load(&f->done);
    if (!done && sem_clockwait(&f->news, CLOCK_MONOTONIC, &until) < 0 && errno == ETIMEDOUT)
        return error_set(err, -EINPROGRESS, "the sampler is busy; it will be done");
    if (atomic_load(&f->asked) != atomic_load(&f->done))
        return -EAGAIN;
    return f->result < 0 ? error_set(err, f->result, "%s", f->refusal.text) : 0;
}

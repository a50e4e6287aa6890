/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "session/state.h"

/*
 * Threads that wait for each other in a ring. What each waits for was read at its own moment; so
 * before a ring is told, all its threads must be seen to have slept throughout, from before those
 * facts are read once more until after.
 */

/* What it sleeps in, anew; the profile's counts and what was kept of it stay. */
static bool look_again(struct session *s, struct target *t, struct watch *w, uint32_t *ret_tally)
{
    struct snapshot snap;
    bool keeps = s->opt.keep_snapshots;
    if (stacks_capture_asleep(s, t, w, &snap) < 0)
        return false;
    s->opt.keep_snapshots = false;
    *ret_tally = stacks_tally(s, t, w, &snap, s->stack);
    s->opt.keep_snapshots = keeps;
    w->syscall = snap.syscall;
    return true;
}

static void keep_wait(struct session *s, const struct watch *w, uint32_t tally)
{
    const struct profile *p = s->profile;
    const struct profile_frame *leaf = &p->frames[p->nodes[p->tallies[tally].node].frame];
    for (size_t i = 0; i < s->n_kept; i++) {
        struct kept_snapshot *k = &s->kept[i];
        if (k->snapshot.pid != w->process->pid || k->snapshot.tid != w->thread->tid || k->wait ||
            OX_SPACE_KIND(leaf->space) != SPACE_WAIT)
            continue;
        k->wait = mem_strdup(intern_get(p->strings, leaf->wait));
    }
}

/* True where it is to be looked at again: it does not sleep yet. */
static bool look_at_sleeper(struct session *s, struct target *t, struct watch *w)
{
    uint32_t tally;
    if (!w || !w->sampled || w->asleep || w->stopping || w->syscall < 0)
        return false;
    if (thread_run(w->threads, w->process, w->thread, &w->run) < 0 || !look_again(s, t, w, &tally))
        return true;
    w->asleep = true;
    if (s->stack->end != STACK_COMPLETE)
        return false;
    w->tally = tally;
    keep_wait(s, w, tally);
    return false;
}

size_t session_look_at_sleepers(struct session *s)
{
    size_t awake = 0;
    for (size_t i = 0; i < s->n_targets; i++) {
        struct target *t = s->targets[i];
        for (size_t k = 0; t->live && k < t->threads.n; k++)
            awake += look_at_sleeper(s, t, t->threads.items[k]->watch);
    }
    return awake;
}

static struct watch *next_of(const struct target *t, const struct watch *w)
{
    const uint64_t *known = w->asleep && w->waits_for && !w->waits_limited
                                ? map_find(&t->threads.by_tid, (uint64_t)w->waits_for, 0)
                                : NULL;
    return known ? ((struct thread *)(uintptr_t)*known)->watch : NULL;
}

static bool all_sleep(const struct target *t, const struct watch *first)
{
    const struct watch *w = first;
    do {
        if (!waits_sleeps(w))
            return false;
        w = next_of(t, w);
    } while (w && w != first);
    return w == first;
}

/* As it was said before: the ring's links, each read again. */
static bool still_holds(struct session *s, struct target *t, struct watch *first)
{
    struct watch *w = first;
    do {
        struct watch *next = next_of(t, w);
        uint64_t at = w->waits_at;
        uint32_t tally;
        if (!next || !look_again(s, t, w, &tally) || w->waits_at != at || next_of(t, w) != next)
            return false;
        w = next;
    } while (w != first);
    return true;
}

static const char *kind_of(const struct watch *w)
{
    switch (w->waits_kind) {
    case WAIT_FOR_GIL:
        return "GIL";
    case LOCK_RWLOCK:
        return "rwlock";
    case LOCK_THREAD:
        return NULL;
    default:
        return "mutex";
    }
}

static void tell(const struct target *t, const struct watch *first,
                 void (*take)(void *arg, const struct session_link *link), void *arg)
{
    const struct watch *w = first;
    char name[THREAD_LABEL_BYTES], others[THREAD_LABEL_BYTES];
    do {
        const struct watch *next = next_of(t, w);
        ticks_label(w->thread, name);
        ticks_label(next->thread, others);
        take(arg, &(struct session_link){.first = w == first,
                                         .tid = w->thread->tid,
                                         .holder_tid = next->thread->tid,
                                         .name = name,
                                         .holder = others,
                                         .lock = kind_of(w),
                                         .addr = w->waits_at});
        w = next;
    } while (w != first);
}

/* Each thread waits for one at most, so from any of them one way leads on: into a ring, or out. */
static void follow(struct session *s, struct target *t, struct watch *from, struct map *seen,
                   void (*take)(void *arg, const struct session_link *link), void *arg)
{
    struct watch *w = from;
    while (w && !map_find(seen, (uint64_t)w->thread->tid, 0)) {
        map_put(seen, (uint64_t)w->thread->tid, 0, (uint64_t)from->thread->tid);
        w = next_of(t, w);
    }
    const uint64_t *since = w ? map_find(seen, (uint64_t)w->thread->tid, 0) : NULL;
    if (!since || *since != (uint64_t)from->thread->tid)
        return;
    if (all_sleep(t, w) && still_holds(s, t, w) && all_sleep(t, w))
        tell(t, w, take, arg);
}

void session_deadlocks(struct session *s, void (*take)(void *arg, const struct session_link *link),
                       void *arg)
{
    for (size_t i = 0; i < s->n_targets; i++) {
        struct target *t = s->targets[i];
        struct map seen = {0};
        for (size_t k = 0; t->live && k < t->threads.n; k++)
            if (t->threads.items[k]->watch)
                follow(s, t, t->threads.items[k]->watch, &seen, take, arg);
        map_release(&seen);
    }
}

/* SPDX-License-Identifier: MIT */
#include "session/follow.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "session/state.h"

enum {
    NAMES_PER_CHECK = 64,
    NAMES_PER_REPORT = 256,
    EXEC_CHECK_NS = 10 * 1000 * 1000,
    MAPS_CHECK_NS = 1000 * 1000 * 1000,
};

struct target *follow_target_of(struct session *s, const struct watch *w)
{
    for (size_t i = 0; i < s->n_targets; i++)
        if (&s->targets[i]->process == w->process)
            return s->targets[i];
    return NULL;
}

void follow_begin(struct session *s, struct target *t, struct thread *th)
{
    if (t->filtered && !map_find(&t->wanted, (uint64_t)th->tid, 0))
        return;
    struct watch *w = mem_alloc(sizeof(*w));
    *w = (struct watch){
        .process = &t->process,
        .threads = &t->threads,
        .thread = th,
        .tick = t->from_start && !t->listed ? s->before.tick : s->tick - s->group,
        .syscall = -1,
        .copy_bytes = WATCH_COPY_FIRST_BYTES,
        .profile_thread = profile_thread(s->profile, t->process.pid, th->tid, th->name),
    };
    if (thread_run(&t->threads, &t->process, th, &w->run) < 0) {
        watch_free(w);
        return;
    }
    w->run_first_ns = w->run.run_ns;
    perfticks_have(s, t, w, &w->run);
    th->watch = w;
    s->n_watches++;
    s->profile->threads_seen++;
}

void follow_end(struct session *s, struct watch *w)
{
    if (w->stopping)
        return;
    perfticks_close(s, follow_target_of(s, w), w);
    s->ended_cpu_ns += w->run.run_ns - w->run_first_ns;
    s->n_watches--;
    w->thread->watch = NULL;
    w->thread->gone = true;
    watch_free(w);
}

void follow_end_gone(struct session *s, struct target *t, uint64_t owed)
{
    bool any = false;
    for (size_t i = 0; i < t->threads.n; i++) {
        struct thread *th = t->threads.items[i];
        if (!th->gone)
            continue;
        any = true;
        if (th->watch && !th->watch->stopping) {
            account_end(s, th->watch, owed);
            follow_end(s, th->watch);
        }
    }
    if (any)
        threads_drop_gone(&t->threads);
}

void ticks_end_target(struct session *s, struct target *t, uint64_t owed)
{
    if (!t->live)
        return;
    for (size_t i = 0; i < t->threads.n; i++)
        t->threads.items[i]->gone = true;
    follow_end_gone(s, t, owed);
    if (t->threads.n)
        return; /* a stop is under way: its end comes next */
    naming_keep_perfmap(s, t);
    interpreter_forget(t);
    threads_release(&t->threads);
    s->gone_mappings_cut += t->process.maps_dropped;
    s->gone_cfi_cut += unwinder_cfi_cut(t->unwinder);
    process_close(&t->process);
    unwinder_free(t->unwinder);
    t->unwinder = NULL;
    t->live = false;
}

void ticks_label(const struct thread *th, char label[THREAD_LABEL_BYTES])
{
    const char *known = th->watch ? th->watch->python_name : NULL, *name = known ? known : "";
    if (*name && !strncmp(name, th->name, strlen(th->name))) /* 3.14 tells the system as well */
        snprintf(label, THREAD_LABEL_BYTES, "%s", name);
    else
        snprintf(label, THREAD_LABEL_BYTES, "%s%s%s", th->name, *name ? ": " : "", name);
}

/* Of up to `most` threads, going round: reading a name costs 5 us. */
static void renew_names(struct session *s, struct target *t, size_t most)
{
    char label[THREAD_LABEL_BYTES];
    size_t n = t->threads.n < most ? t->threads.n : most;
    pythreads_name(s, t);
    for (size_t i = 0; i < n; i++) {
        struct thread *th = t->threads.items[t->name_turn++ % t->threads.n];
        if (th->gone || !th->watch || thread_read_name(&t->process, th) < 0)
            continue;
        ticks_label(th, label);
        th->watch->profile_thread = profile_thread(s->profile, t->process.pid, th->tid, label);
    }
}

void ticks_renew_names(struct session *s)
{
    for (size_t i = 0; i < s->n_targets; i++)
        if (s->targets[i]->live)
            renew_names(s, s->targets[i], NAMES_PER_REPORT);
}

/* After an exec the one thread that is left may have been an exited leader. */
static void look_at_heir(struct session *s, struct watch *w)
{
    perfticks_close(s, NULL, w); /* the samples since are of the new program */
    w->perf_retry = 0;
    memset(&w->perf_quality, 0, sizeof(w->perf_quality));
    w->run_released = 0; /* the run counter is now that of the thread that called exec */
    w->asleep = false;
    if (!w->exited)
        return;
    w->exited = false;
    w->next_look = s->tick;
    w->tick = s->tick - 1;
}

void follow_program(struct session *s, struct target *t, uint64_t now)
{
    if (now - t->exec_checked_ns >= EXEC_CHECK_NS) {
        t->exec_checked_ns = now;
        if (process_check_exec(&t->process)) {
            unwinder_forget(t->unwinder);
            interpreter_forget(t);
            t->threads.links = 0;
            for (size_t i = 0; i < t->threads.n; i++)
                if (t->threads.items[i]->watch)
                    look_at_heir(s, t->threads.items[i]->watch);
            renew_names(s, t, SIZE_MAX);
        }
    }
    if (now - t->maps_checked_ns >= MAPS_CHECK_NS) {
        t->maps_checked_ns = now;
        if (process_check_mappings(&t->process))
            unwinder_forget(t->unwinder);
        renew_names(s, t, NAMES_PER_CHECK);
    }
}

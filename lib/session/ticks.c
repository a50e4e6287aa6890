/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "session/state.h"

enum {
    LOOKS_PER_COLLECTION = 16,
    POSTPONED_MAX_NS = 100 * 1000 * 1000, /* for the sake of stops */
};

static void tick_target(struct session *s, struct target *t, uint64_t now, uint64_t missed)
{
    if (!process_alive(&t->process)) {
        ticks_end_target(s, t, s->tick - 1);
        return;
    }
    /* Nobody is to stand still for so long. But where CPUs are short some stop is always open. */
    if (!ticks_stop_open(s) || now - t->exec_checked_ns >= POSTPONED_MAX_NS) {
        follow_program(s, t, now);
        interpreter_look(s, t, now);
    }
    int rc = threads_rescan(&t->threads, &t->process);
    if (rc < 0)
        return;
    if (rc > 0) {
        follow_end_gone(s, t, s->tick - 1);
        for (size_t i = 0; i < t->threads.n; i++)
            if (!t->threads.items[i]->gone && !t->threads.items[i]->watch)
                follow_begin(s, t, t->threads.items[i]);
        t->listed = true;
    }
    for (size_t i = 0; i < t->threads.n; i++) {
        /* Where threads are many, or CPUs few, this may last: no thread stands still for so long.
         */
        if (s->stopper.n && i % LOOKS_PER_COLLECTION == 0)
            session_collect(s);
        struct watch *w = t->threads.items[i]->watch;
        if (w && !w->stopping && !t->threads.items[i]->gone && w->next_look <= s->tick &&
            w->tick < s->tick)
            look_at(s, t, w, missed);
    }
}

void ticks_run(struct session *s, uint64_t tick, uint64_t missed)
{
    uint64_t now = clock_now_ns();
    ticks_capture_sleepers(s);
    s->tick = tick;
    for (size_t i = 0; i < s->n_targets; i++) {
        struct target *t = s->targets[i];
        if (!t->live)
            continue;
        tick_target(s, t, now, missed);
        if (s->opt.children && t->live)
            children_find(s, t);
    }
    stops_make(s);
    if (!s->stopper.n)
        ticks_capture_sleepers(s);
}

static void settle_watch(struct session *s, struct target *t, struct watch *w)
{
    struct proc_run run;
    uint64_t open = s->tick - w->tick;
    if (w->perf) {
        if (!s->paused) /* settled when the pause began, which counts for nobody */
            perfticks_settle(s, t, w);
        return;
    }
    if (!open || w->stopping || w->exited)
        return;
    int rc = thread_run(&t->threads, &t->process, w->thread, &run);
    if (rc == 0 && w->asleep && run.switches_in == w->run.switches_in) {
        account_hit(s, w, open);
    } else {
        account_lose(s, LOSS_UNSEEN, open);
        w->asleep = false;
    }
    w->tick = s->tick;
}

void ticks_settle(struct session *s)
{
    ticks_capture_sleepers(s);
    for (size_t i = 0; i < s->n_targets; i++) {
        struct target *t = s->targets[i];
        for (size_t k = 0; t->live && k < t->threads.n; k++)
            if (t->threads.items[k]->watch)
                settle_watch(s, t, t->threads.items[k]->watch);
    }
}

/* SPDX-License-Identifier: MIT */
#include "session/look.h"

#include <errno.h>

#include "base/clock.h"
#include "session/state.h"

enum {
    LOOKS_PER_S = 1500,                   /* at idle threads; 1 % of a CPU, more or less */
    LOOK_GAP_MAX_NS = 1500 * 1000 * 1000, /* between two looks at a thread */
    IDLE_PER_GAP = 8, /* the gap is at most this part of how long it has idled */
    LONG_IDLE = 64,   /* ticks, from which it is */
    IDLE_PER_LONG_GAP = 4,
    CROWD_GAP = 20, /* ticks; where that many are needed to afford the looks, time is short */
    IDLE_PER_CROWD_GAP = 2,
};

/* How many ticks apart the looks at a long sleeper are: none where there are few threads. */
static uint64_t widest_gap(const struct session *s)
{
    uint64_t ticks_per_s = OX_NS_PER_S / s->opt.interval_ns;
    uint64_t affordable = s->n_watches * ticks_per_s / LOOKS_PER_S;
    uint64_t most = LOOK_GAP_MAX_NS / s->opt.interval_ns;
    return affordable < most ? affordable : most;
}

/* The longer it idles, the more rarely it is looked at; spread, so that looks don't come in bursts.
 */
void ticks_plan_next_look(struct session *s, struct watch *w)
{
    uint64_t most = widest_gap(s);
    uint64_t part = w->idle_ticks < LONG_IDLE ? IDLE_PER_GAP : IDLE_PER_LONG_GAP;
    if (most >= CROWD_GAP)
        part = IDLE_PER_CROWD_GAP;
    uint64_t gap = w->idle_ticks / part < most ? w->idle_ticks / part : most;
    if (gap > 3)
        gap -= clock_random_next(&s->random) % (gap / 4 + 1);
    w->next_look = s->tick + (gap ? gap : 1);
}

static void found_running(struct session *s, struct watch *w)
{
    struct target *t = follow_target_of(s, w);
    w->asleep = false;
    w->next_look = s->tick + 1;
    if (!w->teach && perfticks_take(s, t, w))
        return;
    if (stops_allowed(s, t)) {
        ticks_ask_stop(s, w); /* its hits come with that */
        return;
    }
    w->tally = stacks_special(s, w, SPECIAL_NOT_STOPPED, PROFILE_CPU);
    w->sampled = true;
    w->syscall = -1;
    account_hit(s, w, s->tick - w->tick);
}

/* The run counter has moved, or the thread was not asleep when last looked at. */
static void capture(struct session *s, struct target *t, struct watch *w, uint64_t ran_ns,
                    uint64_t missed)
{
    struct snapshot snap;
    uint32_t tally;
    uint64_t open = s->tick - w->tick, gap = open > s->group ? open - s->group : 0;
    if (t->python)
        pythreads_plan(s, t, w);
    int rc = ticks_capture_asleep(s, t, w, &tally, &snap);
    w->teach = rc == 0 && ticks_may_be_taught(s, t, &snap);
    if (w->teach) {
        rc = -EAGAIN; /* as if it ran: its stop shows what it sleeps in, and all its registers */
    } else if (rc == 0) {
        sleeper_found(s, w, tally, &snap, gap, ran_ns, missed);
        return;
    }
    account_gap(s, w, gap, ran_ns, false, missed);
    w->tick += gap;
    if (rc == -EAGAIN || rc == -EBUSY) {
        found_running(s, w);
    } else if (rc == -ENODATA) {
        w->asleep = false;
        w->exited = true; /* a leader that waits for its threads to end: no longer a thread that
                             does anything */
        w->next_look = UINT64_MAX;
        w->tick = s->tick;
    } else {
        account_lose(s, rc == -ESRCH ? LOSS_THREAD_GONE : LOSS_UNREADABLE, s->tick - w->tick);
        w->tick = s->tick;
    }
}

static void look_by_perf(struct session *s, struct target *t, struct watch *w,
                         const struct proc_run *run, bool ran)
{
    int rc = perfticks_look(s, t, w, run, ran);
    if (rc == -ENODATA) {
        w->exited = true;
        w->next_look = UINT64_MAX;
    } else if (rc == -ESRCH) {
        follow_end(s, w);
    }
}

void look_at(struct session *s, struct target *t, struct watch *w, uint64_t missed)
{
    struct proc_run run;
    int rc = thread_run(&t->threads, &t->process, w->thread, &run);
    if (rc == -ESRCH) {
        account_end(s, w, s->tick - 1);
        follow_end(s, w);
        return;
    }
    if (rc < 0) {
        account_lose(s, LOSS_UNREADABLE, s->tick - w->tick);
        w->tick = s->tick;
        return;
    }
    uint64_t ran_ns = run.run_ns - w->run.run_ns;
    bool ran = run.switches_in != w->run.switches_in;
    if ((ran || !w->asleep || w->perf) && perfticks_have(s, t, w, &run)) {
        look_by_perf(s, t, w, &run, ran);
        return;
    }
    w->run = run;
    if (w->asleep && !ran) {
        w->idle_ticks += s->tick - w->tick;
        account_hit(s, w, s->tick - w->tick);
        ticks_plan_next_look(s, w);
        return;
    }
    if (w->run_released && run.switches_in + 1 >= w->run_released &&
        run.switches_in <= w->run_released) {
        account_hit(
            s, w, s->tick - w->tick); /* it still waits for a CPU, where its last stop showed it */
        w->next_look = s->tick + 1;
        return;
    }
    w->run_released = 0;
    capture(s, t, w, ran_ns, missed);
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>

#include "base/clock.h"
#include "session/state.h"

/* The course of a session: its start, when ticks fall, pauses, another interval, the end. */
enum {
    WAKE_MAX_NS = 100 * 1000 * 1000, /* an end, or a silent stop, is noticed at least this often */
    DRAIN_NS = 500 * 1000 * 1000,    /* how long the end waits for stops under way */
};

/* Tick n belongs to the n-th interval and falls at a random point of it, so that samples do not
 * beat in time with timers of the target. */
static void plan_tick(struct session *s)
{
    s->group = s->stands;
    s->due_ns = s->epoch_ns + s->tick * s->opt.interval_ns +
                clock_random_next(&s->random) % (s->group * s->opt.interval_ns);
}

static void arm(struct session *s)
{
    uint64_t now = clock_now_ns();
    s->epoch_ns = now - s->tick * s->opt.interval_ns;
    s->resumed_ns = now;
    s->ticked_ns = 0;
    s->budget.since_ns = 0;
    plan_tick(s);
}

void session_start(struct session *s)
{
    s->started = true;
    s->profile->began_ns = clock_wall_ns();
    if (!s->paused)
        arm(s);
}

uint64_t session_next_ns(const struct session *s)
{
    uint64_t soon = clock_now_ns() + WAKE_MAX_NS;
    uint64_t next = s->paused || s->finished ? soon : s->due_ns;
    if (!s->paused && !s->finished && s->opt.duration_ns) {
        uint64_t end = s->resumed_ns + (s->opt.duration_ns - s->sampled_ns);
        next = end < next ? end : next;
    }
    return next < soon ? next : soon;
}

static bool time_is_up(const struct session *s)
{
    return s->opt.duration_ns && status_sampled_ns(s) >= s->opt.duration_ns;
}

static void beat(struct session *s)
{
    atomic_fetch_add_explicit(&s->guardian->page->heartbeat, 1, memory_order_relaxed);
}

void session_collect(struct session *s)
{
    beat(s);
    s->stopper.namer = namer_pid(s->namer);
    stopper_collect(&s->stopper, ticks_stop_done, s);
    if (s->stopper.namer_ended)
        namer_ended(s->namer, s->stopper.namer_status);
    s->stopper.namer_ended = false;
    if (!s->stopper.n)
        ticks_capture_sleepers(s);
}

static void end_dead_targets(struct session *s)
{
    ticks_capture_sleepers(s);
    for (size_t i = 0; i < s->n_targets; i++)
        if (s->targets[i]->live && !process_alive(&s->targets[i]->process))
            ticks_end_target(s, s->targets[i], s->tick);
}

void session_tick(struct session *s)
{
    uint64_t now = clock_now_ns();
    /* What has ended belongs to the ticks so far. */
    session_collect(s);
    if (s->stopper.n)
        stopper_expire(&s->stopper, ticks_stop_done, s);
    else if (!s->paused)
        naming_prepare(s, now);
    if (s->paused || now < s->due_ns)
        end_dead_targets(s);
    if (s->paused || s->finished || time_is_up(s) || now < s->due_ns)
        return;
    /* Late by whole intervals: those ticks are missed, and this one stands for the present
     * interval. */
    uint64_t present = (now - s->epoch_ns) / s->opt.interval_ns + 1, next = s->tick + s->group;
    uint64_t tick = present > next ? present : next;
    s->profile->ticks_missed += tick - next;
    status_tick(s, now);
    ticks_run(s, tick, tick - next);
    s->profile->ticks = s->tick - s->before.tick;
    budget_tick(s, now);
    plan_tick(s);
}

bool session_targets_live(const struct session *s)
{
    for (size_t i = 0; i < s->n_targets; i++)
        if (s->targets[i]->live)
            return true;
    return false;
}

/* With those of long sleepers that were not looked at in the last ticks: they are settled at the
 * end. */
static bool has_enough(const struct session *s)
{
    uint64_t n = s->samples;
    if (!s->opt.samples_max)
        return false;
    for (size_t i = 0; i < s->n_targets; i++)
        for (size_t k = 0; s->targets[i]->live && k < s->targets[i]->threads.n; k++) {
            const struct watch *w = s->targets[i]->threads.items[k]->watch;
            n += w && w->asleep && !s->opt.cpu_only ? s->tick - w->tick : 0;
        }
    return n >= s->opt.samples_max;
}

bool session_finished(const struct session *s)
{
    return s->finished || time_is_up(s) || !session_targets_live(s) || has_enough(s);
}

bool session_stopping(const struct session *s)
{
    return s->stopper.n > 0 || s->stopper.n_ended > 0;
}

void session_pause(struct session *s)
{
    if (s->paused || s->finished)
        return;
    ticks_settle(s);
    s->sampled_ns = status_sampled_ns(s);
    s->paused = true;
    perfticks_halt(s);
}

/* While it paused nobody looked: no thread's account has an open gap from then. */
static void forget_pause(struct session *s)
{
    for (size_t i = 0; i < s->n_targets; i++)
        for (size_t k = 0; s->targets[i]->live && k < s->targets[i]->threads.n; k++) {
            struct watch *w = s->targets[i]->threads.items[k]->watch;
            if (w && !w->stopping && !w->exited)
                w->next_look = s->tick + 1;
            if (w)
                perfticks_resume(s, w);
        }
}

void session_resume(struct session *s)
{
    if (!s->paused)
        return;
    s->paused = false;
    forget_pause(s);
    if (s->started)
        arm(s);
}

bool session_paused(const struct session *s)
{
    return s->paused;
}

int session_set_interval(struct session *s, uint64_t interval_ns, struct error *err)
{
    if (interval_ns < SESSION_INTERVAL_MIN_NS || interval_ns > SESSION_INTERVAL_MAX_NS)
        return error_set(err, -ERANGE, "the interval must be from 0.1 ms to 10 s");
    if (interval_ns == s->opt.interval_ns || s->finished)
        return 0;
    session_reset(s);
    bool runs = s->started && !s->paused;
    if (runs)
        s->sampled_ns = status_sampled_ns(s);
    s->opt.interval_ns = s->profile->interval_ns = interval_ns;
    s->stands = 1;
    forget_pause(s); /* looks were planned in ticks of another length */
    if (runs)
        arm(s);
    return 0;
}

bool session_end_stops(struct session *s, uint64_t within_ns)
{
    struct timespec wait = clock_timespec(WAKE_MAX_NS / 2);
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    for (uint64_t end = clock_now_ns() + within_ns; session_stopping(s) && clock_now_ns() < end;) {
        session_collect(s);
        if (session_stopping(s) && sigtimedwait(&child, NULL, &wait) < 0)
            stopper_expire(&s->stopper, ticks_stop_done, s);
    }
    return !session_stopping(s);
}

void session_finish(struct session *s)
{
    if (s->finished)
        return;
    s->sampled_ns = status_sampled_ns(s);
    s->ended_ns = clock_now_ns();
    s->finished = true;
    session_end_stops(s, DRAIN_NS);
    stopper_calm(&s->stopper);
    session_collect(s);
    for (size_t i = 0; i < s->stopper.n; i++) {
        struct watch *w = s->stopper.stops[i].watch;
        s->profile->lost[LOSS_NO_STOP] += s->tick - w->tick;
        w->tick = s->tick;
    }
    if (s->started)
        budget_end(s);
    ticks_settle(s);
    perfticks_halt(s);
    s->own_cpu_end_ns = clock_own_cpu_ns();
}

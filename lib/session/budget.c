/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "session/state.h"

/*
 * --max-overhead: where looks cost too much, one look stands for several ticks. Every hit still
 * weighs an interval: a thread that is found somewhere gets as many as the look stands for.
 *
 * Example, 100 Hz and at most 1 %: a window of 250 ms in which we took 5 ms, 2 %, at a look for
 * each tick. From then on a look stands for two.
 */
enum {
    WINDOW_NS = 250 * 1000 * 1000,
    GROWTH_MAX = 8, /* times, from one window to the next */
    LOOK_EVERY_MAX_NS = 250 * 1000 * 1000,
};

static uint64_t spent_ns(const struct session *s)
{
    return clock_own_cpu_ns() + s->stopper.ns_sum;
}

static uint64_t most_stands(const struct session *s)
{
    uint64_t most = LOOK_EVERY_MAX_NS / s->opt.interval_ns;
    return most ? most : 1;
}

/* What would have kept the last window within the budget. Coming down it leaves some room. */
static uint64_t next_stands(const struct session *s, uint64_t spent, uint64_t window)
{
    double share = (double)spent / (double)window, allowed = s->opt.max_overhead_ppm / 1e6;
    double want = (double)s->stands * share / allowed, most = (double)most_stands(s);
    if (want > (double)s->stands * GROWTH_MAX)
        want = (double)s->stands * GROWTH_MAX;
    if (want < (double)s->stands)
        want = ((double)s->stands + want * 1.25) / 2;
    want = want > most ? most : want;
    uint64_t whole = (uint64_t)want;
    return whole < 1 ? 1 : (double)whole < want ? whole + 1 : whole;
}

void budget_tick(struct session *s, uint64_t now)
{
    s->looks++;
    if (!s->opt.max_overhead_ppm)
        return;
    uint64_t spent = spent_ns(s), window = now - s->budget.since_ns;
    if (s->budget.since_ns && window < WINDOW_NS)
        return;
    if (s->budget.since_ns)
        s->stands = next_stands(s, spent - s->budget.spent_ns, window);
    s->budget.since_ns = now;
    s->budget.spent_ns = spent;
}

void budget_end(struct session *s)
{
    uint64_t whole = (s->ended_ns - s->epoch_ns) / s->opt.interval_ns;
    if (s->group > 1 && !s->paused && whole > s->tick) {
        s->tick = whole;
        s->profile->ticks = s->tick - s->before.tick;
    }
}

/* SPDX-License-Identifier: MIT */
#include "session/account.h"

#include "session/state.h"

void account_lose(struct session *s, enum loss why, uint64_t ticks)
{
    s->profile->lost[why] += ticks;
}

void account_end(struct session *s, struct watch *w, uint64_t owed)
{
    if (w->exited || owed <= w->tick)
        return;
    if (w->perf) /* some of that may be told by what is in its ring */
        perfticks_owe(s, w, owed - w->tick);
    else
        account_lose(s, LOSS_UNSEEN, owed - w->tick);
    w->tick = owed;
}

void account_note_walk(const struct session *s, struct watch *w)
{
    w->truncated = s->stack->end != STACK_COMPLETE;
    w->given_up = s->stack->end == STACK_TOO_MUCH;
}

void ticks_note_quality(struct session *s, const struct watch *w, uint64_t hits)
{
    const struct profile_tally *tally = &s->profile->tallies[w->tally];
    uint32_t leaf = s->profile->nodes[tally->node].frame;
    if (!stacks_counts(s, w->tally))
        return;
    if (s->profile->frames[leaf].space == OX_SPACE(SPACE_SPECIAL, 0) &&
        s->profile->frames[leaf].address <= SPECIAL_NOT_STOPPED) {
        account_lose(s,
                     s->profile->frames[leaf].address == SPECIAL_UNWIND_FAILED ? LOSS_UNWIND
                                                                               : LOSS_NOT_STOPPED,
                     hits);
    } else if (w->truncated) {
        s->profile->truncated += hits;
        s->profile->given_up += w->given_up ? hits : 0;
    }
}

void account_hit(struct session *s, struct watch *w, uint64_t hits)
{
    stacks_hit(s, w->tally, hits, s->tick);
    ticks_note_quality(s, w, hits);
    w->tick = s->tick;
}

static uint64_t ticks_of_ns(const struct session *s, uint64_t ns)
{
    return (ns + s->opt.interval_ns / 2) / s->opt.interval_ns;
}

/*
 * Slept at the same place before and after: it was there, but for the time that it ran meanwhile.
 * Example: looked at in ticks 100 and 108, ran 21 ms of 10 ms ticks, sleeps where it slept: of the
 * 7 ticks between, 2 are lost as unseen, 5 are hits of the place where it slept.
 */
void account_gap(struct session *s, struct watch *w, uint64_t gap, uint64_t ran_ns, bool same_place,
                 uint64_t missed)
{
    uint64_t late = gap < missed ? gap : missed;
    if (!gap)
        return;
    if (!same_place) {
        account_lose(s, LOSS_LATE, late);
        account_lose(s, LOSS_UNSEEN, gap - late);
        return;
    }
    uint64_t ran = ticks_of_ns(s, ran_ns);
    if (ran > gap)
        ran = gap;
    account_lose(s, LOSS_UNSEEN, ran);
    stacks_hit(s, w->tally, gap - ran, s->tick - 1);
    ticks_note_quality(s, w, gap - ran);
}

/* SPDX-License-Identifier: MIT */
#include "session/sleeper.h"

#include <errno.h>

#include "capture/asleep.h"
#include "session/state.h"

enum { CAPTURE_TRIES = 3 };

bool sleeper_learn_copy(const struct session *s, struct watch *w, const struct snapshot *last)
{
    size_t bytes = w->copy_bytes;
    uint64_t at = w->signal_sp_at;
    if (s->stack->end == STACK_CUT)
        asleep_want_more(w, last, s->stack->cut_bytes);
    if (s->stack->end == STACK_ELSEWHERE && s->stack->elsewhere_at)
        w->signal_sp_at = s->stack->elsewhere_at;
    return w->copy_bytes != bytes || w->signal_sp_at != at;
}

/* What the stack was in want of; or any, where its mapping has become known only by this walk. */
static bool wants_second_copy(const struct session *s, const struct target *t, struct watch *w,
                              const struct snapshot *first)
{
    return first->stack_bytes ? sleeper_learn_copy(s, w, first) : !t->process.maps_query;
}

int ticks_capture_asleep(struct session *s, struct target *t, struct watch *w, uint32_t *ret_tally,
                         struct snapshot *ret_snap)
{
    int rc = -EBUSY;
    for (int i = 0; i < CAPTURE_TRIES && rc == -EBUSY; i++)
        rc = stacks_capture_asleep(s, t, w, ret_snap);
    if (rc < 0)
        return rc;
    *ret_tally = stacks_tally(s, t, w, ret_snap, s->stack);
    /* a handler's stack, what it has interrupted, more of that */
    for (int i = 0; i < CAPTURE_TRIES && wants_second_copy(s, t, w, ret_snap); i++) {
        struct proc_run first = w->run;
        struct snapshot again;
        if (stacks_capture_asleep(s, t, w, &again) < 0) {
            w->run = first; /* the next look sees that it has run since the copy that counts */
            break;
        }
        *ret_snap = again;
        *ret_tally = stacks_tally(s, t, w, ret_snap, s->stack);
    }
    return 0;
}

void sleeper_found(struct session *s, struct watch *w, uint32_t tally, const struct snapshot *snap,
                   uint64_t gap, uint64_t ran_ns, uint64_t missed)
{
    account_gap(s, w, gap, ran_ns, w->asleep && tally == w->tally, missed);
    w->tally = tally;
    w->asleep = snap->stack_bytes > 0; /* else the next look tries again */
    w->syscall = snap->syscall;
    account_note_walk(s, w);
    w->idle_ticks = 0;
    w->sampled = true;
    account_hit(s, w, s->tick - w->tick - gap);
    w->next_look = s->tick + 1;
}

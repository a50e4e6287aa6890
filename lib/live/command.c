/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "base/clock.h"
#include "live/request.h"

/* What a request asks of the sampler, and what has come of it. */

static bool end_undone(struct request *r)
{
    r->outcome = error_set(&r->refusal, -EBUSY, "it is ending");
    r->command = COMMAND_ENDED;
    return true;
}

bool request_command(struct request *r, enum command_kind kind, uint64_t value_ns)
{
    if (r->command == COMMAND_ENDED)
        return true;
    if (atomic_load(&r->web->ending))
        return end_undone(r);
    r->kind = kind;
    r->value_ns = value_ns;
    r->due_ns = clock_now_ns() + OX_NS_PER_S;
    r->command = COMMAND_QUEUED;
    r->waits = true;
    return false;
}

/* r->outcome is final, or what is to be said where there is no more time. */
static bool has_outcome(struct request *r)
{
    struct web *w = r->web;
    if (r->command == COMMAND_QUEUED) {
        r->outcome = feed_ask(w->feed, r->kind, r->value_ns, &r->refusal);
        if (r->outcome < 0)
            return false;
        r->command = COMMAND_ASKED;
    }
    r->outcome = mirror_answer(w->mirror, w->feed, 0, &r->refusal);
    return r->outcome != -EINPROGRESS;
}

bool command_has_ended(struct request *r, bool late)
{
    bool has = has_outcome(r);
    if (!has && atomic_load(&r->web->ending))
        return end_undone(r);
    if (has || late)
        r->command = COMMAND_ENDED;
    return has || late;
}

/* SPDX-License-Identifier: MIT */
#include "session/stops.h"

#include <asm/unistd.h>
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "session/state.h"
#include "target/diagnose.h"

enum { STOP_TRIES = 4 };

bool ticks_stop_open(const struct session *s)
{
    enum { COMES_WITHIN_NS = 50 * 1000 * 1000 };
    uint64_t since = atomic_load(&s->guardian->page->open_since_ns);
    return s->stopper.n && since && clock_now_ns() - since < COMES_WITHIN_NS;
}

bool stops_allowed(const struct session *s, const struct target *t)
{
    switch (s->opt.capture) {
    case CAPTURE_NOSTOP:
        return false;
    case CAPTURE_PERF: /* what Python runs is not in what the kernel copies */
        return t->python && s->opt.view != VIEW_NATIVE;
    default:
        return true;
    }
}

/*
 * A sleeper does not show its frame pointer. Where its stack can't be walked without, one stop per
 * place in the code teaches the unwinder what it needs. Only in calls that are resumed by the
 * kernel or by the stop's repair without a trace: no write, send or connect, whose results would
 * show it.
 */
bool ticks_may_be_taught(const struct session *s, const struct target *t,
                         const struct snapshot *snap)
{
    switch (snap->syscall) {
    case __NR_futex:
    case __NR_epoll_wait:
    case __NR_epoll_pwait:
    case __NR_poll:
    case __NR_ppoll:
    case __NR_select:
    case __NR_pselect6:
    case __NR_nanosleep:
    case __NR_clock_nanosleep:
    case __NR_wait4:
    case __NR_waitid:
    case __NR_accept:
    case __NR_accept4:
    case __NR_read:
    case __NR_recvfrom:
    case __NR_recvmsg:
    case __NR_pause:
    case __NR_rt_sigsuspend:
    case __NR_rt_sigtimedwait:
    case __NR_semop:
    case __NR_semtimedop:
    case __NR_msgrcv:
        return stops_allowed(s, t) && !s->opt.cpu_only && s->stack->end == STACK_NO_REG &&
               s->stack->teachable;
    default:
        return false;
    }
}

/* Stops come last in a tick: everything else would keep the thread waiting for its CPU. */
void ticks_ask_stop(struct session *s, struct watch *w)
{
    struct proc_status status;
    if (w->thread->status_fd < 0) /* so that the stop finds it open */
        thread_status(w->threads, w->process, w->thread, &status);
    s->to_stop = mem_grow(s->to_stop, &s->to_stop_cap, s->n_to_stop + 1, sizeof(struct watch *));
    s->to_stop[s->n_to_stop++] = w;
}

static void say_traced(struct session *s, struct target *t, const struct watch *w)
{
    char tracer[360];
    if (t->traced_said)
        return;
    t->traced_said = true;
    diagnose_tracer(w->thread->tid, tracer, sizeof(tracer));
    session_warn(
        s,
        "process %d is already traced by %s: its running threads can't be sampled, only those "
        "that wait",
        t->process.pid, tracer[0] ? tracer : "another program");
}

static void lose_untaken(struct session *s, struct watch *w, int rc)
{
    bool gone = rc == -ESRCH || rc == -ENODATA;
    bool busy = rc == -EBUSY || rc == -EAGAIN;
    bool denied = rc == -EACCES;
    account_lose(s,
                 gone           ? LOSS_THREAD_GONE
                 : busy         ? LOSS_NO_STOP
                 : denied       ? LOSS_REFUSED
                 : rc == -EPERM ? LOSS_TRACED
                                : LOSS_UNREADABLE,
                 s->tick - w->tick);
    w->tick = s->tick;
    if (rc == -EPERM)
        say_traced(s, follow_target_of(s, w), w);
}

/* It has fallen asleep before it could be stopped. -EAGAIN: it runs again, or is to be stopped for
 * its registers. */
static int capture_fallen_asleep(struct session *s, struct watch *w)
{
    struct snapshot snap;
    uint32_t tally;
    struct target *t = follow_target_of(s, w);
    int rc = ticks_capture_asleep(s, t, w, &tally, &snap);
    w->teach = rc == 0 && ticks_may_be_taught(s, t, &snap);
    if (rc < 0 || w->teach)
        return rc == -EBUSY || w->teach ? -EAGAIN : rc;
    sleeper_found(s, w, tally, &snap, 0, 0, 0);
    return 0;
}

/* A thread that runs for some microseconds at a time may have to be met several times. */
static void stop(struct session *s, struct watch *w)
{
    int rc = -EAGAIN;
    for (int i = 0; i < STOP_TRIES && rc == -EAGAIN; i++) {
        rc = stopper_start(&s->stopper, w, s->tick);
        if (rc == -EALREADY && s->stopper.n) { /* its turn comes when none stands still for us */
            w->fell_asleep = true;
            s->n_fell_asleep++;
            return;
        }
        if (rc == -EALREADY)
            rc = capture_fallen_asleep(s, w);
        else if (rc == -EAGAIN)
            break;
    }
    if (rc < 0)
        lose_untaken(s, w, rc);
}

static int by_cpu(const void *a, const void *b)
{
    const struct watch *const *left = a, *const *right = b;
    return ((*left)->cpu > (*right)->cpu) - ((*left)->cpu < (*right)->cpu);
}

/* One visit to each CPU serves all threads there. */
void stops_make(struct session *s)
{
    if (s->n_to_stop > 1)
        qsort(s->to_stop, s->n_to_stop, sizeof(struct watch *), by_cpu);
    for (size_t i = 0; i < s->n_to_stop; i++)
        stop(s, s->to_stop[i]);
    if (s->n_to_stop)
        stopper_await(&s->stopper);
    s->n_to_stop = 0;
}

void ticks_capture_sleepers(struct session *s)
{
    for (size_t i = 0; s->n_fell_asleep && i < s->n_targets; i++) {
        struct target *t = s->targets[i];
        for (size_t k = 0; t->live && k < t->threads.n; k++) {
            struct watch *w = t->threads.items[k]->watch;
            if (!w || !w->fell_asleep)
                continue;
            w->fell_asleep = false;
            int rc = capture_fallen_asleep(s, w);
            if (rc < 0)
                lose_untaken(s, w, rc);
        }
    }
    s->n_fell_asleep = 0;
}

void ticks_stop_done(void *session, const struct stop *stop)
{
    struct session *s = session;
    struct watch *w = stop->watch;
    struct target *t = follow_target_of(s, w);
    /* It has not run since it was interrupted: the ticks meanwhile found it at the same place. */
    uint64_t hits = s->tick > w->tick ? s->tick - w->tick : 0;
    if (stop->result == STOP_GONE) {
        account_lose(s, LOSS_THREAD_GONE, hits);
        w->tick = s->tick;
        w->threads->links = 0;
        w->thread->gone = true;
        follow_end(s, w);
        return;
    }
    if (stop->result == STOP_UNREADABLE) {
        account_lose(s, LOSS_UNREADABLE, hits);
        w->tick = s->tick;
        return;
    }
    w->tally = stacks_tally(s, t, w, &stop->snapshot, s->stack);
    account_note_walk(s, w);
    sleeper_learn_copy(s, w, &stop->snapshot);
    if (w->perf) /* it was only to be taught: its time is told otherwise */
        return;
    w->syscall = stop->snapshot.syscall;
    w->sampled = true;
    w->run_released = stopper_release_run(stop, &w->run);
    account_hit(s, w, hits);
}

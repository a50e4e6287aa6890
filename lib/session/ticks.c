/* SPDX-License-Identifier: MIT */
#include <asm/unistd.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "capture/asleep.h"
#include "session/state.h"
#include "target/diagnose.h"

/*
 * What a tick does with each thread. Every tick of every thread ends up in exactly one place: a hit
 * of some tally, or a loss with its reason.
 */
enum {
    LOOKS_PER_S = 1500,                   /* at idle threads; 1 % of a CPU, more or less */
    LOOK_GAP_MAX_NS = 1500 * 1000 * 1000, /* between two looks at a thread */
    IDLE_PER_GAP = 8, /* the gap is at most this part of how long it has idled */
    LONG_IDLE = 64,   /* ticks, from which it is */
    IDLE_PER_LONG_GAP = 4,
    CROWD_GAP = 20, /* ticks; where that many are needed to afford the looks, time is short */
    IDLE_PER_CROWD_GAP = 2,
    CAPTURE_TRIES = 3,
    STOP_TRIES = 4,
    NAMES_PER_CHECK = 64,
    NAMES_PER_REPORT = 256,
    LOOKS_PER_COLLECTION = 16,
    EXEC_CHECK_NS = 10 * 1000 * 1000,
    MAPS_CHECK_NS = 1000 * 1000 * 1000,
    POSTPONED_MAX_NS = 100 * 1000 * 1000, /* for the sake of stops */
};

static struct target *target_of(struct session *s, const struct watch *w)
{
    for (size_t i = 0; i < s->n_targets; i++)
        if (&s->targets[i]->process == w->process)
            return s->targets[i];
    return NULL;
}

/* One that does not come (its thread hangs in the kernel) does not stand still either. */
bool ticks_stop_open(const struct session *s)
{
    enum { COMES_WITHIN_NS = 50 * 1000 * 1000 };
    uint64_t since = atomic_load(&s->guardian->page->open_since_ns);
    return s->stopper.n && since && clock_now_ns() - since < COMES_WITHIN_NS;
}

static void lose(struct session *s, enum loss why, uint64_t ticks)
{
    s->profile->lost[why] += ticks;
}

/* It has ended; `owed`: the last tick that it was there for. */
static void lose_rest(struct session *s, struct watch *w, uint64_t owed)
{
    if (w->exited || owed <= w->tick)
        return;
    if (w->perf) /* some of that may be told by what is in its ring */
        perfticks_owe(s, w, owed - w->tick);
    else
        lose(s, LOSS_UNSEEN, owed - w->tick);
    w->tick = owed;
}

static void end_watch(struct session *s, struct watch *w)
{
    if (w->stopping)
        return;
    perfticks_close(s, target_of(s, w), w);
    s->ended_cpu_ns += w->run.run_ns - w->run_first_ns;
    s->n_watches--;
    w->thread->watch = NULL;
    w->thread->gone = true;
    watch_free(w);
}

void ticks_note_quality(struct session *s, const struct watch *w, uint64_t hits)
{
    const struct profile_tally *tally = &s->profile->tallies[w->tally];
    uint32_t leaf = s->profile->nodes[tally->node].frame;
    if (!stacks_counts(s, w->tally))
        return;
    if (s->profile->frames[leaf].space == OX_SPACE(SPACE_SPECIAL, 0) &&
        s->profile->frames[leaf].address <= SPECIAL_NOT_STOPPED) {
        lose(s,
             s->profile->frames[leaf].address == SPECIAL_UNWIND_FAILED ? LOSS_UNWIND
                                                                       : LOSS_NOT_STOPPED,
             hits);
    } else if (w->truncated) {
        s->profile->truncated += hits;
        s->profile->given_up += w->given_up ? hits : 0;
    }
}

static uint64_t ticks_of_ns(const struct session *s, uint64_t ns)
{
    return (ns + s->opt.interval_ns / 2) / s->opt.interval_ns;
}

/*
 * The ticks between the last look and this one, at which nobody looked: `gap` of them.
 * Slept at the same place before and after: it was there, but for the time that it ran meanwhile.
 * Example: looked at in ticks 100 and 108, ran 21 ms of 10 ms ticks, sleeps where it slept: of the
 * 7 ticks between, 2 are lost as unseen, 5 are hits of the place where it slept.
 */
static void settle_gap(struct session *s, struct watch *w, uint64_t gap, uint64_t ran_ns,
                       bool same_place, uint64_t missed)
{
    uint64_t late = gap < missed ? gap : missed;
    if (!gap)
        return;
    if (!same_place) {
        lose(s, LOSS_LATE, late);
        lose(s, LOSS_UNSEEN, gap - late);
        return;
    }
    uint64_t ran = ticks_of_ns(s, ran_ns);
    if (ran > gap)
        ran = gap;
    lose(s, LOSS_UNSEEN, ran);
    stacks_hit(s, w->tally, gap - ran, s->tick - 1);
    ticks_note_quality(s, w, gap - ran);
}

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

/* What the walk was in want of, the next copy holds. False: no more than this one. */
static bool learn_copy(const struct session *s, struct watch *w, const struct snapshot *last)
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
    return first->stack_bytes ? learn_copy(s, w, first) : !t->process.maps_query;
}

/* A sleeper waits for us: its stack can be captured again. */
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

static void hit(struct session *s, struct watch *w, uint64_t hits)
{
    stacks_hit(s, w->tally, hits, s->tick);
    ticks_note_quality(s, w, hits);
    w->tick = s->tick;
}

static void note_end(const struct session *s, struct watch *w)
{
    w->truncated = s->stack->end != STACK_COMPLETE;
    w->given_up = s->stack->end == STACK_TOO_MUCH;
}

static void found_asleep(struct session *s, struct watch *w, uint32_t tally,
                         const struct snapshot *snap, uint64_t gap, uint64_t ran_ns,
                         uint64_t missed)
{
    settle_gap(s, w, gap, ran_ns, w->asleep && tally == w->tally, missed);
    w->tally = tally;
    w->asleep = snap->stack_bytes > 0; /* else the next look tries again */
    w->syscall = snap->syscall;
    note_end(s, w);
    w->idle_ticks = 0;
    w->sampled = true;
    hit(s, w, s->tick - w->tick - gap);
    w->next_look = s->tick + 1;
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

static bool may_stop(const struct session *s, const struct target *t)
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

/* Stops come last in a tick: everything else would keep the thread waiting for its CPU. */
void ticks_ask_stop(struct session *s, struct watch *w)
{
    struct proc_status status;
    if (w->thread->status_fd < 0) /* so that the stop finds it open */
        thread_status(w->threads, w->process, w->thread, &status);
    s->to_stop = mem_grow(s->to_stop, &s->to_stop_cap, s->n_to_stop + 1, sizeof(struct watch *));
    s->to_stop[s->n_to_stop++] = w;
}

static void found_running(struct session *s, struct watch *w)
{
    struct target *t = target_of(s, w);
    w->asleep = false;
    w->next_look = s->tick + 1;
    if (!w->teach && perfticks_take(s, t, w))
        return;
    if (may_stop(s, t)) {
        ticks_ask_stop(s, w); /* its hits come with that */
        return;
    }
    w->tally = stacks_special(s, w, SPECIAL_NOT_STOPPED, PROFILE_CPU);
    w->sampled = true;
    w->syscall = -1;
    hit(s, w, s->tick - w->tick);
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
        return may_stop(s, t) && !s->opt.cpu_only && s->stack->end == STACK_NO_REG &&
               s->stack->teachable;
    default:
        return false;
    }
}

static void lose_untaken(struct session *s, struct watch *w, int rc)
{
    bool gone = rc == -ESRCH || rc == -ENODATA;
    bool busy = rc == -EBUSY || rc == -EAGAIN;
    bool denied = rc == -EACCES;
    lose(s,
         gone           ? LOSS_THREAD_GONE
         : busy         ? LOSS_NO_STOP
         : denied       ? LOSS_REFUSED
         : rc == -EPERM ? LOSS_TRACED
                        : LOSS_UNREADABLE,
         s->tick - w->tick);
    w->tick = s->tick;
    if (rc == -EPERM)
        say_traced(s, target_of(s, w), w);
}

/* It has fallen asleep before it could be stopped. -EAGAIN: it runs again, or is to be stopped for
 * its registers. */
static int capture_fallen_asleep(struct session *s, struct watch *w)
{
    struct snapshot snap;
    uint32_t tally;
    struct target *t = target_of(s, w);
    int rc = ticks_capture_asleep(s, t, w, &tally, &snap);
    w->teach = rc == 0 && ticks_may_be_taught(s, t, &snap);
    if (rc < 0 || w->teach)
        return rc == -EBUSY || w->teach ? -EAGAIN : rc;
    found_asleep(s, w, tally, &snap, 0, 0, 0);
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
        found_asleep(s, w, tally, &snap, gap, ran_ns, missed);
        return;
    }
    settle_gap(s, w, gap, ran_ns, false, missed);
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
        lose(s, rc == -ESRCH ? LOSS_THREAD_GONE : LOSS_UNREADABLE, s->tick - w->tick);
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
        end_watch(s, w);
    }
}

static void look(struct session *s, struct target *t, struct watch *w, uint64_t missed)
{
    struct proc_run run;
    int rc = thread_run(&t->threads, &t->process, w->thread, &run);
    if (rc == -ESRCH) {
        lose_rest(s, w, s->tick - 1);
        end_watch(s, w);
        return;
    }
    if (rc < 0) {
        lose(s, LOSS_UNREADABLE, s->tick - w->tick);
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
        hit(s, w, s->tick - w->tick);
        ticks_plan_next_look(s, w);
        return;
    }
    if (w->run_released && run.switches_in + 1 >= w->run_released &&
        run.switches_in <= w->run_released) {
        hit(s, w, s->tick - w->tick); /* it still waits for a CPU, where its last stop showed it */
        w->next_look = s->tick + 1;
        return;
    }
    w->run_released = 0;
    capture(s, t, w, ran_ns, missed);
}

static void begin_watch(struct session *s, struct target *t, struct thread *th)
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

static void check_program(struct session *s, struct target *t, uint64_t now)
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

/* `owed`: the last tick that they were there for. */
static void end_gone(struct session *s, struct target *t, uint64_t owed)
{
    bool any = false;
    for (size_t i = 0; i < t->threads.n; i++) {
        struct thread *th = t->threads.items[i];
        if (!th->gone)
            continue;
        any = true;
        if (th->watch && !th->watch->stopping) {
            lose_rest(s, th->watch, owed);
            end_watch(s, th->watch);
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
    end_gone(s, t, owed);
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

static void tick_target(struct session *s, struct target *t, uint64_t now, uint64_t missed)
{
    if (!process_alive(&t->process)) {
        ticks_end_target(s, t, s->tick - 1);
        return;
    }
    /* Nobody is to stand still for so long. But where CPUs are short some stop is always open. */
    if (!ticks_stop_open(s) || now - t->exec_checked_ns >= POSTPONED_MAX_NS) {
        check_program(s, t, now);
        interpreter_look(s, t, now);
    }
    int rc = threads_rescan(&t->threads, &t->process);
    if (rc < 0)
        return;
    if (rc > 0) {
        end_gone(s, t, s->tick - 1);
        for (size_t i = 0; i < t->threads.n; i++)
            if (!t->threads.items[i]->gone && !t->threads.items[i]->watch)
                begin_watch(s, t, t->threads.items[i]);
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
            look(s, t, w, missed);
    }
}

static int by_cpu(const void *a, const void *b)
{
    const struct watch *const *left = a, *const *right = b;
    return ((*left)->cpu > (*right)->cpu) - ((*left)->cpu < (*right)->cpu);
}

/* One visit to each CPU serves all threads there. */
static void stop_all(struct session *s)
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
    stop_all(s);
    if (!s->stopper.n)
        ticks_capture_sleepers(s);
}

void ticks_stop_done(void *session, const struct stop *stop)
{
    struct session *s = session;
    struct watch *w = stop->watch;
    struct target *t = target_of(s, w);
    /* It has not run since it was interrupted: the ticks meanwhile found it at the same place. */
    uint64_t hits = s->tick > w->tick ? s->tick - w->tick : 0;
    if (stop->result == STOP_GONE) {
        lose(s, LOSS_THREAD_GONE, hits);
        w->tick = s->tick;
        w->threads->links = 0;
        w->thread->gone = true;
        end_watch(s, w);
        return;
    }
    if (stop->result == STOP_UNREADABLE) {
        lose(s, LOSS_UNREADABLE, hits);
        w->tick = s->tick;
        return;
    }
    w->tally = stacks_tally(s, t, w, &stop->snapshot, s->stack);
    note_end(s, w);
    learn_copy(s, w, &stop->snapshot);
    if (w->perf) /* it was only to be taught: its time is told otherwise */
        return;
    w->syscall = stop->snapshot.syscall;
    w->sampled = true;
    w->run_released = stopper_release_run(stop, &w->run);
    hit(s, w, hits);
}

static void settle_watch(struct session *s, struct target *t, struct watch *w)
{
    struct proc_run run;
    uint64_t open = s->tick - w->tick;
    if (w->perf) {
        perfticks_settle(s, t, w);
        return;
    }
    if (!open || w->stopping || w->exited)
        return;
    int rc = thread_run(&t->threads, &t->process, w->thread, &run);
    if (rc == 0 && w->asleep && run.switches_in == w->run.switches_in) {
        hit(s, w, open);
    } else {
        lose(s, LOSS_UNSEEN, open);
        w->asleep = false;
    }
    w->tick = s->tick;
}

void ticks_renew_names(struct session *s)
{
    for (size_t i = 0; i < s->n_targets; i++)
        if (s->targets[i]->live)
            renew_names(s, s->targets[i], NAMES_PER_REPORT);
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

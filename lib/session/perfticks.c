/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "capture/asleep.h"
#include "capture/perf.h"
#include "session/state.h"

/*
 * Threads that the kernel samples. How long one ran, and waited for a CPU, schedstat says to the
 * nanosecond; the rest of the time it slept. The kernel's samples say where it ran: each is told
 * when schedstat has an interval of running time for it. What is less than an interval stays open
 * until more comes, so that the three add up to the wall clock.
 *
 * Example, intervals of 1 ms: in ten of them a thread ran 3.2 ms and waited 0.9 ms for a CPU. Three
 * samples came: three hits on CPU. Of the 7 ms that are open 0.2 belong to the next sample, 0.9
 * are no tick yet: five hits where it sleeps, and 1.9 ms stay open.
 *
 * Samples and schedstat go by different clocks. Perf's counts some of each switch from thread to
 * thread as running, which schedstat does not: 6 us on Linux 6.18 in a virtual machine, 1 % of a
 * thread that is preempted 1,000 times a second. And schedstat is late by up to a timer tick for a
 * thread that runs. So samples wait in a queue for their time; more than that lateness explains are
 * too many, and the oldest is dropped: its time has been told by another.
 */
enum {
    RECORDS_PER_DRAIN = 4096,
    IDLE_NS = 2 * 1000 * 1000 * 1000, /* after that a ring is given back, if there are many */
    RINGS_KEPT = 64,
    RINGS_AT_ONCE = 16,
    RAN_PART = 16,    /* of an interval, since its last look */
    FDS_PER_RING = 8, /* one of so many descriptors may be a ring's */
    RETRY_S = 1,
    QUEUE_MORE = 4, /* beyond those of TOLD_LATE_NS */
    CUT_MAX = 4,    /* stacks deeper than the largest dump, before a thread is stopped instead */
    JUDGED = 64,    /* samples, after which it is */
    PART = 16,
    TOLD_LATE_NS = 50 * 1000 * 1000, /* schedstat counts at the system's tick, and at switches */
};

/* A sample that waits for its time. */
struct perf_hit {
    uint32_t tally, hits;
    bool truncated;
    enum loss lost; /* LOSS_N: it has a stack */
};

struct perf_queue {
    size_t first, n, cap; /* first: the oldest */
    struct perf_hit items[];
};

static void lose(struct session *s, enum loss why, uint64_t ticks)
{
    s->profile->lost[why] += ticks;
}

bool perfticks_wanted(const struct session *s, const struct target *t)
{
    bool on = s->opt.capture != CAPTURE_STOP && !s->opt.no_perf && !s->perf_refused;
    return on && (!t->python || s->opt.view == VIEW_NATIVE);
}

/* How many samples a ring holds: the first ones are the larger. Powers of two. */
static size_t ring_dumps(const struct session *s)
{
    enum { FEW = 8, SOME = 32 };
    return s->n_rings < FEW ? 64 : s->n_rings < SOME ? 16 : 4;
}

/* Where memory may not be locked for a ring, a smaller one may do. */
static int open_some(struct session *s, struct watch *w, struct perf_ring *ring)
{
    uint64_t interval_ns = s->stands * s->opt.interval_ns;
    uint64_t first_ns = clock_random_next(&s->random) % interval_ns + 1;
    size_t bytes = 4096, dumps = ring_dumps(s);
    int rc = -EPERM;
    while (bytes < w->perf_dump_bytes)
        bytes *= 2;
    for (; rc == -EPERM && dumps > 1; dumps /= 4)
        rc = perf_open(ring, w->thread->tid, interval_ns, first_ns, w->perf_dump_bytes,
                       bytes * dumps);
    return rc;
}

static struct perf_queue *queue_new(const struct session *s)
{
    size_t cap = QUEUE_MORE + TOLD_LATE_NS / s->opt.interval_ns;
    struct perf_queue *q = mem_alloc(sizeof(*q) + cap * sizeof(*q->items));
    *q = (struct perf_queue){.cap = cap};
    return q;
}

static bool open_ring(struct session *s, struct watch *w)
{
    if (s->n_rings >= s->fds.all / FDS_PER_RING)
        return false;
    if (!w->perf_dump_bytes)
        w->perf_dump_bytes = PERF_DUMP_FIRST_BYTES;
    struct perf_ring *ring = mem_alloc(sizeof(*ring));
    int rc = open_some(s, w, ring);
    if (rc < 0) {
        s->perf_refused_some |= rc == -EACCES || rc == -EPERM;
        free(ring);
        return false;
    }
    if (!w->perf_queue)
        w->perf_queue = queue_new(s);
    w->perf = ring;
    s->n_rings++;
    return true;
}

static void close_ring(struct session *s, struct watch *w)
{
    perf_close(w->perf);
    free(w->perf);
    free(w->perf_queue);
    w->perf = NULL;
    w->perf_queue = NULL;
    s->n_rings--;
}

/* Hits of a stack that is not, or not for long, the one that the thread is known to be at. */
static void count(struct session *s, struct watch *w, uint32_t tally, bool truncated, uint64_t hits)
{
    uint32_t tally_before = w->tally;
    bool truncated_before = w->truncated, given_up_before = w->given_up;
    w->tally = tally;
    w->truncated = truncated;
    w->given_up = false;
    w->sampled = true;
    stacks_hit(s, tally, hits, s->tick);
    ticks_note_quality(s, w, hits);
    if (w->asleep) {
        w->tally = tally_before;
        w->truncated = truncated_before;
        w->given_up = given_up_before;
    }
}

/* That many ticks are told for; `part`: of which kind of time. */
static void close_ticks(const struct session *s, struct watch *w, int64_t *part, uint64_t ticks)
{
    int64_t ns = (int64_t)(ticks * s->opt.interval_ns);
    w->open.wall_ns -= ns;
    if (part)
        *part -= ns;
}

/*
 * Whether stops would show more of this thread: its stacks are deeper than the kernel copies, or
 * two (a handler's, and the one that it interrupted), or much of its time is spent in the kernel,
 * where we may not sample it.
 */
static bool is_unsuited(const struct session *s, const struct watch *w)
{
    uint32_t samples = w->perf_quality.samples, in_kernel = w->perf_quality.in_kernel;
    return s->opt.capture == CAPTURE_AUTO &&
           ((w->perf_quality.cut >= CUT_MAX && w->perf_quality.cut * PART > samples) ||
            (samples + in_kernel >= JUDGED && in_kernel * PART > samples));
}

static void tell_oldest(struct session *s, struct watch *w)
{
    struct perf_queue *q = w->perf_queue;
    const struct perf_hit *hit = &q->items[q->first];
    q->first = (q->first + 1) % q->cap;
    q->n--;
    if (hit->lost != LOSS_N)
        lose(s, hit->lost, hit->hits);
    else
        count(s, w, hit->tally, hit->truncated, hit->hits);
    close_ticks(s, w, &w->open.cpu_ns, hit->hits);
}

/* Those that schedstat has the time for. The next one may come before its interval is full, as the
 * first of a thread does: threads that end sooner than that are then met as often as they should.
 */
static void tell_due(struct session *s, struct watch *w)
{
    while (w->perf_queue->n && w->open.cpu_ns >= 0)
        tell_oldest(s, w);
}

/* At the end schedstat may still be behind: the wall clock is not. */
static void tell_rest(struct session *s, struct watch *w)
{
    int64_t least = (int64_t)w->perf->interval_ns;
    while (w->perf_queue->n &&
           w->open.wall_ns - (w->open.ready_ns > 0 ? w->open.ready_ns : 0) >= least)
        tell_oldest(s, w);
}

static void enqueue(struct session *s, struct watch *w, const struct perf_hit *hit)
{
    struct perf_queue *q = w->perf_queue;
    if (q->n == q->cap) {
        q->first = (q->first + 1) % q->cap;
        q->n--;
    }
    struct perf_hit *last = &q->items[(q->first + q->n++) % q->cap];
    *last = *hit;
    last->hits = (uint32_t)(w->perf->interval_ns / s->opt.interval_ns);
    tell_due(s, w);
}

static void want_more(struct watch *w, const struct snapshot *snap, uint64_t more)
{
    w->perf_quality.cut += w->perf->dump_bytes >= PERF_DUMP_MAX_BYTES;
    uint64_t want = snap->stack_bytes + more + snap->stack_bytes / 2;
    want = (want + 4095) & ~4095ull;
    if (more > PERF_DUMP_MAX_BYTES || want > PERF_DUMP_MAX_BYTES)
        want = PERF_DUMP_MAX_BYTES;
    if (want > w->perf_dump_bytes)
        w->perf_dump_bytes = (size_t)want;
}

static void take_sample(struct session *s, struct target *t, struct watch *w, struct snapshot *snap)
{
    snap->state = STATE_CPU;
    uint32_t tally = stacks_tally(s, t, w, snap, s->stack);
    if (s->stack->end == STACK_CUT)
        want_more(w, snap, s->stack->cut_bytes);
    w->perf_quality.cut += s->stack->end == STACK_ELSEWHERE;
    if (!w->asleep)
        w->syscall = -1;
    s->perf_samples++;
    w->perf_quality.samples++;
    enqueue(s, w,
            &(struct perf_hit){
                .tally = tally, .truncated = s->stack->end != STACK_COMPLETE, .lost = LOSS_N});
}

static void take_record(struct session *s, struct target *t, struct watch *w,
                        struct perf_record *record)
{
    /* Its number may have become another process's just before the ring was opened. */
    bool ours = record->snapshot.tid == w->thread->tid && record->snapshot.pid == w->process->pid;
    switch (record->kind) {
    case PERF_SAMPLED:
        if (t && ours && t->exec_checked_ns)
            take_sample(s, t, w, &record->snapshot);
        else
            enqueue(s, w, &(struct perf_hit){.lost = LOSS_UNSEEN});
        break;
    case PERF_NO_REGS:
        enqueue(s, w, &(struct perf_hit){.lost = LOSS_UNREADABLE});
        break;
    case PERF_EXECED: /* what follows is of the new program, which the next tick looks for */
        if (t)
            t->exec_checked_ns = 0;
        break;
    default: /* PERF_LOST: close_running_time() sees the time */
        break;
    }
}

static void drain(struct session *s, struct target *t, struct watch *w)
{
    struct perf_record record;
    if (perf_is_full(w->perf))
        w->perf_full = s->tick;
    for (int i = 0; i < RECORDS_PER_DRAIN; i++) {
        if (perf_next(w->perf, s->buf, &record) == PERF_NOTHING)
            break;
        take_record(s, t, w, &record);
    }
}

/* After an exec by another thread the counters are that thread's: running time that can't be is
 * none. */
static int64_t grown(const struct session *s, uint64_t before_ns, uint64_t now_ns,
                     uint64_t elapsed_ns)
{
    uint64_t most = elapsed_ns + s->opt.interval_ns + TOLD_LATE_NS;
    return now_ns > before_ns && now_ns - before_ns <= most ? (int64_t)(now_ns - before_ns) : 0;
}

/* The time up to now, where schedstat says `run`. */
static void advance(struct session *s, struct watch *w, const struct proc_run *run)
{
    struct open_time *o = &w->open;
    uint64_t now = s->finished ? s->ended_ns : clock_now_ns();
    uint64_t elapsed = now > o->at_ns ? now - o->at_ns : 0;
    o->at_ns += elapsed;
    o->wall_ns += (int64_t)elapsed;
    o->cpu_ns += grown(s, o->run.run_ns, run->run_ns, elapsed);
    if (run->delay_ns > o->run.delay_ns)
        o->ready_ns += (int64_t)(run->delay_ns - o->run.delay_ns);
    /* A wait is told of when it ends, and may have begun before us. */
    int64_t most = o->wall_ns - o->cpu_ns + (int64_t)s->opt.interval_ns;
    if (o->ready_ns > most)
        o->ready_ns = most > 0 ? most : 0;
    o->run = *run;
    tell_due(s, w);
}

static uint64_t whole_ticks(const struct session *s, int64_t ns)
{
    return ns > 0 ? (uint64_t)ns / s->opt.interval_ns : 0;
}

/* How many ticks it slept and has no hit for. */
static uint64_t ticks_asleep(const struct session *s, const struct watch *w)
{
    const struct open_time *o = &w->open;
    return whole_ticks(s, o->wall_ns - (o->cpu_ns > 0 ? o->cpu_ns : 0) -
                              (o->ready_ns > 0 ? o->ready_ns : 0));
}

/* Samples found no room in its ring of late. */
static bool has_overflown(const struct session *s, const struct watch *w)
{
    return w->perf_full && s->tick - w->perf_full <= 1 + TOLD_LATE_NS / s->opt.interval_ns;
}

/* After its ring was drained: it ran, and there is no sample; and the time it waited for a CPU. */
static void close_running_time(struct session *s, struct watch *w)
{
    int64_t half = (int64_t)s->opt.interval_ns / 2, due = (int64_t)w->perf->due_ns;
    uint64_t missing = whole_ticks(s, w->open.cpu_ns - due + half), ready;
    if (missing && (w->perf->in_kernel || has_overflown(s, w)))
        lose(s, LOSS_PERF, missing);
    else if (missing && (w->perf_quality.in_kernel += (uint32_t)missing))
        count(s, w, stacks_special(s, w, SPECIAL_IN_KERNEL, PROFILE_CPU), false, missing);
    close_ticks(s, w, &w->open.cpu_ns, missing);
    if (missing) /* what its first sample disabled may have been so only after make_steady() */
        perf_hold(w->perf, false);
    ready = whole_ticks(s, w->open.ready_ns);
    if (ready)
        count(s, w, stacks_special(s, w, SPECIAL_WAITING_FOR_CPU, PROFILE_WAIT), false, ready);
    close_ticks(s, w, &w->open.ready_ns, ready);
}

static void hit_asleep(struct session *s, struct watch *w, uint64_t ticks)
{
    stacks_hit(s, w->tally, ticks, s->tick);
    ticks_note_quality(s, w, ticks);
    close_ticks(s, w, NULL, ticks);
}

/* As often as looks are now; and deeper stacks than the ring's samples hold. Between the two rings
 * nothing is missed but a part of an interval. */
static void follow(struct session *s, struct watch *w)
{
    if (w->perf->interval_ns != s->stands * s->opt.interval_ns)
        perf_set_interval(w->perf, s->stands * s->opt.interval_ns);
    if (w->perf->dump_bytes >= w->perf_dump_bytes)
        return;
    struct perf_ring *narrow = w->perf;
    if (open_ring(s, w)) {
        perf_close(narrow);
        free(narrow);
        s->n_rings--;
    } else {
        w->perf_dump_bytes = narrow->dump_bytes;
    }
}

/* Until it becomes another program. */
static bool dismiss(struct session *s, struct target *t, struct watch *w)
{
    if (!is_unsuited(s, w))
        return false;
    perfticks_close(s, t, w);
    w->perf_retry = UINT64_MAX;
    return true;
}

/* A few get theirs at once; where threads are many, those that compute. */
static bool needs_ring(const struct session *s, struct watch *w, const struct proc_run *run)
{
    struct proc_where where;
    return s->n_rings < RINGS_AT_ONCE ||
           run->run_ns - w->run.run_ns >= s->opt.interval_ns / RAN_PART ||
           (thread_where(w->threads, w->process, w->thread, &where) == 0 && where.running);
}

static void begin_account(struct watch *w, const struct proc_run *run)
{
    w->open = (struct open_time){.run = *run, .at_ns = clock_now_ns()};
}

bool perfticks_have(struct session *s, struct target *t, struct watch *w,
                    const struct proc_run *run)
{
    bool wanted = perfticks_wanted(s, t);
    if (w->perf && !wanted)
        perfticks_close(s, t, w);
    if (w->perf || !wanted)
        return w->perf;
    if (s->tick < w->perf_retry || !needs_ring(s, w, run))
        return false;
    if (!open_ring(s, w)) {
        w->perf_retry = s->tick + RETRY_S * OX_NS_PER_S / s->opt.interval_ns + 1;
        return false;
    }
    begin_account(w, run);
    /* What it ran before it had a ring */
    uint64_t before_ns = (s->tick - w->tick) * s->opt.interval_ns;
    w->open.wall_ns = (int64_t)before_ns;
    uint64_t ran = whole_ticks(s, grown(s, w->run.run_ns, run->run_ns, before_ns));
    lose(s, LOSS_UNSEEN, ran);
    close_ticks(s, w, NULL, ran);
    return true;
}

bool perfticks_take(struct session *s, struct target *t, struct watch *w)
{
    if (!perfticks_wanted(s, t) || w->perf || s->tick < w->perf_retry || !open_ring(s, w))
        return false;
    begin_account(w, &w->run);
    lose(s, LOSS_UNSEEN, s->tick - w->tick);
    w->tick = s->tick;
    return true;
}

static void found_awake(struct session *s, struct watch *w)
{
    w->asleep = false;
    w->idle_ticks = 0;
    w->next_look = s->tick + 1;
}

/* `gap`: ticks at which nobody looked. */
static void found_asleep(struct session *s, struct target *t, struct watch *w, uint32_t tally,
                         int64_t syscall, uint64_t gap)
{
    bool same_place = w->asleep && tally == w->tally;
    w->tally = tally;
    w->truncated = s->stack->end != STACK_COMPLETE;
    w->given_up = s->stack->end == STACK_TOO_MUCH;
    w->asleep = true;
    w->sampled = true;
    w->syscall = syscall;
    w->idle_ticks = 0;
    w->next_look = s->tick + 1;
    advance(s, w, &w->run);
    drain(s, t, w);
    close_running_time(s, w);
    uint64_t ticks = ticks_asleep(s, w), elsewhere = 0;
    if (gap && !same_place && ticks > 1)
        elsewhere = ticks - 1 < gap ? ticks - 1 : gap;
    lose(s, LOSS_UNSEEN, elsewhere);
    close_ticks(s, w, NULL, elsewhere);
    hit_asleep(s, w, ticks - elsewhere);
}

static void keep_asleep(struct session *s, struct target *t, struct watch *w, uint64_t ticks)
{
    w->idle_ticks += ticks;
    hit_asleep(s, w, ticks_asleep(s, w));
    if (s->n_rings > RINGS_KEPT && w->idle_ticks > IDLE_NS / s->opt.interval_ns)
        perfticks_close(s, t, w);
    ticks_plan_next_look(s, w);
}

int perfticks_look(struct session *s, struct target *t, struct watch *w, const struct proc_run *run,
                   bool ran)
{
    uint64_t ticks = s->tick - w->tick;
    struct snapshot snap;
    uint32_t tally;
    w->run = *run;
    w->tick = s->tick;
    advance(s, w, run);
    if (w->asleep && !ran) {
        keep_asleep(s, t, w, ticks);
        return 0;
    }
    drain(s, t, w);
    follow(s, w);
    close_running_time(s, w);
    if (dismiss(s, t, w)) {
        found_awake(s, w);
        return 0;
    }
    if (!ticks_asleep(s, w)) {
        found_awake(s, w);
        return 0;
    }
    int rc = ticks_capture_asleep(s, t, w, &tally, &snap);
    w->teach = rc == 0 && ticks_may_be_taught(s, t, &snap);
    if (rc == 0 && snap.stack_bytes && !w->teach)
        found_asleep(s, t, w, tally, snap.syscall, ticks - 1);
    else
        found_awake(s, w);
    if (w->teach) /* the next look sees where it sleeps */
        ticks_ask_stop(s, w);
    return rc == -ESRCH || rc == -ENODATA ? rc : 0;
}

/* Nobody can say any more where it was. */
static void lose_open(struct session *s, struct watch *w)
{
    uint64_t open = whole_ticks(s, w->open.wall_ns);
    lose(s, LOSS_UNSEEN, open);
    close_ticks(s, w, NULL, open);
}

void perfticks_settle(struct session *s, struct target *t, struct watch *w)
{
    struct proc_run run;
    if (w->exited || thread_run(w->threads, w->process, w->thread, &run) < 0)
        return;
    bool slept = w->asleep && run.switches_in == w->run.switches_in;
    w->run = run;
    w->tick = s->tick;
    advance(s, w, &run);
    drain(s, t, w);
    close_running_time(s, w);
    if (slept)
        hit_asleep(s, w, ticks_asleep(s, w));
    w->asleep = slept;
    if (!s->finished || slept)
        return; /* what is open stays so */
    tell_rest(s, w);
    lose_open(s, w);
}

void perfticks_owe(const struct session *s, struct watch *w, uint64_t ticks)
{
    w->open.wall_ns += (int64_t)(ticks * s->opt.interval_ns);
}

void perfticks_close(struct session *s, struct target *t, struct watch *w)
{
    if (!w->perf)
        return;
    if (t) {
        drain(s, t, w);
        tell_rest(s, w);
    }
    lose_open(s, w);
    w->open = (struct open_time){0};
    close_ring(s, w);
}

void perfticks_resume(struct session *s, struct watch *w)
{
    struct perf_record record;
    if (w->perf && w->perf->interval_ns != s->stands * s->opt.interval_ns) {
        w->open = (struct open_time){0};
        perfticks_close(s, NULL, w);
    }
    if (!w->perf)
        return;
    for (int i = 0; i < RECORDS_PER_DRAIN; i++)
        if (perf_next(w->perf, s->buf, &record) == PERF_NOTHING)
            break;
    lose_open(s, w);
    w->perf_queue->n = 0;
    w->open = (struct open_time){.at_ns = clock_now_ns()};
    if (thread_run(w->threads, w->process, w->thread, &w->open.run) == 0)
        w->run = w->open.run;
    w->asleep = false;
    perf_hold(w->perf, s->paused);
}

static void halt(struct session *s, struct target *t, struct watch *w)
{
    bool told = w->exited || w->tick == s->tick;
    if (!s->finished) {
        perf_hold(w->perf, true);
        return;
    }
    if (told && !s->paused)
        w->open = (struct open_time){0};
    perfticks_close(s, told ? NULL : t, w);
}

void perfticks_halt(struct session *s)
{
    for (size_t i = 0; i < s->n_targets; i++) {
        struct target *t = s->targets[i];
        for (size_t k = 0; t->live && k < t->threads.n; k++) {
            struct watch *w = t->threads.items[k]->watch;
            if (w && w->perf)
                halt(s, t, w);
        }
    }
}

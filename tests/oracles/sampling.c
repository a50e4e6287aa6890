/* SPDX-License-Identifier: MIT */
#include "sampling.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/clock.h"
#include "base/mem.h"
#include "capture/asleep.h"

enum {
    COPY_BYTES = 256 * 1024,
    TICK_NS = 1000 * 1000,
    STOPS_WAIT_NS = 20 * 1000 * 1000,
    PROCESSES_MAX = 64,
    CHECK_TICKS = 50, /* the session compares mappings once a second */
};

int sampling_init(struct sampling *s)
{
    sigset_t chld;
    *s = (struct sampling){.random = clock_random_seed()};
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_BLOCK, &chld, NULL);
    int rc = guardian_start(&s->guardian);
    if (rc < 0)
        return rc;
    prctl(PR_SET_TIMERSLACK, 1);
    stopper_init(&s->stopper, &s->guardian);
    fd_budget_init(&s->fds);
    s->buf = mem_alloc(SNAPSHOT_STACK_MAX_BYTES);
    s->processes = mem_alloc(PROCESSES_MAX * sizeof(*s->processes)); /* watches point into it */
    return 0;
}

int sampling_add(struct sampling *s, pid_t pid, struct error *err)
{
    if (s->n == PROCESSES_MAX)
        return error_set(err, -E2BIG, "too many processes");
    struct sampled *p = &s->processes[s->n];
    int rc = living_open(&p->living, pid, err);
    if (rc < 0)
        return rc;
    threads_init(&p->threads, &s->fds);
    s->n++;
    return 0;
}

void sampling_release(struct sampling *s)
{
    stopper_release(&s->stopper);
    for (size_t i = 0; i < s->n; i++) {
        for (size_t k = 0; k < s->processes[i].threads.n; k++)
            free(s->processes[i].threads.items[k]->watch);
        threads_release(&s->processes[i].threads);
        living_close(&s->processes[i].living);
    }
    guardian_end(&s->guardian);
    free(s->processes);
    free(s->buf);
    free(s->queue);
    free(s->queue_of);
}

static struct sampled *process_of(struct sampling *s, const struct watch *w)
{
    for (size_t i = 0; i < s->n; i++)
        if (&s->processes[i].living.process == w->process)
            return &s->processes[i];
    return NULL;
}

static void enqueue(struct sampling *s, struct sampled *p, const struct snapshot *snap)
{
    uint8_t *copy = mem_alloc(snap->stack_bytes);
    memcpy(copy, snap->stack, snap->stack_bytes);
    s->queue = mem_grow(s->queue, &s->cap_queue, s->n_queue + 1, sizeof(*s->queue));
    s->queue_of = mem_grow(s->queue_of, &s->cap_queue_of, s->n_queue + 1, sizeof(*s->queue_of));
    s->queue_of[s->n_queue] = p;
    s->queue[s->n_queue] = *snap;
    s->queue[s->n_queue++].stack = copy;
}

static void stop_done(void *arg, const struct stop *stop)
{
    struct sampling *s = arg;
    stop->watch->stopping = false;
    stop->watch->teach = false;
    if (stop->result == STOP_TAKEN && stop->snapshot.stack_bytes)
        enqueue(s, process_of(s, stop->watch), &stop->snapshot);
}

static struct watch *watch_of(struct sampled *p, struct thread *th)
{
    if (!th->watch) {
        th->watch = mem_alloc(sizeof(*th->watch));
        *th->watch = (struct watch){.process = &p->living.process,
                                    .threads = &p->threads,
                                    .thread = th,
                                    .copy_bytes = COPY_BYTES};
    }
    return th->watch;
}

/* True where it is to be stopped. */
static bool look(struct sampling *s, struct sampled *p, struct watch *w)
{
    struct snapshot snap;
    struct proc_run run;
    if (w->stopping || thread_run(&p->threads, &p->living.process, w->thread, &run) < 0)
        return false;
    bool ran = run.switches_in != w->run.switches_in || run.run_ns != w->run.run_ns;
    w->run = run;
    if (w->teach)
        return true;
    if (!ran && w->asleep)
        return false;
    int rc = asleep_capture(w, s->buf, &snap);
    w->asleep = rc == 0;
    if (rc == 0 && snap.stack_bytes)
        enqueue(s, p, &snap);
    return rc == -EAGAIN || rc == -EBUSY;
}

static void look_at_all(struct sampling *s, struct sampled *p)
{
    for (size_t i = 0; i < p->threads.n; i++) {
        struct thread *th = p->threads.items[i];
        if (th->gone || !look(s, p, watch_of(p, th)))
            continue;
        th->watch->asleep = false;
        stopper_start(&s->stopper, th->watch, s->tick);
    }
}

static bool await_signal(uint64_t until_ns)
{
    sigset_t chld;
    uint64_t now = clock_now_ns();
    struct timespec wait = clock_timespec(until_ns > now ? until_ns - now : 0);
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    return sigtimedwait(&chld, NULL, &wait) == SIGCHLD;
}

static void collect(struct sampling *s)
{
    uint64_t end = clock_now_ns() + STOPS_WAIT_NS;
    stopper_await(&s->stopper);
    do {
        stopper_collect(&s->stopper, stop_done, s);
    } while ((s->stopper.n || s->stopper.n_ended) && (await_signal(end), clock_now_ns() < end));
    stopper_expire(&s->stopper, stop_done, s);
}

static void hand_over(struct sampling *s,
                      void (*take)(void *arg, struct sampled *p, const struct snapshot *snap,
                                   bool *teach),
                      void *arg)
{
    for (size_t i = 0; i < s->n_queue; i++) {
        const struct snapshot *snap = &s->queue[i];
        bool teach = false;
        take(arg, s->queue_of[i], snap, &teach);
        uint64_t *th = map_find(&s->queue_of[i]->threads.by_tid, (uint64_t)snap->tid, 0);
        if (teach && th)
            watch_of(s->queue_of[i], (struct thread *)(uintptr_t)*th)->teach = true;
        free((void *)(uintptr_t)snap->stack);
    }
    s->n_queue = 0;
}

bool sampling_tick(struct sampling *s,
                   void (*take)(void *arg, struct sampled *p, const struct snapshot *snap,
                                bool *teach),
                   void *arg)
{
    bool lives = false;
    await_signal(clock_now_ns() + TICK_NS / 2 + clock_random_next(&s->random) % TICK_NS);
    s->tick++;
    for (size_t i = 0; i < s->n; i++) {
        if (threads_rescan(&s->processes[i].threads, &s->processes[i].living.process) == -ESRCH)
            continue;
        lives = true;
        if (s->tick % CHECK_TICKS == 0)
            living_check(&s->processes[i].living);
        look_at_all(s, &s->processes[i]);
    }
    collect(s);
    /* What take() does may be long: not while a thread stands still for us, or is about to. */
    if (!s->stopper.n)
        hand_over(s, take, arg);
    return lives;
}

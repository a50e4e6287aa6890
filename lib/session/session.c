/* SPDX-License-Identifier: MIT */
#include "session/session.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "capture/perf.h"
#include "session/state.h"

enum {
    WAKE_MAX_NS = 100 * 1000 * 1000, /* an end, or a silent stop, is noticed at least this often */
    DRAIN_NS = 500 * 1000 * 1000,    /* how long the end waits for stops under way */
    TARGETS_MAX = 65536,             /* ended ones included */
};

struct session *session_new(const struct session_options *opt, struct guardian *guardian)
{
    struct session *s = mem_alloc(sizeof(*s));
    struct namer_options names = {.symbols = {.demangle = opt->demangle,
                                              .debuginfod = opt->debuginfod,
                                              .open_in_target = naming_open_in_target,
                                              .open_arg = s},
                                  .kept_fd = naming_kept_fd,
                                  .kept_arg = s};
    s->opt = *opt;
    s->guardian = guardian;
    s->profile = profile_new(NULL);
    s->profile->interval_ns = opt->interval_ns;
    s->profile->cpu_only = opt->cpu_only;
    if (opt->keep_time)
        profile_keep_time(s->profile);
    s->profile->mode = intern_put(s->profile->strings, opt->cpu_only ? "CPU" : "wall clock");
    s->namer = namer_new(&names, &s->modules);
    s->functions = unwinder_new();
    s->stack = mem_alloc(sizeof(*s->stack));
    s->frames = mem_alloc(STACK_FRAMES_MAX * sizeof(*s->frames));
    s->python_work = pystacks_new();
    python_names_init(&s->python_names);
    /* pages are used only as stacks need them */
    s->buf = mmap(NULL, SNAPSHOT_BUF_BYTES, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s->buf == MAP_FAILED)
        die("out of memory");
    s->random = clock_random_seed();
    s->stands = s->group = 1;
    s->paused = opt->start_paused;
    s->own_pid = getpid();
    s->own_cpu_start_ns = clock_own_cpu_ns();
    stopper_init(&s->stopper, guardian);
    fd_budget_init(&s->fds);
    return s;
}

static void free_target(struct session *s, struct target *t)
{
    interpreter_forget(t);
    for (size_t i = 0; t->live && i < t->threads.n; i++) {
        if (t->threads.items[i]->watch)
            perfticks_close(s, NULL, t->threads.items[i]->watch);
        watch_free(t->threads.items[i]->watch);
    }
    if (t->live) {
        threads_release(&t->threads);
        process_close(&t->process);
        unwinder_free(t->unwinder);
    }
    perfmap_free(t->perfmap);
    map_release(&t->wanted);
    free(t);
}

void session_free(struct session *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_targets; i++)
        free_target(s, s->targets[i]);
    for (size_t i = 0; i < s->n_kept; i++) {
        free((void *)(uintptr_t)s->kept[i].snapshot.stack);
        free(s->kept[i].wait);
        snapfile_free_shown(s->kept[i].shown, s->kept[i].n_shown);
    }
    for (size_t i = 0; i < s->n_warnings; i++)
        free(s->warnings[i]);
    free(s->kept);
    free(s->targets);
    free(s->stack);
    free(s->frames);
    free(s->python_work);
    interpreter_files_free(s->python_files);
    python_names_release(&s->python_names);
    waits_release(&s->waits);
    free(s->to_stop);
    munmap(s->buf, SNAPSHOT_BUF_BYTES);
    stopper_release(&s->stopper);
    namer_free(s->namer);
    map_release(&s->modules_prepared);
    unwinder_free(s->functions);
    modules_release(&s->modules);
    profile_free(s->profile);
    free(s);
}

void session_warn(struct session *s, const char *fmt, ...)
{
    char text[600];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < s->n_warnings; i++)
        if (!strcmp(s->warnings[i], text))
            return;
    if (s->n_warnings == WARNINGS_MAX)
        return;
    bool last = s->n_warnings == WARNINGS_MAX - 1;
    s->warnings[s->n_warnings++] = mem_strdup(last ? "further warnings are not shown" : text);
}

const char *session_warning(struct session *s, size_t i)
{
    return i < s->n_warnings ? s->warnings[i] : NULL;
}

bool session_advice(struct session *s, size_t i, const char **ret_module, char *buf, size_t bytes)
{
    if (i >= s->modules.n)
        return false;
    *ret_module = s->modules.items[i]->path;
    naming_advise(s, s->modules.items[i], buf, bytes);
    return true;
}

struct target *session_target(struct session *s, pid_t pid)
{
    for (size_t i = 0; i < s->n_targets; i++)
        if (s->targets[i]->live && s->targets[i]->process.pid == pid)
            return s->targets[i];
    return NULL;
}

static size_t live_targets(const struct session *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_targets; i++)
        n += s->targets[i]->live;
    return n;
}

int session_add(struct session *s, pid_t pid, pid_t tid, struct error *err)
{
    struct target *t = session_target(s, pid);
    bool ask = !s->n_targets && s->opt.capture != CAPTURE_STOP && !s->opt.no_perf;
    int probed = ask ? perf_probe(err) : 0;
    if (probed < 0 && s->opt.capture == CAPTURE_PERF)
        return probed;
    s->perf_refused |= probed < 0;
    if (!t) {
        if (s->n_targets == TARGETS_MAX)
            return error_set(err, -E2BIG, "more than %d processes", TARGETS_MAX);
        if (!fd_budget_allows(&s->fds, live_targets(s) + 1))
            return error_set(err, -EMFILE,
                             "more processes than the limit of open files allows (ulimit -n)");
        t = mem_alloc(sizeof(*t));
        int rc = process_open(&t->process, pid, err);
        if (rc < 0) {
            free(t);
            return rc;
        }
        threads_init(&t->threads, &s->fds);
        t->unwinder = unwinder_new();
        t->index = (uint32_t)s->n_targets;
        t->live = true;
        t->from_start = !s->started;
        s->targets = mem_grow(s->targets, &s->targets_cap, s->n_targets + 1, sizeof(*s->targets));
        s->targets[s->n_targets++] = t;
    }
    if (tid) {
        t->filtered = true;
        map_put(&t->wanted, (uint64_t)tid, 0, 1);
    }
    return 0;
}

void session_set_child(struct session *s, pid_t child)
{
    s->stopper.child = child;
}

bool session_child_status(const struct session *s, int *ret_status)
{
    if (s->stopper.child_ended)
        *ret_status = s->stopper.child_status;
    return s->stopper.child_ended;
}

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
    s->own_cpu_end_ns = clock_own_cpu_ns();
}

static void count_cut(struct session *s)
{
    s->profile->mappings_cut = s->gone_mappings_cut;
    s->profile->cfi_cut = s->gone_cfi_cut;
    s->profile->jit_lines_skipped = 0;
    for (size_t i = 0; i < s->n_targets; i++) {
        const struct target *t = s->targets[i];
        s->profile->jit_lines_skipped += t->perfmap ? perfmap_skipped(t->perfmap) : 0;
        if (!t->live)
            continue;
        s->profile->mappings_cut += t->process.maps_dropped;
        s->profile->cfi_cut += unwinder_cfi_cut(t->unwinder);
    }
}

void session_settle(struct session *s)
{
    if (!s->paused && !s->finished)
        ticks_settle(s);
}

struct profile *session_profile(struct session *s)
{
    char title[400];
    if (!s->paused) {
        ticks_settle(s);
        ticks_renew_names(s);
    }
    s->profile->duration_ns = status_sampled_ns(s) - s->before.sampled_ns;
    naming_resolve(s);
    session_title(s, title, sizeof(title));
    s->profile->title = intern_put(s->profile->strings, title);
    status_cost(s, &s->profile->cost);
    s->profile->modules_folded = s->modules.folded;
    count_cut(s);
    s->profile->tables_cut = namer_tables_cut(s->namer);
    s->profile->lines_cut = namer_lines_cut(s->namer);
    s->profile->names_folded = namer_names_folded(s->namer) + s->waits.folded;
    return s->profile;
}

uint64_t session_samples(const struct session *s)
{
    return s->samples;
}

uint64_t session_ticks(const struct session *s)
{
    return s->tick;
}

bool session_thread(struct session *s, size_t i, struct session_thread *ret)
{
    for (size_t t = 0; t < s->n_targets; t++) {
        struct target *target = s->targets[t];
        size_t n = target->live ? target->threads.n : 0;
        if (i >= n) {
            i -= n;
            continue;
        }
        struct thread *th = target->threads.items[i];
        ticks_label(th, s->label);
        const struct watch *w = th->watch;
        *ret = (struct session_thread){
            .pid = target->process.pid, .tid = th->tid, .name = s->label, .syscall = -1};
        if (w && w->sampled) {
            ret->sampled = true;
            ret->asleep = w->asleep || w->syscall >= 0;
            ret->syscall = w->syscall;
            ret->tally = w->tally;
        }
        return true;
    }
    return false;
}

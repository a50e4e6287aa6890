/* SPDX-License-Identifier: MIT */
#include "session/session.h"

#include <errno.h>
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

enum { TARGETS_MAX = 65536 }; /* ended ones included */

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
    int probed = ask ? perf_probe(NULL, err) : 0;
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

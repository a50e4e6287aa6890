/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "python/thread_names.h"
#include "session/memory.h"

/* Which Python threads a process has, and what is to be copied of each with its stack. */
enum {
    LIST_COST_PART = 50,             /* listing the threads costs at most this part of the time, */
    LIST_BURST_NS = 5 * 1000 * 1000, /* and this, when many begin at once */
};

/* glibc: the header's self at 16, tid at 720 since 2.4 (nptl/descr.h); musl: a list of threads at
 * 16 and 24, tid at 48 (src/internal/pthread_impl.h). */
static uint64_t tid_of_pthread(const struct python_memory *m, uint64_t pthread)
{
    uint64_t self, next;
    uint32_t tid = 0;
    if (python_read_u64(m, pthread + 16, &self) < 0 || python_read_u64(m, pthread + 24, &next) < 0)
        return 0;
    bool glibc = self == pthread && next != pthread;
    return python_read(m, &tid, sizeof(tid), pthread + (glibc ? 720 : 48)) == 0 ? tid : 0;
}

/* Numbers by the C library's own account: before 3.11, and after a fork, nothing else is true. */
static void take_list(struct interpreter *py, const struct python_memory *m, size_t n)
{
    struct python_thread *before = py->threads;
    size_t cap = py->threads_cap;
    for (size_t i = 0; i < n; i++) {
        uint64_t tid = tid_of_pthread(m, py->listing[i].pthread_addr);
        if (tid)
            py->listing[i].native_id = tid;
    }
    py->threads = py->listing;
    py->threads_cap = py->listing_cap;
    py->n_threads = n;
    py->lists++;
    py->listing = before;
    py->listing_cap = cap;
}

/* Where the list is just being changed, the one before holds. False: it would cost too much. */
static bool list_threads(struct target *t, struct interpreter *py)
{
    uint64_t now = clock_now_ns();
    if (py->listing_ns > (now - py->found_ns) / LIST_COST_PART + LIST_BURST_NS)
        return false;
    struct live_memory live = live_memory_of(t, py->module);
    struct python_memory m = live_memory_reader(&live);
    int n = python_runtime_threads(&m, &py->runtime, &py->listing, &py->listing_cap);
    if (n >= 0)
        take_list(py, &m, (size_t)n);
    py->listing_ns += clock_now_ns() - now;
    return true;
}

static void add_range(struct copy_plan *plan, uint64_t addr, size_t bytes)
{
    if (plan->n_ranges < COPY_RANGES_MAX)
        plan->ranges[plan->n_ranges++] = (struct copy_range){.addr = addr, .bytes = bytes};
    else
        plan->cut = true;
}

static void add_chain(struct copy_plan *plan, const struct copy_chain *chain)
{
    if (plan->n_chains < COPY_CHAINS_MAX)
        plan->chains[plan->n_chains++] = *chain;
    else
        plan->cut = true;
}

/* Since 3.12 sub-interpreters may have one each. */
static void add_gil(const struct python_layout *l, uint64_t gil, struct copy_plan *plan)
{
    for (size_t i = 0; i < plan->n_ranges; i++)
        if (plan->ranges[i].addr == gil)
            return;
    if (gil)
        add_range(plan, gil, l->gil_locked + 8);
}

static void plan_thread(const struct interpreter *py, const struct python_thread *th, bool with_gil,
                        struct copy_plan *plan)
{
    const struct python_layout *l = &py->runtime.layout;
    bool by_cframe = l->cframe_frame != OX_PYTHON_NONE;
    if (with_gil)
        add_gil(l, th->gil, plan);
    /* holds all that is read of a thread state (of 3.11 and 3.12 its first cframe too) */
    add_range(plan, th->addr, PYTHON_THREAD_BYTES_MAX);
    add_chain(plan, &(struct copy_chain){.head_addr = th->addr + l->thread_frame,
                                         .hop = by_cframe ? l->cframe_frame : COPY_NO_HOP,
                                         .next_off = l->frame_previous,
                                         .record_bytes = l->frame_bytes,
                                         .has_refs = true});
    if (by_cframe) /* the cframes, if they are not in the copy of the stack */
        add_chain(plan, &(struct copy_chain){.head_addr = th->addr + l->thread_frame,
                                             .hop = COPY_NO_HOP,
                                             .next_off = l->cframe_previous,
                                             .record_bytes = l->cframe_previous + 8});
    plan->refs = &py->refs;
    plan->file_dev = py->module->dev;
    plan->file_ino = py->module->ino;
}

pid_t pythreads_ns_tid(struct watch *w)
{
    struct proc_status status;
    if (!w->ns_tid && thread_status(w->threads, w->process, w->thread, &status) == 0)
        w->ns_tid = status.ns_pid;
    return w->ns_tid ? w->ns_tid : w->thread->tid;
}

static bool plan_listed(const struct interpreter *py, bool with_gil, struct watch *w)
{
    struct copy_plan plan = {0};
    pid_t tid = pythreads_ns_tid(w);
    for (size_t i = 0; i < py->n_threads; i++)
        if (py->threads[i].native_id == (uint64_t)tid)
            plan_thread(py, &py->threads[i], with_gil, &plan);
    w->plan_list = py->lists;
    if (plan.n_chains && !w->plan)
        w->plan = mem_alloc(sizeof(*w->plan));
    if (plan.n_chains) {
        *w->plan = plan;
        return true;
    }
    free(w->plan);
    w->plan = NULL;
    return false;
}

void pythreads_plan(struct session *s, struct target *t, struct watch *w)
{
    enum { MISSES_IN_A_ROW = 8, THEN_EVERY = 64 };
    struct interpreter *py = t->python;
    if (!py || s->opt.view == VIEW_NATIVE)
        return;
    if (w->plan && !w->plan_stale && w->plan_list == py->lists)
        return;
    if (w->plan_misses == 0 && !w->plan_stale && plan_listed(py, s->opt.gil, w))
        return;
    /* A thread that never runs Python must not have them all listed time and again. */
    bool listed = (w->plan_misses < MISSES_IN_A_ROW || w->plan_misses % THEN_EVERY == 0) &&
                  !ticks_stop_open(s) && list_threads(t, py);
    if (plan_listed(py, s->opt.gil, w))
        w->plan_misses = 0;
    else if (listed || w->plan_misses >= MISSES_IN_A_ROW)
        w->plan_misses++;
    w->plan_stale = w->plan_stale && !listed;
}

static struct watch *watch_of_ns_tid(struct target *t, uint64_t tid)
{
    for (size_t i = 0; i < t->threads.n; i++) {
        struct watch *w = t->threads.items[i]->watch;
        if (w && (uint64_t)(w->ns_tid ? w->ns_tid : w->thread->tid) == tid)
            return w;
    }
    return NULL;
}

static void take_name(void *arg, uint64_t ident, const char *name)
{
    enum { NAME_BYTES_MAX = 63 };
    struct target *t = arg;
    const struct interpreter *py = t->python;
    for (size_t i = 0; i < py->n_threads; i++) {
        if (py->threads[i].pthread_addr != ident)
            continue;
        struct watch *w = watch_of_ns_tid(t, py->threads[i].native_id);
        if (w && (!w->python_name || strcmp(w->python_name, name) != 0)) {
            free(w->python_name);
            w->python_name = mem_printf("%.*s", NAME_BYTES_MAX, name);
        }
        return;
    }
}

void pythreads_name(struct session *s, struct target *t)
{
    enum { THREADS_NAMED_MAX = 1024 }; /* more would take too long */
    struct interpreter *py = t->python;
    if (!py || s->opt.view == VIEW_NATIVE)
        return;
    list_threads(t, py);
    if (t->threads.n > THREADS_NAMED_MAX || py->n_threads > THREADS_NAMED_MAX)
        return;
    struct live_memory live = live_memory_of(t, py->module);
    struct python_memory m = live_memory_reader(&live);
    if (python_thread_names(&m, &py->runtime, &py->active_dict, take_name, t) < 0)
        py->active_dict = 0;
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/mem.h"
#include "python/thread_names.h"
#include "session/memory.h"
#include "symbols/locate.h"

enum {
    CODE_MAX = 4096,                   /* executable mappings looked at */
    LOOK_FIRST_NS = 100 * 1000 * 1000, /* an interpreter may be loaded, or begin, late */
    LIST_COST_PART = 50,             /* listing the threads costs at most this part of the time, */
    LIST_BURST_NS = 5 * 1000 * 1000, /* and this, when many begin at once */
};

/* What tells the code of CPython: names of Python/ceval.c, Objects/call.c and Objects/descrobject.c
 * of 3.8 to 3.14. The clang build of 3.14 has a function for each instruction. */
static const char *const names[] = {
    "_PyRuntime",
    "Py_Version",
    "_PyEval_EvalFrameDefault",
    "_PyEval_EvalFrame",
    "_PyEval_Vector",
    "_PyEval_EvalCodeWithName",
    "_PyEval_EvalCode",
    "_PyFunction_Vectorcall",
    "_PyFunction_FastCallDict",
    "function_code_fastcall",
    "PyObject_Vectorcall",
    "_PyObject_Vectorcall",
    "_PyObject_VectorcallTstate",
    "call_function",
    "method_vectorcall",
    "_PyObject_FastCallDictTstate",
    "_PyObject_Call_Prepend",
    "PyObject_Call",
    "_PyObject_Call",
    "PyVectorcall_Call",
    "_PyVectorcall_Call",
    "do_call_core",
};
enum { NAME_RUNTIME, NAME_VERSION, NAME_EVALUATOR, NAMES = sizeof(names) / sizeof(*names) };

static void free_interpreter(struct interpreter *py)
{
    python_codes_release(&py->codes);
    free(py->ranges);
    free(py->threads);
    free(py->listing);
    free(py);
}

void interpreter_forget(struct target *t)
{
    for (size_t i = 0; i < t->threads.n; i++)
        if (t->threads.items[i]->watch)
            t->threads.items[i]->watch->plan = (struct copy_plan){0};
    if (t->python)
        free_interpreter(t->python);
    t->python = NULL;
    t->python_look_ns = t->python_gap_ns = 0;
    t->no_python = NULL;
}

/* "python3.11", "libpython3.11.so.1.0", "libpython3.13t.so": 11, 11, 13; 0 where it says nothing.
 */
static unsigned version_of_name(const char *path)
{
    const char *base = strrchr(path, '/');
    const char *at = strstr(base ? base + 1 : path, "python3.");
    return at ? (unsigned)(strtoul(at + strlen("python3."), NULL, 10) % 1000) : 0;
}

static int compare_ranges(const void *va, const void *vb)
{
    const struct code_range *a = va, *b = vb;
    return (a->start > b->start) - (a->start < b->start);
}

struct candidate {
    struct module *module; /* borrowed */
    uint64_t bias;         /* addr less vaddr */
    unsigned hint;         /* minor version; 0 not known */
    uint64_t runtime;      /* addr; 0: none here */
    struct located found[LOCATED_MAX];
    size_t n;
};

static void locate(struct candidate *c, const struct python_memory *m)
{
    uint64_t vaddr, version;
    c->n = locate_symbols(c->module, names, NAMES, c->found);
    for (size_t i = 0; i < c->n; i++) {
        if (c->found[i].name == NAME_RUNTIME)
            c->runtime = c->bias + c->found[i].vaddr;
        /* an unsigned long, PY_VERSION_HEX, since 3.11 */
        if (c->found[i].name == NAME_VERSION &&
            python_read_u64(m, c->bias + c->found[i].vaddr, &version) == 0 && version >> 24 == 3)
            c->hint = version >> 16 & 0xff;
    }
    if (!c->runtime && locate_section(c->module, ".PyRuntime", &vaddr))
        c->runtime = c->bias + vaddr;
}

static void take_ranges(struct interpreter *py, const struct candidate *c)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->found[i].name < NAME_EVALUATOR || !c->found[i].bytes)
            continue;
        py->ranges = mem_grow(py->ranges, &py->ranges_cap, py->n_ranges + 1, sizeof(*py->ranges));
        py->ranges[py->n_ranges++] = (struct code_range){
            .start = c->bias + c->found[i].vaddr,
            .end = c->bias + c->found[i].vaddr + c->found[i].bytes,
            .role = c->found[i].name == NAME_EVALUATOR ? NATIVE_EVALUATOR : NATIVE_HELPER};
    }
    if (py->n_ranges)
        qsort(py->ranges, py->n_ranges, sizeof(*py->ranges), compare_ranges);
}

static void say_unknown(struct session *s, const struct target *t, unsigned minor)
{
    if (minor)
        session_warn(s, "process %d runs CPython 3.%u, which is not known: native frames only",
                     t->process.pid, minor);
    else
        session_warn(s, "process %d runs a CPython whose version can't be told: native frames only",
                     t->process.pid);
}

/* True if there is no need to look further. */
static bool try_candidate(struct session *s, struct target *t, struct candidate *c)
{
    struct live_memory live = {
        .process = &t->process, .file_dev = c->module->dev, .file_ino = c->module->ino};
    struct python_memory m = live_memory_reader(&live);
    struct python_runtime runtime;
    unsigned minor = 0;
    locate(c, &m);
    if (!c->runtime) {
        t->no_python = c->module;
        return false;
    }
    int rc = python_runtime_open(&m, c->runtime, c->hint, &runtime, &minor);
    if (rc == -ENOTSUP || rc == -EBADMSG)
        say_unknown(s, t, rc == -ENOTSUP ? minor : 0);
    if (rc < 0)
        return rc != -EAGAIN;
    struct interpreter *py = mem_alloc(sizeof(*py));
    py->runtime = runtime;
    py->module = c->module;
    py->found_ns = clock_now_ns();
    python_codes_init(&py->codes, &s->python_names);
    take_ranges(py, c);
    t->python = py;
    return true;
}

/* A line of /proc/PID/maps: the code of a file that may hold CPython? `first`: the program's own.
 */
static bool may_be(const struct mapping *map, bool first)
{
    const char *base = map->path ? strrchr(map->path, '/') : NULL;
    return (map->prot & PROT_EXEC) && base && (first || strstr(base, "python"));
}

static bool try_mapping(struct session *s, struct target *t, uint64_t addr)
{
    uint64_t vaddr;
    if (process_map(&t->process, &s->modules, addr) < 0)
        return false;
    const struct mapping *map = mappings_find(&t->process.maps, addr);
    if (!map || !map->module || map->module == t->no_python ||
        !mapping_vaddr(map, map->start, &vaddr))
        return false;
    struct candidate c = {.module = map->module,
                          .bias = map->start - vaddr,
                          .hint = version_of_name(map->module->path)};
    return try_candidate(s, t, &c);
}

/* A target can make as many mappings as it likes; what is looked at of them is bounded. */
static void search(struct session *s, struct target *t)
{
    struct mapping map;
    uint64_t at = 0;
    bool done = false;
    int i = 0;
    for (; !done && i < CODE_MAX; i++) {
        if (process_next_code(&t->process, &s->modules, at, &map) < 0)
            break;
        if (may_be(&map, i == 0))
            done = try_mapping(s, t, map.start);
        at = map.end;
        free(map.path);
    }
    if (done && !t->python)
        t->python_look_ns = UINT64_MAX; /* not known, as has been said */
}

void interpreter_look(struct session *s, struct target *t, uint64_t now)
{
    if (t->python || now < t->python_look_ns || s->opt.view == VIEW_NATIVE)
        return;
    t->python_gap_ns = t->python_gap_ns ? 2 * t->python_gap_ns : LOOK_FIRST_NS;
    t->python_look_ns = now + t->python_gap_ns;
    search(s, t);
}

/* ---- threads */

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
    py->listing = before;
    py->listing_cap = cap;
}

/* Where the list is just being changed, the one before holds. False: it would cost too much. */
static bool list_threads(struct target *t, struct interpreter *py)
{
    uint64_t now = clock_now_ns();
    if (py->listing_ns > (now - py->found_ns) / LIST_COST_PART + LIST_BURST_NS)
        return false;
    struct live_memory live = {
        .process = &t->process, .file_dev = py->module->dev, .file_ino = py->module->ino};
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
}

static void plan_thread(const struct interpreter *py, const struct python_thread *th,
                        struct copy_plan *plan)
{
    const struct python_layout *l = &py->runtime.layout;
    if (plan->n_chains == COPY_CHAINS_MAX)
        return;
    if (!plan->n_chains && th->gil)
        add_range(plan, th->gil, l->gil_locked + 8);
    uint32_t last = l->thread_id;
    if (l->thread_native_id != OX_PYTHON_NONE && l->thread_native_id > last)
        last = l->thread_native_id;
    if (l->thread_frame > last)
        last = l->thread_frame;
    add_range(plan, th->addr, last + 8);
    plan->chains[plan->n_chains++] = (struct copy_chain){
        .head_addr = th->addr + l->thread_frame,
        .hop = l->cframe_frame != OX_PYTHON_NONE ? l->cframe_frame : COPY_NO_HOP,
        .next_off = l->frame_previous,
        .record_bytes = l->frame_bytes};
    plan->file_dev = py->module->dev;
    plan->file_ino = py->module->ino;
}

static pid_t ns_tid_of(struct watch *w)
{
    struct proc_status status;
    if (!w->ns_tid && thread_status(w->threads, w->process, w->thread, &status) == 0)
        w->ns_tid = status.ns_pid;
    return w->ns_tid ? w->ns_tid : w->thread->tid;
}

static bool plan_listed(const struct interpreter *py, pid_t tid, struct copy_plan *plan)
{
    *plan = (struct copy_plan){0};
    for (size_t i = 0; i < py->n_threads; i++)
        if (py->threads[i].native_id == (uint64_t)tid)
            plan_thread(py, &py->threads[i], plan);
    return plan->n_chains > 0;
}

bool interpreter_plan(struct session *s, struct target *t, struct watch *w)
{
    enum { MISSES_IN_A_ROW = 8, THEN_EVERY = 64 };
    struct interpreter *py = t->python;
    if (!py || s->opt.view == VIEW_NATIVE)
        return false;
    pid_t tid = ns_tid_of(w);
    if (w->plan_misses == 0 && plan_listed(py, tid, &w->plan))
        return true;
    /* A thread that never runs Python must not have them all listed time and again. */
    bool listed = (w->plan_misses < MISSES_IN_A_ROW || w->plan_misses % THEN_EVERY == 0) &&
                  list_threads(t, py);
    bool found = plan_listed(py, tid, &w->plan);
    if (found)
        w->plan_misses = 0;
    else if (listed || w->plan_misses >= MISSES_IN_A_ROW)
        w->plan_misses++;
    return found;
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
    struct target *t = arg;
    const struct interpreter *py = t->python;
    for (size_t i = 0; i < py->n_threads; i++) {
        if (py->threads[i].pthread_addr != ident)
            continue;
        struct watch *w = watch_of_ns_tid(t, py->threads[i].native_id);
        if (w)
            snprintf(w->python_name, sizeof(w->python_name), "%s", name);
        return;
    }
}

void interpreter_name_threads(struct session *s, struct target *t)
{
    enum { THREADS_NAMED_MAX = 1024 }; /* more would take too long */
    struct interpreter *py = t->python;
    if (!py || s->opt.view == VIEW_NATIVE)
        return;
    list_threads(t, py);
    if (t->threads.n > THREADS_NAMED_MAX || py->n_threads > THREADS_NAMED_MAX)
        return;
    struct live_memory live = {
        .process = &t->process, .file_dev = py->module->dev, .file_ino = py->module->ino};
    struct python_memory m = live_memory_reader(&live);
    if (python_thread_names(&m, &py->runtime, &py->active_dict, take_name, t) < 0)
        py->active_dict = 0;
}

/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/mem.h"
#include "session/memory.h"
#include "symbols/locate.h"

enum {
    CODE_MAX = 4096,                   /* executable mappings looked at */
    LOOK_FIRST_NS = 100 * 1000 * 1000, /* an interpreter may be loaded, or begin, late */
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
    for (size_t i = 0; i < t->threads.n; i++) {
        struct watch *w = t->threads.items[i]->watch;
        if (!w)
            continue;
        free(w->plan);
        free(w->python_name);
        w->plan = NULL;
        w->python_name = NULL;
        w->plan_stale = false;
        w->plan_misses = 0;
    }
    if (t->python)
        free_interpreter(t->python);
    t->python = NULL;
    t->python_look_ns = t->python_gap_ns = 0;
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

/* What was found in a module's file: looked for once, however many processes have it mapped. */
struct python_file {
    const struct module *module; /* borrowed */
    bool has_runtime, has_version;
    uint64_t runtime, version; /* vaddr of _PyRuntime, Py_Version */
    struct located *found;     /* owned */
    size_t n;
};

struct python_files {
    struct python_file *items; /* owned */
    size_t n, cap;
};

void interpreter_files_free(struct python_files *f)
{
    for (size_t i = 0; f && i < f->n; i++)
        free(f->items[i].found);
    if (f)
        free(f->items);
    free(f);
}

static void look_into(struct module *m, struct python_file *ret)
{
    struct located found[LOCATED_MAX];
    *ret = (struct python_file){.module = m, .n = locate_symbols(m, names, NAMES, found)};
    for (size_t i = 0; i < ret->n; i++) {
        if (found[i].name == NAME_RUNTIME) {
            ret->has_runtime = true;
            ret->runtime = found[i].vaddr;
        } else if (found[i].name == NAME_VERSION) {
            ret->has_version = true;
            ret->version = found[i].vaddr;
        }
    }
    if (!ret->has_runtime)
        ret->has_runtime = locate_section(m, ".PyRuntime", &ret->runtime);
    ret->found = mem_alloc((ret->n + 1) * sizeof(*ret->found));
    memcpy(ret->found, found, ret->n * sizeof(*found));
}

/* Borrowed until the next call. */
static const struct python_file *file_of(struct session *s, struct module *m)
{
    if (!s->python_files)
        s->python_files = mem_alloc(sizeof(*s->python_files));
    struct python_files *f = s->python_files;
    for (size_t i = 0; i < f->n; i++)
        if (f->items[i].module == m)
            return &f->items[i];
    f->items = mem_grow(f->items, &f->cap, f->n + 1, sizeof(*f->items));
    look_into(m, &f->items[f->n]);
    return &f->items[f->n++];
}

static void take_ranges(struct interpreter *py, const struct python_file *f, uint64_t bias)
{
    for (size_t i = 0; i < f->n; i++) {
        if (f->found[i].name < NAME_EVALUATOR || !f->found[i].bytes)
            continue;
        py->ranges = mem_grow(py->ranges, &py->ranges_cap, py->n_ranges + 1, sizeof(*py->ranges));
        py->ranges[py->n_ranges++] = (struct code_range){
            .start = bias + f->found[i].vaddr,
            .end = bias + f->found[i].vaddr + f->found[i].bytes,
            .role = f->found[i].name == NAME_EVALUATOR ? NATIVE_EVALUATOR : NATIVE_HELPER};
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

static void take_interpreter(struct session *s, struct target *t, const struct python_file *f,
                             const struct python_runtime *runtime, uint64_t bias)
{
    const struct python_layout *l = &runtime->layout;
    struct interpreter *py = mem_alloc(sizeof(*py));
    py->runtime = *runtime;
    py->module = f->module;
    py->found_ns = py->codes_changed_ns = clock_now_ns();
    uint32_t name = l->code_qualname != OX_PYTHON_NONE ? l->code_qualname : l->code_name;
    py->refs = (struct copy_refs){.wanted = true,
                                  .ref_off = l->frame_code,
                                  .object_bytes = l->code_bytes,
                                  .part_offs = {name, l->code_filename, l->code_lines},
                                  .part_bytes = PYTHON_PART_BYTES};
    python_codes_init(&py->codes, &s->python_names);
    take_ranges(py, f, bias);
    t->python = py;
}

/* True if there is no need to look further. bias: addr less vaddr. */
static bool try_module(struct session *s, struct target *t, struct module *module, uint64_t bias)
{
    struct live_memory live = live_memory_of(t, module);
    struct python_memory m = live_memory_reader(&live);
    struct python_runtime runtime;
    const struct python_file *f = file_of(s, module);
    unsigned minor = 0, hint = version_of_name(module->path);
    uint64_t version; /* an unsigned long, PY_VERSION_HEX, since 3.11 */
    if (!f->has_runtime)
        return false;
    if (f->has_version && python_read_u64(&m, bias + f->version, &version) == 0 &&
        version >> 24 == 3)
        hint = version >> 16 & 0xff;
    int rc = python_runtime_open(&m, bias + f->runtime, hint, &runtime, &minor);
    if (rc == -ENOTSUP || rc == -EBADMSG)
        say_unknown(s, t, rc == -ENOTSUP ? minor : 0);
    if (rc < 0)
        return rc == -ENOTSUP || rc == -EBADMSG;
    take_interpreter(s, t, f, &runtime, bias);
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
    return map && map->module && mapping_vaddr(map, map->start, &vaddr) &&
           try_module(s, t, map->module, map->start - vaddr);
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

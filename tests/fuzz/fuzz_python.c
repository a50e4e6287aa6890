/* SPDX-License-Identifier: MIT */
/* An interpreter's memory, as tests/unit/python_image.h has it in a file; its last bytes also make
 * up a native stack to merge with. */
#include <stdlib.h>
#include <string.h>

#include "../unit/python_image.h"
#include "base/mem.h"
#include "fuzz.h"
#include "python/merge.h"
#include "python/runtime.h"
#include "python/thread_names.h"

enum { THREADS = 8, NATIVE = 64 };

struct reading {
    struct python_names names;
    struct python_codes codes;
    struct python_stack stack;
    struct merged_frame merged[PYTHON_STACK_MAX + NATIVE];
};

static void check_stack(const struct reading *r)
{
    const struct python_stack *s = &r->stack;
    if (s->n > PYTHON_STACK_MAX)
        abort();
    for (size_t i = 0; i < s->n; i++)
        if (s->frames[i].function >= r->names.n || s->frames[i].line > INT32_MAX)
            abort();
}

/* Every Python frame comes out once, in order; native ones at most once, in order. */
static void check_merged(const struct merged_stack *m, size_t n_native, size_t n_python)
{
    size_t python = 0, native = 0;
    for (size_t i = 0; i < m->n; i++) {
        size_t *next = m->frames[i].python ? &python : &native;
        if (m->frames[i].index < *next || (m->frames[i].python && m->frames[i].index != *next))
            abort();
        *next = m->frames[i].index + 1;
    }
    if (python != n_python || native > n_native)
        abort();
}

static void merge(struct reading *r, const uint8_t *data, size_t bytes)
{
    struct native_frame native[NATIVE];
    size_t n = bytes < NATIVE ? bytes : NATIVE;
    uint64_t sp = r->stack.n ? r->stack.frames[0].c_addr & ~UINT64_C(0xfff) : 0;
    for (size_t i = 0; i < n; i++) {
        native[i] = (struct native_frame){.sp = sp, .role = (enum native_role)(data[i] % 3)};
        sp += 16 * (1 + data[i] / 3);
    }
    struct merged_stack merged = {.frames = r->merged};
    python_merge(native, n, n && data[0] & 1, r->stack.frames, r->stack.n, n && data[0] & 2,
                 &merged);
    check_merged(&merged, n, r->stack.n);
}

static void check_name(void *arg, uint64_t ident, const char *name)
{
    (void)ident;
    *(size_t *)arg += strlen(name);
}

static void read_threads(struct reading *r, const struct python_memory *m,
                         const struct python_runtime *runtime, const uint8_t *data, size_t bytes)
{
    struct python_thread *threads OX_FREE = NULL;
    size_t cap = 0, tail = bytes < NATIVE ? bytes : NATIVE;
    int n = python_runtime_threads(m, runtime, &threads, &cap);
    uint64_t dict = 0;
    size_t name_bytes = 0;
    python_thread_names(m, runtime, &dict, check_name, &name_bytes);
    for (int i = 0; i < n && i < THREADS; i++) {
        uint64_t holder;
        r->codes.now_ns += 1000 * 1000;
        r->codes.epoch++;
        struct python_moment at = python_image_moment(m);
        at.codes_copied = i % 2 == 0;
        python_walk(&at, runtime, threads[i].addr, &r->codes, &r->stack);
        python_gil_holder(m, runtime, threads[i].gil, &holder);
        check_stack(r);
        merge(r, data + bytes - tail, tail);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct python_image image = {.bytes = data, .n = bytes};
    struct python_runtime runtime;
    uint64_t addr;
    unsigned hint, minor;
    if (python_image_open(&image, &addr, &hint) < 0)
        return 0;
    struct python_memory m = python_image_memory(&image);
    struct reading *r = mem_alloc(sizeof(*r));
    python_names_init(&r->names);
    python_codes_init(&r->codes, &r->names);
    if (python_runtime_open(&m, addr, hint, &runtime, &minor) == 0)
        read_threads(r, &m, &runtime, data, bytes);
    python_codes_release(&r->codes);
    python_names_release(&r->names);
    free(r);
    return 0;
}

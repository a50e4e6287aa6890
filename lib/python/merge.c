/* SPDX-License-Identifier: MIT */
#include "python/merge.h"

struct merge {
    const struct native_frame *native;
    size_t n_native;
    const struct python_frame *python;
    size_t n_python;
    size_t next;        /* the first Python frame that is not shown yet */
    size_t after_group; /* where in the result the last evaluator's frames ended; 0: none yet */
    bool only_helpers;  /* since then */
    bool dropped;       /* an evaluator that has just begun or ended */
    struct merged_stack *out;
};

static void put(struct merge *m, bool python, size_t index)
{
    m->out->frames[m->out->n++] = (struct merged_frame){.python = python, .index = (uint32_t)index};
}

/* The frames of one call of the evaluator; drops the helpers between it and the one before. */
static void put_group(struct merge *m)
{
    if (m->after_group && m->only_helpers)
        m->out->n = m->after_group;
    bool last = false;
    while (m->next < m->n_python && !last) {
        last = m->python[m->next].last;
        put(m, true, m->next++);
    }
    m->after_group = m->out->n;
    m->only_helpers = true;
}

static void put_native(struct merge *m, size_t i)
{
    m->only_helpers = m->only_helpers && m->native[i].role == NATIVE_HELPER;
    put(m, false, i);
}

static void put_without_python(struct merge *m, size_t i)
{
    if (m->native[i].role == NATIVE_EVALUATOR && !m->after_group && !m->dropped) {
        m->dropped = true;
        return;
    }
    m->out->mismatch |= m->native[i].role == NATIVE_EVALUATOR;
    put_native(m, i);
}

uint64_t python_group_addr(const struct python_frame *frames, size_t n, size_t from)
{
    for (size_t i = from; i < n; i++)
        if (frames[i].last)
            return frames[i].c_addr;
    return 0;
}

static uint64_t next_addr(const struct merge *m)
{
    return python_group_addr(m->python, m->n_python, m->next);
}

static uint64_t end_of(const struct merge *m, size_t i)
{
    if (i + 1 < m->n_native)
        return m->native[i + 1].sp;
    /* of a stack that was cut short: only what is known to be an evaluator has one */
    return m->native[i].role == NATIVE_EVALUATOR ? UINT64_MAX : m->native[i].sp;
}

static void merge_by_address(struct merge *m)
{
    for (size_t i = 0; i < m->n_native; i++) {
        uint64_t addr;
        bool runs_python = false;
        while ((addr = next_addr(m)) != 0 && addr < m->native[i].sp) {
            m->out->mismatch = true; /* the C frame that ran it is missing */
            put_group(m);
        }
        while ((addr = next_addr(m)) != 0 && addr < end_of(m, i)) {
            put_group(m);
            runs_python = true;
            if (i + 1 == m->n_native)
                break;
        }
        if (!runs_python)
            put_without_python(m, i);
    }
}

static void merge_by_count(struct merge *m, bool native_complete, bool python_complete)
{
    size_t evaluators = 0, skip = 0, late = 0;
    for (size_t i = 0; i < m->n_native; i++)
        evaluators += m->native[i].role == NATIVE_EVALUATOR;
    if (evaluators > m->n_python)
        skip = python_complete ? evaluators - m->n_python : 0;
    else if (native_complete && python_complete)
        late = m->n_python - evaluators;
    while (late--) {
        m->out->mismatch = true;
        put_group(m);
    }
    for (size_t i = 0; i < m->n_native; i++) {
        bool evaluator = m->native[i].role == NATIVE_EVALUATOR;
        if (evaluator && !skip && m->next < m->n_python)
            put_group(m);
        else
            put_without_python(m, i);
        skip -= evaluator && skip;
    }
}

void python_merge(const struct native_frame *native, size_t n_native, bool native_complete,
                  const struct python_frame *python, size_t n_python, bool python_complete,
                  struct merged_stack *ret)
{
    struct merge m = {
        .native = native, .n_native = n_native, .python = python, .n_python = n_python, .out = ret};
    ret->n = 0;
    ret->mismatch = false;
    if (next_addr(&m))
        merge_by_address(&m);
    else
        merge_by_count(&m, native_complete, python_complete);
    if (m.next < n_python)
        ret->mismatch |= native_complete;
    while (m.next < n_python)
        put_group(&m);
}

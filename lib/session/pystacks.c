/* SPDX-License-Identifier: MIT */
#include <asm/unistd.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "session/memory.h"

struct python_work {
    struct python_stack stack;
    struct python_frame frames[PYTHON_STACK_MAX]; /* of all the thread's states */
    struct python_frame both[PYTHON_STACK_MAX];
    size_t n;
    bool torn; /* some are missing */
    struct native_frame native[UNWIND_FRAMES_MAX];
    struct merged_frame merged[STACK_FRAMES_MAX];
    uint32_t ids[STACK_FRAMES_MAX]; /* innermost first */
};

struct python_work *pystacks_new(void)
{
    return mem_alloc(sizeof(struct python_work));
}

static enum native_role role_of(const struct interpreter *py, const struct frame *f)
{
    uint64_t addr = f->how == FRAME_LEAF || f->how == FRAME_SIGNAL ? f->addr : f->addr - 1;
    size_t low = 0, high = py->n_ranges;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (py->ranges[mid].start <= addr)
            low = mid + 1;
        else
            high = mid;
    }
    return low && addr < py->ranges[low - 1].end ? py->ranges[low - 1].role : NATIVE_OTHER;
}

static const struct python_thread *listed(const struct interpreter *py, uint64_t addr)
{
    for (size_t i = 0; i < py->n_threads; i++)
        if (py->threads[i].addr == addr)
            return &py->threads[i];
    return NULL;
}

/* Is what lies there still the thread state that it was? Freed ones become anything. */
static bool is_same(const struct interpreter *py, const struct python_memory *m, uint64_t addr)
{
    const struct python_thread *known = listed(py, addr);
    const struct python_layout *l = &py->runtime.layout;
    uint64_t interp, pthread;
    return known && python_read_u64(m, addr + l->thread_interp, &interp) == 0 &&
           python_read_u64(m, addr + l->thread_id, &pthread) == 0 && interp == known->interp &&
           pthread == known->pthread_addr;
}

static void take_group(struct python_frame *to, size_t *n, const struct python_frame *from,
                       size_t n_from, size_t *i)
{
    bool last = false;
    while (*i < n_from && !last && *n < PYTHON_STACK_MAX) {
        last = from[*i].last;
        to[(*n)++] = from[(*i)++];
    }
}

/* Sub-interpreters take turns on one C stack: what lies lower on it was called later. */
static void interleave(struct python_work *k)
{
    size_t n = 0, a = 0, b = 0;
    while ((a < k->n || b < k->stack.n) && n < PYTHON_STACK_MAX) {
        uint64_t at_a = python_group_addr(k->frames, k->n, a);
        uint64_t at_b = python_group_addr(k->stack.frames, k->stack.n, b);
        if (b >= k->stack.n || (a < k->n && at_a <= at_b))
            take_group(k->both, &n, k->frames, k->n, &a);
        else
            take_group(k->both, &n, k->stack.frames, k->stack.n, &b);
    }
    k->torn = k->torn || a < k->n || b < k->stack.n;
    memcpy(k->frames, k->both, n * sizeof(*k->both));
    k->n = n;
}

static bool is_state(const struct copy_chain *chain)
{
    return chain->has_refs;
}

static uint64_t state_of(const struct interpreter *py, const struct copy_chain *chain)
{
    return chain->head_addr - py->runtime.layout.thread_frame;
}

/* False where a thread state is not what it was: the plan is to be made anew. */
static bool walk_all(struct session *s, struct interpreter *py, const struct python_moment *at,
                     const struct watch *w)
{
    struct python_work *k = s->python_work;
    k->torn = w->plan->cut;
    k->n = 0;
    for (size_t i = 0; i < w->plan->n_chains; i++) {
        if (!is_state(&w->plan->chains[i]))
            continue;
        uint64_t thread = state_of(py, &w->plan->chains[i]);
        if (!is_same(py, &at->then, thread))
            return false;
        python_walk(at, &py->runtime, thread, &py->codes, &k->stack);
        k->torn = k->torn || k->stack.end != PYTHON_COMPLETE;
        if (k->n && k->stack.n) {
            interleave(k);
        } else if (k->stack.n) {
            memcpy(k->frames, k->stack.frames, k->stack.n * sizeof(*k->frames));
            k->n = k->stack.n;
        }
    }
    return true;
}

static uint32_t special(struct session *s, uint64_t which)
{
    uint32_t frame = profile_frame(s->profile, OX_SPACE(SPACE_SPECIAL, 0), which);
    if (which == SPECIAL_WAITING_FOR_GIL && frame != PROFILE_NO_FRAME)
        s->profile->frames[frame].wait = intern_put(s->profile->strings, "waiting for the GIL");
    return frame;
}

static uint32_t python_frame(struct session *s, const struct python_frame *f)
{
    return profile_frame(s->profile, OX_SPACE(SPACE_PYTHON, f->function), f->line);
}

/* The GIL's condition variable and its lock are what take_gil() waits for. Its addr, or 0. */
static uint64_t awaited_gil(const struct interpreter *py, const struct snapshot *snap,
                            const struct copy_plan *plan)
{
    uint64_t addr = snap->syscall_args[0];
    if (snap->state != STATE_WAIT || snap->syscall != __NR_futex)
        return 0;
    for (size_t i = 0; i < plan->n_chains; i++) {
        const struct python_thread *th = listed(py, state_of(py, &plan->chains[i]));
        if (th && th->gil && addr >= th->gil && addr - th->gil < py->runtime.layout.gil_bytes)
            return th->gil;
    }
    return 0;
}

static bool holds_gil(const struct interpreter *py, const struct python_memory *then,
                      const struct copy_plan *plan)
{
    uint64_t holder;
    for (size_t i = 0; i < plan->n_chains; i++) {
        uint64_t addr = state_of(py, &plan->chains[i]);
        const struct python_thread *th = listed(py, addr);
        if (th && python_gil_holder(then, &py->runtime, th->gil, &holder) == 0 && holder == addr)
            return true;
    }
    return false;
}

/* The frame that says so, and of a sleeper who has it. */
static uint32_t gil_frame(struct session *s, struct target *t, struct watch *w,
                          const struct snapshot *snap, uint64_t gil)
{
    const struct interpreter *py = t->python;
    struct live_memory live = live_memory_of(t, py->module);
    struct python_memory now = live_memory_reader(&live);
    struct wait_thing thing = {.text = "held by"};
    uint64_t holder = 0;
    bool held = snap->source == SOURCE_ASLEEP &&
                python_gil_holder(&now, &py->runtime, gil, &holder) == 0 && holder &&
                waits_sleeps(w);
    const struct python_thread *th = held ? listed(py, holder) : NULL;
    thing.thread = th ? wait_for_thread(s, t, w, th->native_id) : OX_NO_THREAD;
    if (thing.thread == OX_NO_THREAD || w->waits_for == w->thread->tid) {
        w->waits_for = 0;
        return special(s, SPECIAL_WAITING_FOR_GIL);
    }
    w->waits_at = gil;
    w->waits_kind = WAIT_FOR_GIL;
    w->waits_limited = false;
    return waits_frame(s, "waiting for the GIL", &thing, true);
}

static struct snapfile_shown shown_python(const struct session *s, const struct python_frame *f)
{
    const struct python_names *names = &s->python_names;
    return (struct snapfile_shown){.native = SNAPFILE_NOT_NATIVE,
                                   .function = mem_strdup(python_names_name(names, f->function)),
                                   .file = mem_strdup(python_names_file(names, f->function)),
                                   .first_line = names->items[f->function].first_line,
                                   .line = f->line};
}

/* With the snapshot that has just been kept: its pieces, which this was read from, are not. */
static void keep_shown(struct session *s, const struct merged_stack *merged, uint32_t gil, size_t n)
{
    const struct python_work *k = s->python_work;
    struct kept_snapshot *kept = &s->kept[s->kept_last];
    struct snapfile_shown *shown = mem_alloc((n + 1) * sizeof(*shown));
    size_t i = 0, n_shown = 0;
    const char *wait = intern_get(s->profile->strings, s->profile->frames[gil].wait);
    bool waits = gil != PROFILE_NO_FRAME;
    if (waits)
        shown[n_shown++] = (struct snapfile_shown){.native = SNAPFILE_NOT_NATIVE,
                                                   .function = mem_printf("[%s]", wait)};
    while (waits && i < merged->n && !merged->frames[i].python)
        i++;
    for (; i < merged->n && n_shown < n && n_shown < SNAPFILE_SHOWN_MAX; i++) {
        const struct merged_frame *f = &merged->frames[i];
        if (f->python)
            shown[n_shown++] = shown_python(s, &k->frames[f->index]);
        else if (s->opt.view == VIEW_MIXED)
            shown[n_shown++] = (struct snapfile_shown){.native = f->index};
    }
    snapfile_free_shown(kept->shown, kept->n_shown);
    kept->shown = shown;
    kept->n_shown = n_shown;
}

/* `gil`: the frame that it waits in, PROFILE_NO_FRAME if it does not. */
static size_t show(struct session *s, const struct merged_stack *merged, uint32_t gil)
{
    struct python_work *k = s->python_work;
    size_t n = 0, i = 0;
    if (gil != PROFILE_NO_FRAME) {
        k->ids[n++] = gil;
        while (i < merged->n && !merged->frames[i].python)
            i++;
    }
    for (; i < merged->n; i++) {
        const struct merged_frame *f = &merged->frames[i];
        if (f->python)
            k->ids[n++] = python_frame(s, &k->frames[f->index]);
        else if (s->opt.view == VIEW_MIXED)
            k->ids[n++] = s->frames[f->index];
    }
    if (!n)
        k->ids[n++] = special(s, SPECIAL_NO_PYTHON);
    if (s->opt.keep_snapshots)
        keep_shown(s, merged, gil, n);
    memcpy(s->frames, k->ids, n * sizeof(*s->frames));
    return n;
}

static size_t only(struct session *s, uint64_t which)
{
    s->frames[0] = special(s, which);
    return 1;
}

/*
 * Code objects that were not copied with the frames are read after the thread has gone on. That it
 * has left them, and they have been freed and others made in their place, takes it longer than
 * this: unless we had to wait for a CPU ourselves.
 */
static bool came_late(const struct interpreter *py, uint64_t fresh_before, struct watch *w,
                      const struct snapshot *snap)
{
    enum { LATE_NS = 2 * 1000 * 1000 };
    struct proc_run run;
    if ((snap->refs_copied && !snap->pieces_cut) || py->codes.fresh == fresh_before ||
        clock_now_ns() - snap->taken_ns < LATE_NS)
        return false;
    bool slept = snap->source == SOURCE_ASLEEP &&
                 thread_run(w->threads, w->process, w->thread, &run) == 0 &&
                 run.switches_in == w->run.switches_in;
    return !slept;
}

/*
 * Copying code objects and their names with the frames makes a stop longer, and most programs never
 * free any. So it is done at first; whenever some were met that were not known, for a while; and
 * for good once one has been found to have taken another's place.
 */
static void watch_codes(struct interpreter *py, uint64_t fresh_before, uint64_t now)
{
    enum { WATCH_NS = 1000 * 1000 * 1000 };
    if (py->codes.fresh != fresh_before)
        py->codes_changed_ns = now;
    py->refs.wanted = py->codes.replaced || now - py->codes_changed_ns < WATCH_NS;
}

/* What a view shows of a thread whose Python frames are not to be had. */
static size_t without(struct session *s, size_t n)
{
    return s->opt.view == VIEW_PYTHON ? only(s, SPECIAL_NO_PYTHON) : n;
}

static size_t merge(struct session *s, struct target *t, struct watch *w,
                    const struct snapshot *snap, const struct stack *native)
{
    struct python_work *k = s->python_work;
    const struct interpreter *py = t->python;
    for (size_t i = 0; i < native->n; i++)
        k->native[i] = (struct native_frame){.sp = native->frames[i].sp,
                                             .role = role_of(py, &native->frames[i])};
    struct merged_stack merged = {.frames = k->merged};
    python_merge(k->native, native->n, native->end == STACK_COMPLETE, k->frames, k->n, !k->torn,
                 &merged);
    s->profile->python_mismatches += merged.mismatch;
    uint64_t gil = awaited_gil(py, snap, w->plan);
    return show(s, &merged, gil ? gil_frame(s, t, w, snap, gil) : PROFILE_NO_FRAME);
}

size_t pystacks_merge(struct session *s, struct target *t, struct watch *w,
                      const struct snapshot *snap, struct stack *native, size_t n)
{
    struct interpreter *py = t->python;
    if (!py || !w->plan)
        return s->opt.gil ? only(s, SPECIAL_NOT_COUNTED) : without(s, n);
    struct live_memory live = live_memory_of(t, py->module);
    struct python_moment at = {.then = copied_memory_reader(snap),
                               .now = live_memory_reader(&live),
                               .codes_copied = snap->refs_copied,
                               .whole = !snap->pieces_cut};
    uint64_t fresh = py->codes.fresh;
    py->codes.now_ns = clock_now_ns();
    py->codes.epoch++; /* a code object may have taken another's place since the last sample */
    if (s->opt.gil && !holds_gil(py, &at.then, w->plan))
        return only(s, SPECIAL_NOT_COUNTED);
    bool same = walk_all(s, py, &at, w);
    bool late = came_late(py, fresh, w, snap);
    watch_codes(py, fresh, py->codes.now_ns);
    w->plan_stale = w->plan_stale || !same;
    s->profile->python_torn += !same || late || s->python_work->torn;
    return !same || late ? without(s, n) : merge(s, t, w, snap, native);
}

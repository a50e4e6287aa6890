/* SPDX-License-Identifier: MIT */
#include "profile/profile.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char *const kind_names[KIND_N] = {
    [KIND_NATIVE] = "native", [KIND_PYTHON] = "python",   [KIND_JIT] = "jit",
    [KIND_KERNEL] = "kernel", [KIND_UNKNOWN] = "unknown",
};

static const char *const loss_names[LOSS_N] = {
    [LOSS_UNWIND] = "unwind",
    [LOSS_THREAD_GONE] = "thread gone",
    [LOSS_LATE] = "late",
    [LOSS_UNSEEN] = "unseen",
    [LOSS_TRACED] = "traced by another",
    [LOSS_REFUSED] = "refused",
    [LOSS_NO_STOP] = "did not stop",
    [LOSS_UNREADABLE] = "unreadable",
    [LOSS_NOT_STOPPED] = "not stopped",
    [LOSS_PERF] = "lost by perf",
};

const char *frame_kind_name(enum frame_kind kind)
{
    return (unsigned)kind < KIND_N ? kind_names[kind] : "unknown";
}

const char *loss_name(enum loss loss)
{
    return (unsigned)loss < LOSS_N ? loss_names[loss] : "unknown";
}

/* Indices are 32 bits wide, and the highest stands for "none". */
static size_t limit_or(size_t wanted, size_t fallback)
{
    size_t limit = wanted ? wanted : fallback;
    return limit < UINT32_MAX / 4 ? limit : UINT32_MAX / 4;
}

/* All frames begin with the line 0, which says nothing. */
static const struct profile_frame nameless = {.kind = KIND_UNKNOWN, .n_lines = 1};

static uint32_t add_frame(struct profile *p, const struct profile_frame *frame)
{
    p->frames = mem_grow(p->frames, &p->frames_cap, p->n_frames + 1, sizeof(*p->frames));
    p->frames[p->n_frames] = *frame;
    return (uint32_t)p->n_frames++;
}

static uint32_t add_line(struct profile *p, const struct profile_line *line)
{
    p->lines = mem_grow(p->lines, &p->lines_cap, p->n_lines + 1, sizeof(*p->lines));
    p->lines[p->n_lines] = *line;
    return (uint32_t)p->n_lines++;
}

static uint32_t add_module(struct profile *p, const struct profile_module *module)
{
    p->modules = mem_grow(p->modules, &p->modules_cap, p->n_modules + 1, sizeof(*p->modules));
    p->modules[p->n_modules] = *module;
    return (uint32_t)p->n_modules++;
}

static uint32_t add_node(struct profile *p, uint32_t parent, uint32_t frame)
{
    p->nodes = mem_grow(p->nodes, &p->nodes_cap, p->n_nodes + 1, sizeof(*p->nodes));
    p->nodes[p->n_nodes] = (struct profile_node){.parent = parent, .frame = frame};
    return (uint32_t)p->n_nodes++;
}

static uint32_t add_thread(struct profile *p, const struct profile_thread *thread)
{
    p->threads = mem_grow(p->threads, &p->threads_cap, p->n_threads + 1, sizeof(*p->threads));
    p->threads[p->n_threads] = *thread;
    return (uint32_t)p->n_threads++;
}

struct profile *profile_new(const struct profile_limits *limits)
{
    static const struct profile_limits none;
    const struct profile_limits *l = limits ? limits : &none;
    struct profile *p = mem_alloc(sizeof(*p));
    p->limits = (struct profile_limits){
        .nodes = limit_or(l->nodes, PROFILE_NODES_MAX),
        .frames = limit_or(l->frames, PROFILE_FRAMES_MAX),
        .threads = limit_or(l->threads, PROFILE_THREADS_MAX),
        .string_bytes = limit_or(l->string_bytes, PROFILE_STRING_BYTES_MAX),
    };
    p->strings = intern_new(p->limits.string_bytes);
    lookup_init(&p->by_frame);
    lookup_init(&p->by_node);
    lookup_init(&p->by_tally);
    p->other_thread = UINT32_MAX;
    add_line(p, &(struct profile_line){0});
    add_module(p, &(struct profile_module){0});
    add_frame(p, &nameless);
    profile_name(p, PROFILE_NO_FRAME, KIND_UNKNOWN, 0,
                 &(struct profile_line){.function = intern_put(p->strings, "[other]")}, 1);
    add_node(p, 0, PROFILE_NO_FRAME);
    return p;
}

void profile_free(struct profile *p)
{
    if (!p)
        return;
    free(p->frames);
    free(p->lines);
    free(p->modules);
    free(p->nodes);
    free(p->threads);
    free(p->tallies);
    free(p->moments);
    free(p->last_moment);
    intern_free(p->strings);
    lookup_release(&p->by_frame);
    lookup_release(&p->by_node);
    lookup_release(&p->by_tally);
    map_release(&p->by_thread);
    map_release(&p->by_module);
    free(p);
}

uint32_t profile_frame(struct profile *p, uint64_t space, uint64_t address)
{
    uint32_t hash = lookup_hash(&p->by_frame, space, address), known;
    for (size_t pos = 0; (known = lookup_next(&p->by_frame, hash, &pos)) != LOOKUP_NONE;)
        if (p->frames[known].space == space && p->frames[known].address == address)
            return known;
    /* One more than the limit: the reserved frame is not the adder's. */
    if (p->n_frames > p->limits.frames)
        return PROFILE_NO_FRAME;
    uint32_t frame = add_frame(p, &nameless);
    p->frames[frame].space = space;
    p->frames[frame].address = address;
    lookup_put(&p->by_frame, hash, frame);
    return frame;
}

uint32_t profile_module(struct profile *p, const char *path, const char *name, const char *build_id)
{
    struct profile_module m = {.path = intern_put(p->strings, path),
                               .name = intern_put(p->strings, name),
                               .build_id = intern_put(p->strings, build_id)};
    const uint64_t *known = map_find(&p->by_module, m.path, m.build_id);
    if (known)
        return (uint32_t)*known;
    uint32_t module = add_module(p, &m);
    map_put(&p->by_module, m.path, m.build_id, module);
    return module;
}

void profile_name(struct profile *p, uint32_t frame, enum frame_kind kind, uint32_t module,
                  const struct profile_line *lines, size_t n)
{
    struct profile_frame *f = &p->frames[frame];
    bool fits = f->first_line && f->n_lines >= n;
    if (!fits && p->n_lines + n > PROFILE_LINES_MAX) {
        p->names_folded++;
        return;
    }
    f->kind = kind;
    f->module = module;
    uint32_t at = f->first_line;
    if (!fits)
        for (size_t i = 0; i < n; i++) {
            uint32_t line = add_line(p, &lines[i]);
            at = i ? at : line;
        }
    else
        memcpy(&p->lines[at], lines, n * sizeof(*lines));
    f->first_line = at;
    f->n_lines = (uint32_t)n;
}

uint32_t profile_other_thread(struct profile *p)
{
    if (p->other_thread == UINT32_MAX)
        p->other_thread =
            add_thread(p, &(struct profile_thread){.name = intern_put(p->strings, "[other]")});
    return p->other_thread;
}

/* key: the tid, or what stands for it. NULL where it is not known yet. */
static uint64_t *known_thread(const struct profile *p, pid_t pid, uint64_t key)
{
    return map_find(&p->by_thread, (uint64_t)pid, key);
}

static uint32_t new_thread(struct profile *p, uint64_t key, const struct profile_thread *t)
{
    if (p->by_thread.n >= p->limits.threads)
        return profile_other_thread(p);
    uint32_t thread = add_thread(p, t);
    map_put(&p->by_thread, (uint64_t)t->pid, key, thread);
    return thread;
}

uint32_t profile_thread(struct profile *p, pid_t pid, pid_t tid, const char *name)
{
    const uint64_t *known = known_thread(p, pid, (uint64_t)tid);
    struct profile_thread *t = known ? &p->threads[*known] : NULL;
    if (!t)
        return new_thread(
            p, (uint64_t)tid,
            &(struct profile_thread){.pid = pid, .tid = tid, .name = intern_put(p->strings, name)});
    if (strcmp(intern_get(p->strings, t->name), name) != 0)
        t->name = intern_put(p->strings, name);
    return (uint32_t)*known;
}

uint32_t profile_named_thread(struct profile *p, pid_t pid, const char *name)
{
    struct profile_thread t = {.pid = pid, .name = intern_put(p->strings, name)};
    uint64_t key = (uint64_t)1 << 32 | t.name; /* no tid */
    const uint64_t *known = known_thread(p, pid, key);
    return known ? (uint32_t)*known : new_thread(p, key, &t);
}

/* False where the child is new and the trie full. */
static bool descend(struct profile *p, uint32_t *node, uint32_t frame)
{
    uint32_t hash = lookup_hash(&p->by_node, *node, frame), known;
    for (size_t pos = 0; (known = lookup_next(&p->by_node, hash, &pos)) != LOOKUP_NONE;) {
        if (p->nodes[known].parent != *node || p->nodes[known].frame != frame)
            continue;
        *node = known;
        return true;
    }
    if (frame == PROFILE_NO_FRAME || p->n_nodes > p->limits.nodes)
        return false;
    uint32_t child = add_node(p, *node, frame);
    lookup_put(&p->by_node, hash, child);
    *node = child;
    return true;
}

static bool same_tally(const struct profile_tally *a, const struct profile_tally *b)
{
    return a->node == b->node && a->thread == b->thread && a->state == b->state &&
           a->folded == b->folded;
}

static uint32_t tally_of(struct profile *p, const struct profile_tally *key)
{
    uint64_t a = (uint64_t)key->node << 32 | key->thread;
    uint64_t b = (uint64_t)key->state << 1 | key->folded;
    uint32_t hash = lookup_hash(&p->by_tally, a, b), known;
    for (size_t pos = 0; (known = lookup_next(&p->by_tally, hash, &pos)) != LOOKUP_NONE;)
        if (same_tally(&p->tallies[known], key))
            return known;
    if (p->n_tallies >= p->limits.nodes && key->thread != p->other_thread) {
        /* At most four for each node, so these are bounded as well. */
        struct profile_tally merged = *key;
        merged.thread = profile_other_thread(p);
        return tally_of(p, &merged);
    }
    p->tallies = mem_grow(p->tallies, &p->tallies_cap, p->n_tallies + 1, sizeof(*p->tallies));
    p->tallies[p->n_tallies] = *key;
    lookup_put(&p->by_tally, hash, (uint32_t)p->n_tallies);
    return (uint32_t)p->n_tallies++;
}

uint32_t profile_stack(struct profile *p, const uint32_t *frames_root_first, size_t n,
                       uint32_t thread, enum profile_state state)
{
    uint32_t node = 0;
    size_t i = 0;
    while (i < n && descend(p, &node, frames_root_first[i]))
        i++;
    return tally_of(p, &(struct profile_tally){
                           .node = node, .thread = thread, .state = state, .folded = i < n});
}

void profile_hit(struct profile *p, uint32_t tally, uint64_t hits)
{
    struct profile_tally *t = &p->tallies[tally];
    t->hits += hits;
    if (t->folded)
        p->folded += hits;
    if (t->thread == p->other_thread)
        p->unattributed += hits;
}

void profile_keep_time(struct profile *p)
{
    p->timed = true;
}

static uint32_t *last_moment_of(struct profile *p, uint32_t thread)
{
    if (thread >= p->last_moment_cap) {
        size_t before = p->last_moment_cap;
        p->last_moment =
            mem_grow(p->last_moment, &p->last_moment_cap, thread + 1u, sizeof(*p->last_moment));
        memset(p->last_moment + before, 0, (p->last_moment_cap - before) * sizeof(*p->last_moment));
    }
    return &p->last_moment[thread];
}

void profile_moment(struct profile *p, uint32_t tally, uint64_t hits, uint64_t last_tick)
{
    uint32_t *last = last_moment_of(p, p->tallies[tally].thread);
    struct profile_moment *m = *last ? &p->moments[*last - 1] : NULL;
    uint64_t first = last_tick >= hits ? last_tick - hits + 1 : 1, end = m ? m->tick + m->hits : 0;
    if (m && m->tally == tally && end == first && m->hits <= UINT32_MAX - hits) {
        m->hits += (uint32_t)hits;
        return;
    }
    if (p->n_moments == PROFILE_MOMENTS_MAX || hits > UINT32_MAX) {
        p->untimed += hits;
        return;
    }
    p->moments = mem_grow(p->moments, &p->moments_cap, p->n_moments + 1, sizeof(*p->moments));
    p->moments[p->n_moments++] = (struct profile_moment){
        .tick = first > end ? first : end, .tally = tally, .hits = (uint32_t)hits};
    *last = (uint32_t)p->n_moments;
}

uint64_t profile_samples(const struct profile *p, enum profile_state state)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < p->n_tallies; i++)
        if (p->tallies[i].state == state)
            sum += p->tallies[i].hits;
    return sum;
}

void profile_reset(struct profile *p)
{
    for (size_t i = 0; i < p->n_tallies; i++)
        p->tallies[i].hits = 0;
    for (size_t i = 0; i < p->n_threads && i < p->last_moment_cap; i++)
        p->last_moment[i] = 0;
    p->n_moments = 0;
    p->untimed = 0;
    memset(p->lost, 0, sizeof(p->lost));
    p->python_torn = p->python_mismatches = 0;
    p->truncated = p->given_up = p->folded = p->unattributed = 0;
    p->ticks = p->ticks_missed = 0;
    p->duration_ns = 0;
    p->cost = (struct profile_cost){0};
}

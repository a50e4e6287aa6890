/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/mem.h"
#include "report/flametree.h"

/* One of two profiles on its way into a common one. */
struct side {
    const struct profile *from;
    struct profile *to;
    uint64_t
        space; /* keeps its frames apart from the other's; the tabulation merges them by name */
    uint32_t *frame; /* owned, as are those below: by frame of `from`, the frame there */
    struct profile_line *lines;
    uint32_t *stack;
    size_t lines_cap, stack_cap;
};

static uint32_t put_string(const struct side *s, uint32_t string)
{
    return intern_put(s->to->strings, intern_get(s->from->strings, string));
}

static uint32_t put_module(const struct side *s, uint32_t module)
{
    const struct profile_module *m = &s->from->modules[module];
    const struct intern *strings = s->from->strings;
    if (!module)
        return 0;
    return profile_module(s->to, intern_get(strings, m->path), intern_get(strings, m->name),
                          intern_get(strings, m->build_id));
}

static void put_frame(struct side *s, uint32_t number)
{
    const struct profile_frame *f = &s->from->frames[number];
    uint32_t to = profile_frame(s->to, s->space + number, f->address);
    s->frame[number] = to;
    if (to == PROFILE_NO_FRAME)
        return;
    s->lines = mem_grow(s->lines, &s->lines_cap, f->n_lines, sizeof(*s->lines));
    for (uint32_t i = 0; i < f->n_lines; i++) {
        struct profile_line l = s->from->lines[f->first_line + i];
        l.function = put_string(s, l.function);
        l.linkage_name = put_string(s, l.linkage_name);
        l.file = put_string(s, l.file);
        s->lines[i] = l;
    }
    profile_name(s->to, to, f->kind, put_module(s, f->module), s->lines, f->n_lines);
}

static void put_tally(struct side *s, const struct profile_tally *t, uint32_t thread)
{
    const struct profile_node *nodes = s->from->nodes;
    size_t depth = 0, at;
    for (uint32_t node = t->node; node; node = nodes[node].parent)
        depth++;
    s->stack = mem_grow(s->stack, &s->stack_cap, depth + 1, sizeof(*s->stack));
    at = depth;
    for (uint32_t node = t->node; node; node = nodes[node].parent)
        s->stack[--at] = s->frame[nodes[node].frame];
    profile_hit(s->to, profile_stack(s->to, s->stack, depth, thread, t->state), t->hits);
}

static void put_side(struct profile *to, const struct profile *from, unsigned side)
{
    static const char *const names[] = {"before", "after"};
    struct side s = {.from = from, .to = to, .space = (uint64_t)side << 32};
    uint32_t thread = profile_thread(to, 0, (pid_t)side + 1, names[side]);
    s.frame = mem_alloc(from->n_frames * sizeof(*s.frame));
    for (uint32_t i = 1; i < from->n_frames; i++)
        put_frame(&s, i);
    for (size_t i = 0; i < from->n_tallies; i++)
        if (from->tallies[i].hits)
            put_tally(&s, &from->tallies[i], thread);
    free(s.frame);
    free(s.lines);
    free(s.stack);
}

struct profile *flame_join(const struct profile *before, const struct profile *after)
{
    const struct profile_limits room = {.nodes = before->n_nodes + after->n_nodes,
                                        .frames = before->n_frames + after->n_frames,
                                        .string_bytes = 2ull * PROFILE_STRING_BYTES_MAX};
    struct profile *p = profile_new(&room);
    put_side(p, before, 0);
    put_side(p, after, 1);
    return p;
}

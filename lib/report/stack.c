/* SPDX-License-Identifier: MIT */
#include "report/stack.h"

#include <stdlib.h>

#include "base/mem.h"

void stack_functions_of(const struct tabulation *t, uint32_t node, struct stack_functions *ret)
{
    const struct profile_node *nodes = t->p->nodes;
    ret->n = 0;
    do {
        struct shown_lines shown = report_lines(t->p, t->opt, nodes[node].frame);
        size_t more = shown.end - shown.first;
        ret->items = mem_grow(ret->items, &ret->cap, ret->n + more, sizeof(*ret->items));
        for (uint32_t line = shown.first; line < shown.end; line++)
            ret->items[ret->n++] = t->function_of[line];
        node = nodes[node].parent;
    } while (node);
}

void stack_functions_release(struct stack_functions *s)
{
    free(s->items);
    *s = (struct stack_functions){0};
}

/* A counting sort, which keeps the order in time. */
void timeline_init(struct timeline *t, const struct profile *p)
{
    t->group = mem_alloc((p->n_threads + 2) * sizeof(*t->group));
    t->moments = mem_alloc(p->n_moments * sizeof(*t->moments));
    for (size_t i = 0; i < p->n_moments; i++)
        if (p->tallies[p->moments[i].tally].hits)
            t->group[p->tallies[p->moments[i].tally].thread + 2]++;
    for (size_t i = 2; i < p->n_threads + 2; i++)
        t->group[i] += t->group[i - 1];
    for (size_t i = 0; i < p->n_moments; i++) {
        const struct profile_tally *tally = &p->tallies[p->moments[i].tally];
        if (tally->hits)
            t->moments[t->group[tally->thread + 1]++] = (uint32_t)i;
    }
}

void timeline_release(struct timeline *t)
{
    free(t->moments);
    free(t->group);
    *t = (struct timeline){0};
}

void stack_processes(const struct profile *p, struct map *processes)
{
    for (uint32_t i = 0; i < p->n_threads; i++) {
        const struct profile_thread *t = &p->threads[i];
        bool first = !map_find(processes, (uint64_t)t->pid, 0);
        if (t->pid && (first || t->pid == t->tid))
            map_put(processes, (uint64_t)t->pid, 0, i);
    }
}

char *stack_thread_name(const struct profile *p, uint32_t thread)
{
    const struct profile_thread *t = &p->threads[thread];
    OX_FREE char *name = report_escaped(p, t->name, NULL);
    return t->tid ? mem_printf("%s (tid %d)", name, t->tid) : OX_TAKE(name);
}

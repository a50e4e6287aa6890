/* SPDX-License-Identifier: MIT */
#include "unwind/go_stacks.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

struct go_stacks {
    struct map modules; /* module's id -> place in tables + 1; 0: not Go's */
    struct gotable **tables;
    size_t n, cap;
};

struct go_stacks *go_stacks_new(void)
{
    return mem_alloc(sizeof(struct go_stacks));
}

void go_stacks_forget(struct go_stacks *g)
{
    for (size_t i = 0; i < g->n; i++)
        gotable_close(g->tables[i]);
    g->n = 0;
    map_release(&g->modules);
}

void go_stacks_free(struct go_stacks *g)
{
    if (!g)
        return;
    go_stacks_forget(g);
    free(g->tables);
    free(g);
}

static struct gotable *table_get(struct go_stacks *g, struct module *m)
{
    struct gotable *t = NULL;
    const uint64_t *place = map_find(&g->modules, m->id, 0);
    if (place)
        return *place ? g->tables[*place - 1] : NULL;
    if (!m->n_loads || gotable_open(m, &t) < 0) {
        map_put(&g->modules, m->id, 0, 0);
        return NULL;
    }
    g->tables = mem_grow(g->tables, &g->cap, g->n + 1, sizeof(struct gotable *));
    g->tables[g->n++] = t;
    map_put(&g->modules, m->id, 0, g->n);
    return t;
}

static enum go_role role_of(const char *name)
{
    static const struct {
        const char *name;
        enum go_role role;
    } roles[] = {
        {"runtime.asmcgocall", GO_BOTTOM},
        {"runtime.goexit", GO_BOTTOM},
        {"runtime.mcall", GO_BOTTOM},
        {"runtime.morestack", GO_BOTTOM},
        {"runtime.mstart", GO_BOTTOM},
        {"runtime.rt0_go", GO_BOTTOM},
        {"runtime.systemstack", GO_BOTTOM},
        {"runtime.nanotime1", GO_KEEPS_SP},
        {"runtime.walltime", GO_KEEPS_SP},
        {"runtime.walltime1", GO_KEEPS_SP},
        {"time.now", GO_KEEPS_SP},
        {"runtime.sigreturn", GO_SIGNAL},
        {"runtime.sigreturn__sigaction", GO_SIGNAL},
    };
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
        if (!strcmp(name, roles[i].name))
            return roles[i].role;
    return GO_ORDINARY;
}

enum go_role go_stacks_role(struct go_stacks *g, struct module *m, uint64_t vaddr)
{
    struct gofunction f;
    struct gotable *t = table_get(g, m);
    return t && gotable_find(t, vaddr, &f) == 0 ? role_of(f.name) : GO_ORDINARY;
}

bool go_stacks_function(struct go_stacks *g, struct module *m, uint64_t vaddr, uint64_t *ret_start,
                        uint64_t *ret_end)
{
    struct gofunction f;
    struct gotable *t = table_get(g, m);
    if (!t || gotable_find(t, vaddr, &f) < 0)
        return false;
    *ret_start = f.start;
    *ret_end = f.start + f.bytes;
    return true;
}

void go_stacks_deltas(struct go_stacks *g, struct module *m, uint64_t vaddr, gotable_visit *visit,
                      void *arg)
{
    struct gotable *t = table_get(g, m);
    if (t)
        gotable_sp_deltas(t, vaddr, visit, arg);
}

/* SPDX-License-Identifier: MIT */
#include "live/terminal_state.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "live/calltree.h"

static void list_functions(struct terminal *t)
{
    struct report_table table;
    tabulation_table(&t->tab, t->state, t->thread_index, &table);
    t->samples = table.samples;
    t->lines = mem_alloc(table.n * sizeof(*t->lines) + 1);
    for (size_t i = 0; i < table.n; i++) {
        const struct report_row *row = &table.rows[i];
        const uint32_t texts[] = {row->function, row->module, row->file};
        bool shown = !t->filtered;
        for (size_t k = 0; k < 3 && !shown; k++)
            shown = texts[k] &&
                    regexec(&t->filter, intern_get(t->tab.p->strings, texts[k]), 0, NULL, 0) == 0;
        if (!shown)
            continue;
        t->lines[t->n_lines++] =
            (struct line){.self = row->self, .total = row->total, .id = row->id};
    }
    report_table_release(&table);
}

static void list_threads(struct terminal *t)
{
    t->lines = mem_alloc(t->tab.n_threads * sizeof(*t->lines) + 1);
    for (size_t i = 0; i < t->tab.n_threads; i++) {
        const struct tab_thread *th = &t->tab.threads[i];
        const char *name = intern_get(t->tab.p->strings, t->tab.p->threads[th->thread].name);
        if (t->filtered && regexec(&t->filter, name, 0, NULL, 0) != 0)
            continue;
        t->lines[t->n_lines++] = (struct line){
            .self = th->hits[PROFILE_CPU], .total = th->hits[PROFILE_WAIT], .id = th->thread};
    }
}

char *terminal_function(const struct terminal *t, uint32_t function)
{
    const struct report_row *row = &t->tab.functions[function].row;
    char *name OX_FREE = report_function(t->tab.p, row->function, NULL);
    char *place OX_FREE = report_place(t->tab.p, &t->opt, row);
    return *place ? mem_printf("%s (%s)", name, place) : mem_strdup(name);
}

static uint32_t find_chosen(const struct terminal *t)
{
    for (uint32_t i = 0; t->chosen && i < t->tab.n_functions; i++) {
        char *name OX_FREE = terminal_function(t, i);
        if (!strcmp(name, t->chosen))
            return i;
    }
    return UINT32_MAX;
}

static void list_tree(struct terminal *t)
{
    struct calltree tree;
    uint32_t function = find_chosen(t);
    t->lines = mem_alloc(CALLTREE_LINES_MAX * sizeof(*t->lines));
    if (function == UINT32_MAX)
        return;
    calltree_make(&t->tab, t->state, function, t->callers, &tree);
    t->samples = tree.n ? tree.lines[0].hits : 0;
    for (size_t i = 0; i < tree.n; i++)
        t->lines[t->n_lines++] = (struct line){.total = tree.lines[i].hits,
                                               .id = tree.lines[i].function,
                                               .depth = tree.lines[i].depth};
    calltree_release(&tree);
}

void terminal_list(struct terminal *t)
{
    uint64_t now_s = t->mirror->updated_ns / OX_NS_PER_S;
    t->opt = (struct report_options){.version = OX_VERSION, .sort = t->sort};
    t->n_lines = 0;
    if (t->recent)
        mirror_between(t->mirror, now_s > RECENT_S ? now_s - RECENT_S : 1, now_s, &t->view);
    tabulation_init(&t->tab, t->recent ? &t->view : t->mirror->p, &t->opt);
    if (t->scene == SCENE_THREADS)
        list_threads(t);
    else if (t->scene == SCENE_TREE)
        list_tree(t);
    else
        list_functions(t);
}

void terminal_list_release(struct terminal *t)
{
    tabulation_release(&t->tab);
    if (t->recent)
        mirror_view_release(&t->view);
    t->view = (struct profile){0};
    free(t->lines);
    t->lines = NULL;
}

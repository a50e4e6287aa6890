/* SPDX-License-Identifier: MIT */
#include "base/mem.h"
#include "report/flamegraph.h"
#include "report/flametree.h"
#include "report/head.h"
#include "report/json_out.h"
#include "report/stack.h"

struct flame {
    struct json json;
    const struct profile *p;
    struct flame_tree tree;
    struct map processes;   /* pid -> thread that the process is called after */
    struct intern *strings; /* owned; those that are written */
};

static void put_escaped(struct json *j, const struct profile *p, const char *key, uint32_t string)
{
    OX_FREE char *text = report_escaped(p, string, NULL);
    json_text_at(j, key, text);
}

static void put_head(struct json *j, const struct profile *p)
{
    put_escaped(j, p, "title", p->title);
    put_escaped(j, p, "mode", p->mode);
    json_number_at(j, "interval_ns", p->interval_ns);
    json_number_at(j, "duration_ns", p->duration_ns);
    json_key(j, "cpu_only");
    json_word(j, p->cpu_only ? "true" : "false");
    head_put_json(j, p);
}

static void put_sides(struct json *j, const struct profile *const *sides)
{
    json_key(j, "sides");
    json_open(j, '[');
    for (unsigned i = 0; i < 2; i++) {
        json_open(j, '{');
        put_head(j, sides[i]);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void open_list(struct flame *f, const char *key)
{
    fputc('\n', f->json.out);
    json_key(&f->json, key);
    json_open(&f->json, '[');
}

static void put_kinds(struct flame *f)
{
    open_list(f, "kinds");
    for (unsigned i = 0; i < KIND_N; i++)
        json_text(&f->json, frame_kind_name((enum frame_kind)i));
    json_close(&f->json, ']');
}

/* Writes the text's number in "strings". Takes the text, which has gone through report_escaped().
 */
static void put_string(struct flame *f, char *text)
{
    json_number(&f->json, intern_put(f->strings, text));
    mem_cleanup_free(&text);
}

static void put_function(struct flame *f, const struct report_row *row)
{
    json_open(&f->json, '[');
    put_string(f, report_function(f->p, row->function, NULL));
    put_string(f, report_place(f->p, f->tree.tab.opt, row));
    json_number(&f->json, row->kind);
    put_string(f, report_escaped(f->p, row->module, NULL));
    put_string(f, report_escaped(f->p, row->file, NULL));
    json_number(&f->json, row->line);
    json_close(&f->json, ']');
}

static void put_functions(struct flame *f)
{
    open_list(f, "functions");
    for (size_t i = 0; i < f->tree.n_order; i++)
        put_function(f, &f->tree.tab.functions[f->tree.order[i]].row);
    json_close(&f->json, ']');
}

static void put_threads(struct flame *f)
{
    open_list(f, "threads");
    for (size_t i = 0; i < f->tree.tab.n_threads; i++) {
        const struct profile_thread *t = &f->p->threads[f->tree.tab.threads[i].thread];
        const uint64_t *leader = map_find(&f->processes, (uint64_t)t->pid, 0);
        json_open(&f->json, '[');
        json_number(&f->json, (uint64_t)t->pid);
        json_number(&f->json, (uint64_t)t->tid);
        put_string(f, report_escaped(f->p, t->name, NULL));
        put_string(f, report_escaped(f->p, leader ? f->p->threads[*leader].name : 0, NULL));
        json_close(&f->json, ']');
    }
    json_close(&f->json, ']');
}

static void put_strings(struct flame *f)
{
    open_list(f, "strings");
    for (uint32_t i = 0; i < intern_count(f->strings); i++)
        json_text(&f->json, intern_get(f->strings, i));
    json_close(&f->json, ']');
}

static void put_nodes(struct flame *f)
{
    const struct flame_tree *t = &f->tree;
    uint32_t depth = 0;
    open_list(f, "nodes");
    for (uint32_t at = 0; (at = flame_tree_next(t, at, &depth));) {
        json_number(&f->json, t->rank[t->nodes[at].function]);
        json_number(&f->json, depth);
    }
    json_close(&f->json, ']');
}

static void put_counts(struct flame *f)
{
    uint32_t before = 0;
    open_list(f, "counts");
    for (size_t i = 0; i < f->tree.n_counts; i++) {
        const struct flame_count *c = &f->tree.counts[i];
        json_number(&f->json, c->node - before);
        json_number(&f->json, c->key);
        json_number(&f->json, c->hits);
        before = c->node;
    }
    json_close(&f->json, ']');
}

static void put_data(const struct profile *p, const struct profile *const *sides,
                     const struct report_options *opt, FILE *out)
{
    struct flame f = {.json = {.out = out}, .p = p, .strings = intern_new(SIZE_MAX)};
    flame_tree_init(&f.tree, p, opt);
    stack_processes(p, &f.processes);
    json_open(&f.json, '{');
    json_text_at(&f.json, "schema", "oxprof.stacks/1");
    json_text_at(&f.json, "version", opt->version);
    if (sides)
        put_sides(&f.json, sides);
    else
        put_head(&f.json, p);
    put_kinds(&f);
    put_functions(&f);
    put_threads(&f);
    put_strings(&f);
    put_nodes(&f);
    put_counts(&f);
    json_close(&f.json, '}');
    fputc('\n', out);
    flame_tree_release(&f.tree);
    map_release(&f.processes);
    intern_free(f.strings);
}

void flamegraph_data(const struct profile *p, const struct report_options *opt, FILE *out)
{
    put_data(p, NULL, opt, out);
}

void flamegraph_diff_data(const struct profile *before, const struct profile *after,
                          const struct report_options *opt, FILE *out)
{
    const struct profile *const sides[] = {before, after};
    struct profile *both = flame_join(before, after);
    put_data(both, sides, opt, out);
    profile_free(both);
}

/* SPDX-License-Identifier: MIT */
#include "report/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/lookup.h"
#include "base/mem.h"

struct shown_lines report_lines(const struct profile *p, const struct report_options *opt,
                                uint32_t frame)
{
    const struct profile_frame *f = &p->frames[frame];
    uint32_t end = f->first_line + f->n_lines;
    return (struct shown_lines){.first = opt->no_inlines ? end - 1 : f->first_line, .end = end};
}

struct report_row report_row_of(const struct profile *p, const struct report_options *opt,
                                const struct profile_frame *f, uint32_t line)
{
    const struct profile_line *l = &p->lines[line];
    const struct profile_module *m = &p->modules[f->module];
    return (struct report_row){.function = l->function,
                               .module = opt->full_paths ? m->path : m->name,
                               .kind = f->kind,
                               .file = l->file,
                               .line = opt->lines ? l->line : l->start_line,
                               .address = opt->addresses && line ? f->address : 0};
}

static void merge_source(struct report_row *row, const struct report_row *other)
{
    if (row->file != other->file)
        row->file = row->line = 0;
    else if (row->line != other->line)
        row->line = 0;
}

/* Without a module it is the place in the source that tells two functions apart. */
static bool by_source(const struct tabulation *t, const struct report_row *row)
{
    return t->opt->lines || !row->module;
}

static bool same_row(const struct tabulation *t, const struct report_row *a,
                     const struct report_row *b)
{
    return a->function == b->function && a->kind == b->kind && a->module == b->module &&
           a->address == b->address &&
           (!by_source(t, a) || (a->file == b->file && a->line == b->line));
}

static uint32_t function_of(struct tabulation *t, struct lookup *known,
                            const struct report_row *row)
{
    uint64_t source = by_source(t, row) ? (uint64_t)row->line << 32 | row->file : 0;
    uint64_t name = (uint64_t)row->function << 32 | (uint64_t)row->module << 3 | row->kind;
    uint32_t hash = lookup_hash(known, name, source ^ row->address), at;
    for (size_t pos = 0; (at = lookup_next(known, hash, &pos)) != LOOKUP_NONE;) {
        if (!same_row(t, &t->functions[at].row, row))
            continue;
        merge_source(&t->functions[at].row, row);
        return at;
    }
    t->functions[t->n_functions] = (struct tab_function){.row = *row};
    lookup_put(known, hash, (uint32_t)t->n_functions);
    return (uint32_t)t->n_functions++;
}

static void merge_functions(struct tabulation *t)
{
    const struct profile *p = t->p;
    struct lookup known;
    lookup_init(&known);
    t->functions = mem_alloc(p->n_lines * sizeof(*t->functions)); /* as many at most */
    t->function_of = mem_alloc(p->n_lines * sizeof(*t->function_of));
    for (uint32_t i = 0; i < p->n_frames; i++) {
        struct shown_lines shown = report_lines(p, t->opt, i);
        for (uint32_t line = shown.first; line < shown.end; line++) {
            struct report_row row = report_row_of(p, t->opt, &p->frames[i], line);
            t->function_of[line] = function_of(t, &known, &row);
        }
    }
    lookup_release(&known);
    t->touched = mem_alloc(t->n_functions * sizeof(*t->touched));
}

/* A counting sort: group[thread + 1] first counts, then begins, and at last ends its group. */
static void group_by_thread(struct tabulation *t)
{
    const struct profile *p = t->p;
    t->group = mem_alloc((p->n_threads + 2) * sizeof(*t->group));
    t->by_thread = mem_alloc(p->n_tallies * sizeof(*t->by_thread));
    for (size_t i = 0; i < p->n_tallies; i++)
        if (p->tallies[i].hits)
            t->group[p->tallies[i].thread + 2]++;
    for (size_t i = 2; i < p->n_threads + 2; i++)
        t->group[i] += t->group[i - 1];
    for (size_t i = 0; i < p->n_tallies; i++)
        if (p->tallies[i].hits)
            t->by_thread[t->group[p->tallies[i].thread + 1]++] = (uint32_t)i;
}

static int compare_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int compare_threads(const void *va, const void *vb, void *profile)
{
    const struct profile *p = profile;
    const struct tab_thread *a = va, *b = vb;
    int order = compare_u64(b->hits[PROFILE_CPU], a->hits[PROFILE_CPU]);
    if (!order)
        order = compare_u64(b->hits[PROFILE_WAIT], a->hits[PROFILE_WAIT]);
    if (!order)
        order =
            compare_u64((uint64_t)p->threads[a->thread].tid, (uint64_t)p->threads[b->thread].tid);
    return order ? order : compare_u64(a->thread, b->thread);
}

static void list_threads(struct tabulation *t)
{
    const struct profile *p = t->p;
    t->threads = mem_alloc(p->n_threads * sizeof(*t->threads));
    for (uint32_t thread = 0; thread < p->n_threads; thread++) {
        if (t->group[thread] == t->group[thread + 1])
            continue;
        struct tab_thread *entry = &t->threads[t->n_threads++];
        entry->thread = thread;
        for (size_t i = t->group[thread]; i < t->group[thread + 1]; i++) {
            const struct profile_tally *tally = &p->tallies[t->by_thread[i]];
            entry->hits[tally->state] += tally->hits;
        }
    }
    qsort_r(t->threads, t->n_threads, sizeof(*t->threads), compare_threads, (void *)p);
}

void tabulation_init(struct tabulation *t, const struct profile *p,
                     const struct report_options *opt)
{
    *t = (struct tabulation){.p = p, .opt = opt};
    merge_functions(t);
    group_by_thread(t);
    list_threads(t);
}

void tabulation_release(struct tabulation *t)
{
    free(t->functions);
    free(t->function_of);
    free(t->touched);
    free(t->by_thread);
    free(t->group);
    free(t->threads);
    *t = (struct tabulation){0};
}

static size_t count_line(struct tabulation *t, uint32_t line, uint64_t hits, size_t n_touched)
{
    uint32_t id = t->function_of[line];
    struct tab_function *f = &t->functions[id];
    if (f->seen <= t->stacks_before)
        t->touched[n_touched++] = id;
    if (f->seen != t->stacks)
        f->row.total += hits;
    f->seen = t->stacks;
    return n_touched;
}

static size_t count_stack(struct tabulation *t, const struct profile_tally *tally, size_t n_touched)
{
    const struct profile_node *nodes = t->p->nodes;
    uint32_t node = tally->node;
    struct shown_lines leaf = report_lines(t->p, t->opt, nodes[node].frame);
    t->stacks++;
    t->functions[t->function_of[leaf.first]].row.self += tally->hits;
    do {
        struct shown_lines shown = report_lines(t->p, t->opt, nodes[node].frame);
        for (uint32_t line = shown.first; line < shown.end; line++)
            n_touched = count_line(t, line, tally->hits, n_touched);
        node = nodes[node].parent;
    } while (node);
    return n_touched;
}

struct row_order {
    const struct profile *p;
    enum report_sort sort;
};

static int compare_strings(const struct profile *p, uint32_t a, uint32_t b)
{
    return a == b ? 0 : strcmp(intern_get(p->strings, a), intern_get(p->strings, b));
}

int report_compare_names(const struct profile *p, const struct report_row *a,
                         const struct report_row *b)
{
    int order = compare_strings(p, a->function, b->function);
    if (!order)
        order = compare_strings(p, a->module, b->module);
    if (!order)
        order = compare_strings(p, a->file, b->file);
    if (!order)
        order = compare_u64(a->line, b->line);
    if (!order)
        order = compare_u64(a->address, b->address);
    return order ? order : compare_u64(a->kind, b->kind);
}

static int compare_rows(const void *va, const void *vb, void *row_order)
{
    const struct row_order *by = row_order;
    const struct report_row *a = va, *b = vb;
    int self = compare_u64(b->self, a->self), total = compare_u64(b->total, a->total);
    int order = by->sort == SORT_NAME ? 0 : by->sort == SORT_TOTAL ? total : self;
    if (!order && by->sort != SORT_NAME)
        order = by->sort == SORT_TOTAL ? self : total;
    return order ? order : report_compare_names(by->p, a, b);
}

static int compare_functions(const void *va, const void *vb, void *tabulation)
{
    const struct tabulation *t = tabulation;
    const uint32_t *a = va, *b = vb;
    int order = report_compare_names(t->p, &t->functions[*a].row, &t->functions[*b].row);
    return order ? order : compare_u64(*a, *b);
}

uint32_t *tabulation_by_name(const struct tabulation *t)
{
    uint32_t *functions = mem_alloc(t->n_functions * sizeof(*functions));
    for (uint32_t i = 0; i < t->n_functions; i++)
        functions[i] = i;
    if (t->n_functions)
        qsort_r(functions, t->n_functions, sizeof(*functions), compare_functions, (void *)t);
    return functions;
}

/* Hands out what was counted and leaves the functions uncounted for the next table. */
static void take_rows(struct tabulation *t, size_t n_touched, struct report_table *table)
{
    table->rows = mem_alloc(n_touched * sizeof(*table->rows));
    table->n = n_touched;
    for (size_t i = 0; i < n_touched; i++) {
        struct report_row *row = &t->functions[t->touched[i]].row;
        table->rows[i] = *row;
        table->rows[i].id = t->touched[i];
        row->self = row->total = 0;
    }
}

void tabulation_table(struct tabulation *t, enum profile_state state, uint32_t thread,
                      struct report_table *ret_table)
{
    bool all = thread == UINT32_MAX;
    size_t first = all ? 0 : t->group[thread];
    size_t end = t->group[all ? t->p->n_threads : thread + 1];
    struct report_table table = {0};
    size_t n_touched = 0;
    t->stacks_before = t->stacks;
    for (size_t i = first; i < end; i++) {
        const struct profile_tally *tally = &t->p->tallies[t->by_thread[i]];
        if (tally->state != state)
            continue;
        table.samples += tally->hits;
        n_touched = count_stack(t, tally, n_touched);
    }
    take_rows(t, n_touched, &table);
    struct row_order order = {.p = t->p, .sort = t->opt->sort};
    qsort_r(table.rows, table.n, sizeof(*table.rows), compare_rows, &order);
    *ret_table = table;
}

void report_table_make(const struct profile *p, const struct report_options *opt,
                       enum profile_state state, uint32_t thread, struct report_table *ret_table)
{
    struct tabulation t;
    tabulation_init(&t, p, opt);
    tabulation_table(&t, state, thread, ret_table);
    tabulation_release(&t);
}

void report_table_release(struct report_table *t)
{
    if (!t)
        return;
    free(t->rows);
    *t = (struct report_table){0};
}

struct omitted report_table_limit(struct report_table *table, const struct report_options *opt)
{
    struct omitted left_out = {0};
    double least = opt->min_percent / 100 * (double)table->samples;
    size_t kept = 0;
    for (size_t i = 0; i < table->n; i++) {
        bool low = (double)table->rows[i].total < least;
        if (!low && (!opt->top || kept < opt->top)) {
            table->rows[kept++] = table->rows[i];
            continue;
        }
        *(low ? &left_out.by_percent : &left_out.by_top) = true;
        left_out.functions++;
        left_out.self += table->rows[i].self;
    }
    table->n = kept;
    return left_out;
}

char *report_escaped(const struct profile *p, uint32_t string, const char *extra)
{
    const char *raw = intern_get(p->strings, string);
    size_t bytes = 4 * strlen(raw) + 1;
    char *text = mem_alloc(bytes);
    escape_text(text, bytes, raw, extra);
    return text;
}

char *report_function(const struct profile *p, uint32_t function, const char *extra)
{
    if (!*intern_get(p->strings, function))
        return mem_strdup("[unknown]");
    return report_escaped(p, function, extra);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* Python has nothing but its files to tell modules by. */
static char *file_of(const struct profile *p, const struct report_options *opt,
                     const struct report_row *row)
{
    OX_FREE char *path = report_escaped(p, row->file, NULL);
    bool whole = opt->full_paths || row->kind == KIND_PYTHON;
    const char *shown = whole ? path : base_name(path);
    return row->line ? mem_printf("%s:%" PRIu32, shown, row->line) : mem_strdup(shown);
}

char *report_place(const struct profile *p, const struct report_options *opt,
                   const struct report_row *row)
{
    bool source = row->file && (opt->lines || !row->module);
    OX_FREE char *module = report_escaped(p, row->module, NULL);
    OX_FREE char *file = source ? file_of(p, opt, row) : mem_strdup("");
    if (opt->addresses && *module)
        return mem_printf("%s%s%s+0x%" PRIx64, file, source ? ", " : "", module, row->address);
    if (source)
        return OX_TAKE(file);
    return OX_TAKE(module);
}

char *report_function_label(const struct profile *p, const struct report_options *opt,
                            const struct report_row *row)
{
    OX_FREE char *function = report_function(p, row->function, NULL);
    OX_FREE char *place = opt->lines || opt->addresses ? report_place(p, opt, row) : mem_strdup("");
    return *place ? mem_printf("%s (%s)", function, place) : OX_TAKE(function);
}

int report_finish(FILE *out)
{
    return fflush(out) || ferror(out) ? -EIO : 0;
}

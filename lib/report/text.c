/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "report/interval.h"
#include "report/number.h"
#include "report/text_lines.h"
#include "report/waits.h"

/* Lines of a block besides its rows: blank, title, columns, what was left out. */
enum { BLOCK_LINES = 4, VIEW_LINES_MIN = 12 };

static const char *const titles[PROFILE_STATES] = {
    [PROFILE_CPU] = "on CPU", [PROFILE_WAIT] = "waiting"};

static char *label_of(const struct text *t, const struct report_row *row)
{
    OX_FREE char *function = report_function(t->tab.p, row->function, NULL);
    OX_FREE char *place = report_place(t->tab.p, t->opt, row);
    return *place ? mem_printf("%s (%s)", function, place) : OX_TAKE(function);
}

struct widths {
    int self, total, kind;
};

static struct widths widths_of(const struct report_table *table)
{
    struct widths w = {.self = 7, .total = 6, .kind = 6};
    for (size_t i = 0; i < table->n; i++) {
        const struct report_row *row = &table->rows[i];
        int self = snprintf(NULL, 0, "%" PRIu64, row->self);
        int total = snprintf(NULL, 0, "%" PRIu64, row->total);
        int kind = (int)strlen(frame_kind_name(row->kind));
        w.self = self > w.self ? self : w.self;
        w.total = total > w.total ? total : w.total;
        w.kind = kind > w.kind ? kind : w.kind;
    }
    return w;
}

/* "38.78-47.50", where it is asked for. */
static void put_interval(struct text *t, uint64_t hits, uint64_t samples)
{
    struct interval ci = interval_of(hits, samples, OX_Z_95);
    if (!t->opt->ci)
        return;
    OX_FREE char *text =
        mem_printf("%s-%s", interval_percent(ci.low).text, interval_percent(ci.high).text);
    text_put(t, "  %13s", text);
}

static void put_row(struct text *t, const struct report_row *row, uint64_t samples,
                    const struct widths *w)
{
    OX_FREE char *label = label_of(t, row);
    text_put(t, "%*" PRIu64 "  %6s", w->self, row->self,
             number_fixed(100, row->self, samples, 2).text);
    put_interval(t, row->self, samples);
    text_put(t, "  %*" PRIu64 "  %6s", w->total, row->total,
             number_fixed(100, row->total, samples, 2).text);
    put_interval(t, row->total, samples);
    text_put(t, "  %-*s  ", w->kind, frame_kind_name(row->kind));
    text_put_label(t, label);
}

static void put_columns(struct text *t, const struct widths *w)
{
    const char *bold = t->opt->color ? "\033[1m" : "", *plain = t->opt->color ? "\033[0m" : "";
    fputs(bold, t->out);
    text_put(t, "#%*s  %6s", w->self - 1, "SELF", "SELF%");
    text_put(t, "%s  %*s  %6s", t->opt->ci ? "         SELF95" : "", w->total, "TOTAL", "TOTAL%");
    text_put(t, "%s  %-*s  FUNCTION", t->opt->ci ? "        TOTAL95" : "", w->kind, "KIND");
    fputs(plain, t->out);
    text_end_line(t);
}

static void put_omitted(struct text *t, const struct omitted *o, const char *noun)
{
    const struct report_options *opt = t->opt;
    const char *before = " not shown: ";
    text_put(t, "# ");
    text_put_count(t, o->functions, noun);
    text_put(t, ", ");
    text_put_count(t, o->self, "sample");
    text_put(t, " SELF,");
    if (o->by_percent) {
        uint64_t parts = (uint64_t)(opt->min_percent * 10000 + 0.5);
        text_put(t, "%s--min-percent %s", before, number_significant(1, parts, 10000, 9).text);
        before = ", ";
    }
    if (o->by_top) {
        text_put(t, "%s-N %zu", before, opt->top);
        before = ", ";
    }
    if (o->by_screen)
        text_put(t, "%sa screenful (| cat shows all)", before);
    text_end_line(t);
}

struct block {
    struct report_table table;
    struct omitted omitted;
    bool present;
    bool waits; /* its rows are those of waits_table() */
};

static void cut_to_screen(struct block *b, size_t rows)
{
    if (b->table.n <= rows)
        return;
    b->omitted.by_screen = true;
    b->omitted.functions += b->table.n - rows;
    for (size_t i = rows; i < b->table.n; i++)
        b->omitted.self += b->table.rows[i].self;
    b->table.n = rows;
}

/* What ran gets half of the lines, and what the waiting leave free; at least one row each. */
static void share_screen(struct block blocks[PROFILE_STATES], size_t lines)
{
    struct block *cpu = &blocks[PROFILE_CPU], *wait = &blocks[PROFILE_WAIT];
    size_t fixed = BLOCK_LINES * (1u + wait->present);
    size_t rows = lines > fixed + 2 ? lines - fixed : 2;
    size_t half = wait->present ? rows / 2 : 0,
           others = wait->table.n < half ? wait->table.n : half;
    cut_to_screen(cpu, rows - others);
    cut_to_screen(wait, cpu->table.n < rows ? rows - cpu->table.n : 1);
}

static void put_functions(struct text *t, const struct report_table *table)
{
    struct widths w = widths_of(table);
    put_columns(t, &w);
    for (size_t i = 0; i < table->n; i++)
        put_row(t, &table->rows[i], table->samples, &w);
}

static void put_wait(struct text *t, const struct report_row *row, uint64_t samples, int width)
{
    OX_FREE char *reason = NULL, *thing = NULL;
    waits_parts(t->tab.p, row, NULL, &reason, &thing);
    text_put(t, "%7" PRIu64 "  %6s", row->self, number_fixed(100, row->self, samples, 2).text);
    put_interval(t, row->self, samples);
    text_put(t, "  %7" PRIu32 "  %-*s  ", row->id, width, reason);
    text_put_label(t, *thing ? thing : "-");
}

static int reason_width(const struct text *t, const struct report_table *table)
{
    int width = 6;
    for (size_t i = 0; i < table->n; i++) {
        OX_FREE char *reason = NULL, *thing = NULL;
        waits_parts(t->tab.p, &table->rows[i], NULL, &reason, &thing);
        int n = (int)text_columns(reason);
        width = n > width ? n : width;
    }
    return width;
}

static void put_waits(struct text *t, const struct report_table *table)
{
    const char *bold = t->opt->color ? "\033[1m" : "", *plain = t->opt->color ? "\033[0m" : "";
    int width = reason_width(t, table);
    fputs(bold, t->out);
    text_put(t, "#  HITS   HITS%%%s  THREADS  %-*s  THING", t->opt->ci ? "         HITS95" : "",
             width, "REASON");
    fputs(plain, t->out);
    text_end_line(t);
    for (size_t i = 0; i < table->n; i++)
        put_wait(t, &table->rows[i], table->samples, width);
}

static void put_block(struct text *t, const char *title, const struct block *b)
{
    text_put(t, "#");
    text_end_line(t);
    text_put(t, "# %s", title);
    text_end_line(t);
    if (b->waits)
        put_waits(t, &b->table);
    else
        put_functions(t, &b->table);
    if (!b->table.samples) {
        text_put(t, "# none");
        text_end_line(t);
    }
    if (b->omitted.functions)
        put_omitted(t, &b->omitted, b->waits ? "more wait" : "more function");
}

/* Both blocks, of all threads or of one, in so many lines of the screen. */
static void put_view(struct text *t, uint32_t thread, size_t lines)
{
    struct block blocks[PROFILE_STATES] = {0};
    for (unsigned i = 0; i < PROFILE_STATES; i++) {
        struct block *b = &blocks[i];
        b->present = text_has_block(t, (enum profile_state)i);
        b->waits = t->opt->waits && i == PROFILE_WAIT;
        if (b->waits)
            waits_table(t->tab.p, t->opt, thread, &b->table);
        else
            tabulation_table(&t->tab, (enum profile_state)i, thread, &b->table);
        b->omitted = report_table_limit(&b->table, t->opt);
    }
    share_screen(blocks, lines);
    for (unsigned i = 0; i < PROFILE_STATES; i++) {
        if (blocks[i].present)
            put_block(t, blocks[i].waits ? "waiting, by what for" : titles[i], &blocks[i]);
        report_table_release(&blocks[i].table);
    }
}

static void put_thread(struct text *t, const struct tab_thread *thread)
{
    const struct profile *p = t->tab.p;
    const struct profile_thread *known = &p->threads[thread->thread];
    OX_FREE char *name = report_escaped(p, known->name, NULL);
    text_put(t, "#");
    text_end_line(t);
    if (!known->tid) /* "[other]", or a thread that a saved profile knows by name only */
        text_put(t, "# thread %s", name);
    else
        text_put(t, "# thread %d (%s)", known->tid, name);
    text_put(t, ": %" PRIu64 " on CPU", thread->hits[PROFILE_CPU]);
    if (text_has_block(t, PROFILE_WAIT))
        text_put(t, ", %" PRIu64 " waiting", thread->hits[PROFILE_WAIT]);
    text_end_line(t);
}

/* Lines of the screen that are still free; one is kept for the shell's prompt. */
static size_t lines_left(const struct text *t)
{
    const struct report_options *opt = t->opt;
    if (!opt->width || !opt->height)
        return SIZE_MAX / 2;
    return opt->height > t->lines + 1 ? opt->height - t->lines - 1 : 0;
}

static void put_threads_omitted(struct text *t, size_t first)
{
    uint64_t samples = 0;
    for (size_t i = first; i < t->tab.n_threads; i++)
        samples += t->tab.threads[i].hits[PROFILE_CPU] + t->tab.threads[i].hits[PROFILE_WAIT];
    text_put(t, "#");
    text_end_line(t);
    text_put(t, "# ");
    text_put_count(t, t->tab.n_threads - first, "more thread");
    text_put(t, ", ");
    text_put_count(t, samples, "sample");
    text_put(t, ", not shown: a screenful (| cat shows all)");
    text_end_line(t);
}

static void put_threads(struct text *t)
{
    for (size_t i = 0; i < t->tab.n_threads; i++) {
        size_t left = lines_left(t);
        if (i && left < VIEW_LINES_MIN) {
            put_threads_omitted(t, i);
            return;
        }
        size_t share = left / (t->tab.n_threads - i);
        if (share < VIEW_LINES_MIN)
            share = VIEW_LINES_MIN;
        put_thread(t, &t->tab.threads[i]);
        put_view(t, t->tab.threads[i].thread, share - 2);
    }
}

int report_text(const struct profile *p, const struct report_options *opt, FILE *out)
{
    struct text t = {.opt = opt, .out = out};
    tabulation_init(&t.tab, p, opt);
    for (unsigned i = 0; i < PROFILE_STATES; i++)
        t.samples[i] = profile_samples(p, (enum profile_state)i);
    text_put_head(&t);
    if (opt->threads && t.tab.n_threads)
        put_threads(&t);
    else
        put_view(&t, UINT32_MAX, lines_left(&t));
    int rc = report_finish(out);
    tabulation_release(&t.tab);
    return rc;
}

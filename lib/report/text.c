/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/escape.h"
#include "base/mem.h"
#include "report/interval.h"
#include "report/number.h"
#include "report/table.h"
#include "report/waits.h"

/* Lines of a block besides its rows: blank, title, columns, what was left out. */
enum { BLOCK_LINES = 4, VIEW_LINES_MIN = 12, NAME_COLUMNS_MIN = 10 };

static const char *const titles[PROFILE_STATES] = {
    [PROFILE_CPU] = "on CPU", [PROFILE_WAIT] = "waiting"};

struct text {
    const struct report_options *opt;
    FILE *out;
    struct tabulation tab;
    uint64_t samples[PROFILE_STATES];
    size_t column, lines; /* of the screen, written so far */
};

__attribute__((format(printf, 2, 3))) static void put(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vfprintf(t->out, fmt, ap);
    va_end(ap);
    t->column += n > 0 ? (size_t)n : 0;
}

/* Comments are not cut: a terminal wraps them. */
static void end_line(struct text *t)
{
    fputc('\n', t->out);
    t->lines += t->opt->width && t->column ? 1 + (t->column - 1) / t->opt->width : 1;
    t->column = 0;
}

static void put_count(struct text *t, uint64_t n, const char *noun)
{
    put(t, "%" PRIu64 " %s%s", n, noun, n == 1 ? "" : "s");
}

static bool has_block(const struct text *t, enum profile_state state)
{
    return state == PROFILE_CPU || !t->tab.p->cpu_only || t->samples[state];
}

static void put_target(struct text *t)
{
    const struct profile *p = t->tab.p;
    OX_FREE char *title = report_escaped(p, p->title, NULL);
    OX_FREE char *mode = report_escaped(p, p->mode, NULL);
    put(t, "# oxprof %s: %s, ", t->opt->version, title);
    put_count(t, p->threads_seen, "thread");
    put(t, ", %s, %s Hz, %s s", mode,
        number_significant(1, p->interval_ns ? OX_NS_PER_S : 0, p->interval_ns, 4).text,
        number_fixed(1, p->duration_ns, OX_NS_PER_S, 2).text);
    end_line(t);
}

static void put_losses(struct text *t)
{
    const struct profile *p = t->tab.p;
    uint64_t sum = 0;
    for (unsigned i = 0; i < LOSS_N; i++)
        sum += p->lost[i];
    put(t, "; %" PRIu64 " lost", sum);
    const char *before = " (";
    for (unsigned i = 0; i < LOSS_N; i++) {
        if (!p->lost[i])
            continue;
        put(t, "%s%" PRIu64 " %s", before, p->lost[i], loss_name((enum loss)i));
        before = ", ";
    }
    if (sum)
        put(t, ")");
}

static void put_limits_hit(struct text *t)
{
    const struct profile *p = t->tab.p;
    uint64_t names = intern_overflowed(p->strings) + p->names_folded;
    if (p->ticks_missed)
        put(t, "; %" PRIu64 " of %" PRIu64 " ticks missed", p->ticks_missed, p->ticks);
    if (p->folded)
        put(t, "; %" PRIu64 " folded into their callers (memory limit)", p->folded);
    if (p->unattributed)
        put(t, "; %" PRIu64 " under thread [other] (memory limit)", p->unattributed);
    if (p->modules_folded)
        put(t, "; %" PRIu64 " mappings under module [other] (memory limit)", p->modules_folded);
    if (p->mappings_cut)
        put(t, "; %" PRIu64 " times a mapping was left out (memory limit)", p->mappings_cut);
    if (p->cfi_cut)
        put(t, "; %" PRIu64 " modules' unwind information cut (memory limit)", p->cfi_cut);
    if (p->tables_cut)
        put(t, "; %" PRIu64 " symbol tables cut (memory limit)", p->tables_cut);
    if (p->lines_cut)
        put(t, "; %" PRIu64 " places without source lines (memory limit)", p->lines_cut);
    if (p->jit_lines_skipped) {
        put(t, "; ");
        put_count(t, p->jit_lines_skipped, "line");
        put(t, " of a JIT's map skipped");
    }
    if (names)
        put(t, "; %" PRIu64 " times a name reads [other] (memory limit)", names);
}

static void put_python(struct text *t)
{
    const struct profile *p = t->tab.p;
    if (p->python_torn) {
        put(t, "; ");
        put_count(t, p->python_torn, "Python stack");
        put(t, " torn");
    }
    if (p->python_mismatches) {
        put(t, "; ");
        put_count(t, p->python_mismatches, "Python stack");
        put(t, " without %s place", p->python_mismatches == 1 ? "its" : "their");
    }
}

static void put_samples(struct text *t)
{
    const struct profile *p = t->tab.p;
    uint64_t cpu = t->samples[PROFILE_CPU], wait = t->samples[PROFILE_WAIT];
    put(t, "# ");
    put_count(t, cpu + wait, "sample");
    put(t, ": %" PRIu64 " on CPU (%s CPUs busy)", cpu,
        number_fixed(p->interval_ns, cpu, p->duration_ns, 2).text);
    if (has_block(t, PROFILE_WAIT))
        put(t, ", %" PRIu64 " waiting", wait);
    if (p->hidden)
        put(t, ", %" PRIu64 " not shown (--focus, --ignore)", p->hidden);
    put_losses(t);
    put(t, "; ");
    put_count(t, p->truncated, "stack");
    put(t, " truncated");
    if (p->given_up)
        put(t, " (%" PRIu64 " took too much to unwind)", p->given_up);
    put_python(t);
    put_limits_hit(t);
    end_line(t);
}

static void put_cost(struct text *t)
{
    const struct profile_cost *c = &t->tab.p->cost;
    put(t, "# cost: ");
    put_count(t, c->stops, "stop");
    put(t, ", %s us mean, %s us max, %s%% of the target's running time; ",
        number_significant(1, c->stop_ns_sum, c->stops * 1000, 2).text,
        number_significant(1, c->stop_ns_max, 1000, 2).text,
        number_significant(100, c->stop_ns_sum, c->target_cpu_ns, 2).text);
    if (c->perf_samples) {
        put_count(t, c->perf_samples, "perf sample");
        put(t, "; ");
    }
    if (c->perf_refused)
        put(t, "perf_event refused; ");
    put_count(t, c->calls_disturbed, "system call");
    put(t, " disturbed");
    if (c->calls_repaired)
        put(t, ", %" PRIu64 " put back", c->calls_repaired);
    put(t, "; oxprof %s%% of a CPU, %s MiB",
        number_significant(100, c->profiler_cpu_ns, t->tab.p->duration_ns, 2).text,
        number_significant(1, c->profiler_peak_bytes, 1 << 20, 2).text);
    if (c->max_overhead_ppm)
        put(t, "; %s looks a second (--max-overhead %s%%)",
            number_significant(OX_NS_PER_S, c->looks, t->tab.p->duration_ns, 3).text,
            number_significant(1, c->max_overhead_ppm, 10000, 3).text);
    end_line(t);
}

static char *label_of(const struct text *t, const struct report_row *row)
{
    OX_FREE char *function = report_function(t->tab.p, row->function, NULL);
    OX_FREE char *place = report_place(t->tab.p, t->opt, row);
    return *place ? mem_printf("%s (%s)", function, place) : OX_TAKE(function);
}

/* CJK, emoji and their like take two columns; all from Hangul on is taken for such, save the
 * punctuation and symbols between: better cut too early than wrapped. */
static size_t columns_at(const char *s, size_t bytes)
{
    unsigned char lead = (unsigned char)s[0];
    return bytes == 4 || (bytes == 3 && lead >= 0xe1 && lead != 0xe2) ? 2 : 1;
}

static size_t char_at(const char *s)
{
    size_t bytes = escape_utf8_len(s, strnlen(s, 4));
    return bytes ? bytes : 1;
}

static size_t columns_of(const char *s)
{
    size_t columns = 0;
    for (size_t n; *s; s += n) {
        n = char_at(s);
        columns += columns_at(s, n);
    }
    return columns;
}

/* Puts "first half...second half" of a label that is wider than `columns`. */
static void put_cut(FILE *out, const char *s, size_t columns)
{
    size_t all = columns_of(s), head = (columns - 1) / 2, tail = columns - 1 - head;
    const char *end = s;
    for (size_t used = 0, n; used + columns_at(end, n = char_at(end)) <= head; end += n)
        used += columns_at(end, n);
    const char *rest = s;
    for (size_t n; all > tail; rest += n) {
        n = char_at(rest);
        all -= columns_at(rest, n);
    }
    fprintf(out, "%.*s\u2026%s", (int)(end - s), s, rest);
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
    put(t, "  %13s", text);
}

/* The last field of a line: as much of it as the line has room for. */
static void put_label(struct text *t, const char *label)
{
    size_t width = t->opt->width, columns = columns_of(label), left = NAME_COLUMNS_MIN;
    if (width > t->column + left)
        left = width - t->column;
    if (!width || columns <= left)
        fputs(label, t->out);
    else
        put_cut(t->out, label, left);
    t->column += columns <= left ? columns : left;
    end_line(t);
}

static void put_row(struct text *t, const struct report_row *row, uint64_t samples,
                    const struct widths *w)
{
    OX_FREE char *label = label_of(t, row);
    put(t, "%*" PRIu64 "  %6s", w->self, row->self, number_fixed(100, row->self, samples, 2).text);
    put_interval(t, row->self, samples);
    put(t, "  %*" PRIu64 "  %6s", w->total, row->total,
        number_fixed(100, row->total, samples, 2).text);
    put_interval(t, row->total, samples);
    put(t, "  %-*s  ", w->kind, frame_kind_name(row->kind));
    put_label(t, label);
}

static void put_columns(struct text *t, const struct widths *w)
{
    const char *bold = t->opt->color ? "\033[1m" : "", *plain = t->opt->color ? "\033[0m" : "";
    fputs(bold, t->out);
    put(t, "#%*s  %6s", w->self - 1, "SELF", "SELF%");
    put(t, "%s  %*s  %6s", t->opt->ci ? "         SELF95" : "", w->total, "TOTAL", "TOTAL%");
    put(t, "%s  %-*s  FUNCTION", t->opt->ci ? "        TOTAL95" : "", w->kind, "KIND");
    fputs(plain, t->out);
    end_line(t);
}

static void put_omitted(struct text *t, const struct omitted *o, const char *noun)
{
    const struct report_options *opt = t->opt;
    const char *before = " not shown: ";
    put(t, "# ");
    put_count(t, o->functions, noun);
    put(t, ", ");
    put_count(t, o->self, "sample");
    put(t, " SELF,");
    if (o->by_percent) {
        uint64_t parts = (uint64_t)(opt->min_percent * 10000 + 0.5);
        put(t, "%s--min-percent %s", before, number_significant(1, parts, 10000, 9).text);
        before = ", ";
    }
    if (o->by_top) {
        put(t, "%s-N %zu", before, opt->top);
        before = ", ";
    }
    if (o->by_screen)
        put(t, "%sa screenful (| cat shows all)", before);
    end_line(t);
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
    put(t, "%7" PRIu64 "  %6s", row->self, number_fixed(100, row->self, samples, 2).text);
    put_interval(t, row->self, samples);
    put(t, "  %7" PRIu32 "  %-*s  ", row->id, width, reason);
    put_label(t, *thing ? thing : "-");
}

static int reason_width(const struct text *t, const struct report_table *table)
{
    int width = 6;
    for (size_t i = 0; i < table->n; i++) {
        OX_FREE char *reason = NULL, *thing = NULL;
        waits_parts(t->tab.p, &table->rows[i], NULL, &reason, &thing);
        int n = (int)columns_of(reason);
        width = n > width ? n : width;
    }
    return width;
}

static void put_waits(struct text *t, const struct report_table *table)
{
    const char *bold = t->opt->color ? "\033[1m" : "", *plain = t->opt->color ? "\033[0m" : "";
    int width = reason_width(t, table);
    fputs(bold, t->out);
    put(t, "#  HITS   HITS%%%s  THREADS  %-*s  THING", t->opt->ci ? "         HITS95" : "", width,
        "REASON");
    fputs(plain, t->out);
    end_line(t);
    for (size_t i = 0; i < table->n; i++)
        put_wait(t, &table->rows[i], table->samples, width);
}

static void put_block(struct text *t, const char *title, const struct block *b)
{
    put(t, "#");
    end_line(t);
    put(t, "# %s", title);
    end_line(t);
    if (b->waits)
        put_waits(t, &b->table);
    else
        put_functions(t, &b->table);
    if (!b->table.samples) {
        put(t, "# none");
        end_line(t);
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
        b->present = has_block(t, (enum profile_state)i);
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
    put(t, "#");
    end_line(t);
    if (!known->tid) /* "[other]", or a thread that a saved profile knows by name only */
        put(t, "# thread %s", name);
    else
        put(t, "# thread %d (%s)", known->tid, name);
    put(t, ": %" PRIu64 " on CPU", thread->hits[PROFILE_CPU]);
    if (has_block(t, PROFILE_WAIT))
        put(t, ", %" PRIu64 " waiting", thread->hits[PROFILE_WAIT]);
    end_line(t);
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
    put(t, "#");
    end_line(t);
    put(t, "# ");
    put_count(t, t->tab.n_threads - first, "more thread");
    put(t, ", ");
    put_count(t, samples, "sample");
    put(t, ", not shown: a screenful (| cat shows all)");
    end_line(t);
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
    put_target(&t);
    put_samples(&t);
    put_cost(&t);
    if (opt->threads && t.tab.n_threads)
        put_threads(&t);
    else
        put_view(&t, UINT32_MAX, lines_left(&t));
    int rc = report_finish(out);
    tabulation_release(&t.tab);
    return rc;
}

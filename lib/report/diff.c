/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/lookup.h"
#include "base/mem.h"
#include "report/interval.h"
#include "report/number.h"
#include "report/table.h"

enum side { BEFORE, AFTER, SIDES };

/* One function, or one stack, of both profiles. */
struct diff_row {
    uint32_t label; /* of diff.texts */
    enum frame_kind kind;
    uint64_t hits[SIDES];
    double difference, error; /* of the shares, 0 to 1; set by judge() */
};

struct diff {
    const struct profile *sides[SIDES];
    const struct report_options *opt;
    FILE *out;
    struct intern *texts;  /* owned */
    struct diff_row *rows; /* owned */
    size_t n_rows, rows_cap;
    struct lookup by_label;
    uint64_t samples[SIDES]; /* of the block at work */
};

static void diff_init(struct diff *d, const struct profile *before, const struct profile *after,
                      const struct report_options *opt, FILE *out)
{
    *d = (struct diff){.sides = {before, after}, .opt = opt, .out = out};
    d->texts = intern_new(SIZE_MAX);
    lookup_init(&d->by_label);
}

static void diff_release(struct diff *d)
{
    intern_free(d->texts);
    free(d->rows);
    lookup_release(&d->by_label);
}

static struct diff_row *row_of(struct diff *d, uint32_t label, enum frame_kind kind)
{
    uint32_t hash = lookup_hash(&d->by_label, label, kind), known;
    for (size_t pos = 0; (known = lookup_next(&d->by_label, hash, &pos)) != LOOKUP_NONE;)
        if (d->rows[known].label == label && d->rows[known].kind == kind)
            return &d->rows[known];
    d->rows = mem_grow(d->rows, &d->rows_cap, d->n_rows + 1, sizeof(*d->rows));
    d->rows[d->n_rows] = (struct diff_row){.label = label, .kind = kind};
    lookup_put(&d->by_label, hash, (uint32_t)d->n_rows);
    return &d->rows[d->n_rows++];
}

/* --- text */

static void count_functions(struct diff *d, enum side side, struct tabulation *tab,
                            enum profile_state state)
{
    const struct profile *p = d->sides[side];
    struct report_table table;
    tabulation_table(tab, state, UINT32_MAX, &table);
    d->samples[side] = table.samples;
    for (size_t i = 0; i < table.n; i++) {
        const struct report_row *row = &table.rows[i];
        OX_FREE char *function = report_function(p, row->function, NULL);
        OX_FREE char *place = report_place(p, d->opt, row);
        OX_FREE char *label =
            *place ? mem_printf("%s (%s)", function, place) : mem_strdup(function);
        row_of(d, intern_put(d->texts, label), row->kind)->hits[side] +=
            d->opt->sort == SORT_TOTAL ? row->total : row->self;
    }
    report_table_release(&table);
}

/* What the samples alone would do to some of so many functions is no news. */
static bool judge(const struct diff *d, struct diff_row *row, double z)
{
    struct interval error = interval_difference(row->hits[BEFORE], d->samples[BEFORE],
                                                row->hits[AFTER], d->samples[AFTER], z);
    double shares[SIDES];
    for (unsigned i = 0; i < SIDES; i++)
        shares[i] = d->samples[i] ? (double)row->hits[i] / (double)d->samples[i] : 0;
    row->difference = shares[AFTER] - shares[BEFORE];
    row->error = fmax(row->difference - error.low, error.high - row->difference);
    return fabs(row->difference) > row->error;
}

/* Functions that are not shown: no news, or less than the options ask for. */
struct quiet {
    size_t same, small;
};

static struct quiet keep_news(struct diff *d)
{
    struct quiet quiet = {0};
    size_t tested = 0, kept = 0;
    for (size_t i = 0; i < d->n_rows; i++)
        tested += d->rows[i].hits[BEFORE] || d->rows[i].hits[AFTER];
    double z = interval_z_of(tested);
    for (size_t i = 0; i < d->n_rows; i++) {
        struct diff_row *row = &d->rows[i];
        bool news = judge(d, row, z), large = 100 * fabs(row->difference) >= d->opt->min_percent;
        quiet.small += news && !large;
        if (news && large)
            d->rows[kept++] = *row;
    }
    d->n_rows = kept;
    quiet.same = tested - kept - quiet.small;
    return quiet;
}

static int compare_rows(const void *va, const void *vb, void *diff)
{
    const struct diff *d = diff;
    const struct diff_row *a = va, *b = vb;
    long long by = llround(1e9 * fabs(b->difference)) - llround(1e9 * fabs(a->difference));
    if (d->opt->sort != SORT_NAME && by)
        return by > 0 ? 1 : -1;
    int order = strcmp(intern_get(d->texts, a->label), intern_get(d->texts, b->label));
    return order ? order : (int)a->kind - (int)b->kind;
}

static void put_quiet(const struct diff *d, size_t functions, const char *why)
{
    if (functions)
        fprintf(d->out, "# %zu function%s not shown: %s\n", functions, functions == 1 ? "" : "s",
                why);
}

static void put_block(struct diff *d, const char *title)
{
    struct quiet quiet = keep_news(d);
    size_t top = d->opt->top ? d->opt->top : SIZE_MAX;
    if (d->n_rows)
        qsort_r(d->rows, d->n_rows, sizeof(*d->rows), compare_rows, d);
    fprintf(d->out,
            "#\n# %s: %" PRIu64 " samples before, %" PRIu64 " after\n"
            "#BEFORE%%  AFTER%%    DIFF   ERROR  KIND    FUNCTION\n",
            title, d->samples[BEFORE], d->samples[AFTER]);
    for (size_t i = 0; i < d->n_rows && i < top; i++) {
        const struct diff_row *row = &d->rows[i];
        const char *sign = row->difference > 0 ? "+" : "";
        OX_FREE char *difference = mem_printf("%s%s", sign, interval_percent(row->difference).text);
        fprintf(d->out, "%8s  %6s  %6s  %6s  %-6s  %s\n",
                number_fixed(100, row->hits[BEFORE], d->samples[BEFORE], 2).text,
                number_fixed(100, row->hits[AFTER], d->samples[AFTER], 2).text, difference,
                interval_percent(row->error).text, frame_kind_name(row->kind),
                intern_get(d->texts, row->label));
    }
    if (d->n_rows > top)
        fprintf(d->out, "# %zu more functions, not shown: -N %zu\n", d->n_rows - top, top);
    if (!d->samples[BEFORE] || !d->samples[AFTER])
        fputs("# no samples on one side: nothing to compare\n", d->out);
    else if (!d->n_rows && !quiet.small)
        fputs("# no difference beyond what chance does\n", d->out);
    put_quiet(d, quiet.small, "differ by less than --min-percent");
    put_quiet(d, quiet.same, "no difference beyond the error");
}

static void put_sides(struct diff *d)
{
    OX_FREE char *before = report_escaped(d->sides[BEFORE], d->sides[BEFORE]->title, NULL);
    OX_FREE char *after = report_escaped(d->sides[AFTER], d->sides[AFTER]->title, NULL);
    fprintf(
        d->out,
        "# oxprof %s: before: %s, %s s; after: %s, %s s\n"
        "# %s in percent of each block; shown is what differs by more than its error, 95%% sure "
        "for the whole block\n",
        d->opt->version, before, number_fixed(1, d->sides[BEFORE]->duration_ns, 1000000000, 2).text,
        after, number_fixed(1, d->sides[AFTER]->duration_ns, 1000000000, 2).text,
        d->opt->sort == SORT_TOTAL ? "TOTAL" : "SELF");
}

int report_diff(const struct profile *before, const struct profile *after,
                const struct report_options *opt, FILE *out)
{
    static const char *const titles[PROFILE_STATES] = {"on CPU", "waiting"};
    bool cpu_only = before->cpu_only && after->cpu_only;
    struct tabulation tabs[SIDES];
    tabulation_init(&tabs[BEFORE], before, opt);
    tabulation_init(&tabs[AFTER], after, opt);
    for (unsigned state = 0; state < PROFILE_STATES; state++) {
        struct diff d;
        diff_init(&d, before, after, opt, out);
        if (!state)
            put_sides(&d);
        for (unsigned side = 0; side < SIDES; side++)
            count_functions(&d, (enum side)side, &tabs[side], (enum profile_state)state);
        if (!cpu_only || state == PROFILE_CPU || d.samples[BEFORE] || d.samples[AFTER])
            put_block(&d, titles[state]);
        diff_release(&d);
    }
    tabulation_release(&tabs[BEFORE]);
    tabulation_release(&tabs[AFTER]);
    return report_finish(out);
}

/* --- folded */

static void count_lines(struct diff *d, enum side side, char *text)
{
    for (char *line, *rest = text; (line = strsep(&rest, "\n")) && *line;) {
        char *blank = strrchr(line, ' ');
        uint64_t hits = strtoull(blank + 1, NULL, 10);
        *blank = '\0';
        row_of(d, intern_put(d->texts, line), KIND_NATIVE)->hits[side] += hits;
    }
}

static int count_stacks(struct diff *d, enum side side)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *folded = open_memstream(&text, &bytes);
    if (!folded)
        die("out of memory");
    int rc = report_folded(d->sides[side], d->opt, folded);
    fclose(folded);
    if (rc == 0)
        count_lines(d, side, text);
    free(text);
    return rc;
}

static int compare_labels(const void *va, const void *vb, void *diff)
{
    const struct diff *d = diff;
    const struct diff_row *a = va, *b = vb;
    return strcmp(intern_get(d->texts, a->label), intern_get(d->texts, b->label));
}

int report_diff_folded(const struct profile *before, const struct profile *after,
                       const struct report_options *opt, FILE *out)
{
    struct diff d;
    int rc = 0;
    diff_init(&d, before, after, opt, out);
    for (unsigned side = 0; rc == 0 && side < SIDES; side++)
        rc = count_stacks(&d, (enum side)side);
    if (d.n_rows)
        qsort_r(d.rows, d.n_rows, sizeof(*d.rows), compare_labels, &d);
    for (size_t i = 0; rc == 0 && i < d.n_rows; i++)
        fprintf(out, "%s %" PRIu64 " %" PRIu64 "\n", intern_get(d.texts, d.rows[i].label),
                d.rows[i].hits[BEFORE], d.rows[i].hits[AFTER]);
    diff_release(&d);
    return rc < 0 ? rc : report_finish(out);
}

/* SPDX-License-Identifier: MIT */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "live/api.h"
#include "live/json.h"
#include "report/flamegraph.h"
#include "report/table.h"

/* Hits per second, by thread or by the function on top; and what other programs read. */
struct timeline {
    const struct mirror *m;
    const struct api_query *q;
    struct tabulation tab;
    uint64_t *totals; /* owned, as are those below; by group: thread or function */
    uint32_t *series; /* by group: which series shows it */
    size_t n_groups;
    uint32_t chosen[API_SERIES_MAX]; /* groups, the largest first */
    size_t n_chosen;
    uint64_t *values; /* [series][second]; the last series is all others */
    size_t seconds;
};

static uint32_t group_of(const struct timeline *t, const struct profile_tally *tally)
{
    if (t->q->by_thread)
        return tally->thread;
    uint32_t frame = t->m->p->nodes[tally->node].frame;
    return t->tab.function_of[report_lines(t->m->p, t->tab.opt, frame).first];
}

static void each_hit(struct timeline *t, void (*count)(struct timeline *t, uint32_t group,
                                                       size_t second, uint64_t hits))
{
    for (size_t i = 0; i < HISTORY_SECONDS; i++) {
        const struct history_second *s = &t->m->history[i];
        if (s->second < t->q->first_s || s->second > t->q->last_s)
            continue;
        for (size_t k = 0; k < s->n; k++) {
            const struct profile_tally *tally = &t->m->p->tallies[s->hits[k].tally];
            if (tally->state == t->q->state)
                count(t, group_of(t, tally), s->second - t->q->first_s, s->hits[k].hits);
        }
    }
}

static void add_total(struct timeline *t, uint32_t group, size_t second, uint64_t hits)
{
    (void)second;
    t->totals[group] += hits;
}

static void add_value(struct timeline *t, uint32_t group, size_t second, uint64_t hits)
{
    t->values[t->series[group] * t->seconds + second] += hits;
}

static void choose(struct timeline *t)
{
    for (uint32_t group = 0; group < t->n_groups; group++) {
        if (!t->totals[group])
            continue;
        size_t at = t->n_chosen;
        while (at && t->totals[t->chosen[at - 1]] < t->totals[group])
            at--;
        if (at == API_SERIES_MAX)
            continue;
        size_t last = t->n_chosen < API_SERIES_MAX ? t->n_chosen++ : API_SERIES_MAX - 1;
        memmove(&t->chosen[at + 1], &t->chosen[at], (last - at) * sizeof(*t->chosen));
        t->chosen[at] = group;
    }
    for (size_t i = 0; i < t->n_groups; i++)
        t->series[i] = (uint32_t)t->n_chosen;
    for (size_t i = 0; i < t->n_chosen; i++)
        t->series[t->chosen[i]] = (uint32_t)i;
}

static void write_name(const struct timeline *t, uint32_t group, FILE *out)
{
    const struct profile *p = t->m->p;
    char *name OX_FREE = NULL;
    if (t->q->by_thread)
        name = mem_printf("%s (%d)", intern_get(p->strings, p->threads[group].name),
                          p->threads[group].tid);
    else
        name = report_function(p, t->tab.functions[group].row.function, NULL);
    live_json_text(out, name);
}

static void write_series(const struct timeline *t, size_t i, FILE *out)
{
    fputs(i ? ",{\"name\":" : "{\"name\":", out);
    if (i < t->n_chosen)
        write_name(t, t->chosen[i], out);
    else
        fputs("\"\"", out);
    fputs(",\"values\":[", out);
    for (size_t s = 0; s < t->seconds; s++)
        fprintf(out, "%s%" PRIu64, s ? "," : "", t->values[i * t->seconds + s]);
    fputs("]}", out);
}

void api_timeline(const struct mirror *m, const struct api_query *q, FILE *out)
{
    struct report_options opt = {.version = OX_VERSION};
    struct timeline t = {.m = m, .q = q, .seconds = q->last_s - q->first_s + 1};
    tabulation_init(&t.tab, m->p, &opt);
    t.n_groups = q->by_thread ? m->p->n_threads : t.tab.n_functions;
    t.totals = mem_alloc(t.n_groups * sizeof(*t.totals) + 1);
    t.series = mem_alloc(t.n_groups * sizeof(*t.series) + 1);
    each_hit(&t, add_total);
    choose(&t);
    t.values = mem_alloc((t.n_chosen + 1) * t.seconds * sizeof(*t.values));
    each_hit(&t, add_value);
    fprintf(out,
            "{\"schema\":\"oxprof.timeline/1\",\"from\":%" PRIu64 ",\"seconds\":%zu,"
            "\"oldest\":%" PRIu64 ",\"series\":[",
            q->first_s, t.seconds, m->oldest_second);
    for (size_t i = 0; i <= t.n_chosen; i++)
        write_series(&t, i, out);
    fputs("]}\n", out);
    tabulation_release(&t.tab);
    free(t.totals);
    free(t.series);
    free(t.values);
}

/* --- Prometheus' text format, version 0.0.4 */

static void head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_samples(const struct mirror *m, FILE *out)
{
    struct map pids = {0}; /* (pid, state) -> hits */
    size_t pos = 0;
    for (size_t i = 0; i < m->p->n_threads; i++)
        for (unsigned state = 0; state < PROFILE_STATES; state++) {
            uint64_t pid = (uint64_t)m->p->threads[i].pid;
            uint64_t hits = m->by_process[i * PROFILE_STATES + state];
            const uint64_t *known = map_find(&pids, pid, state);
            map_put(&pids, pid, state, hits + (known ? *known : 0));
        }
    head(out, "oxprof_samples_total", "counter", "Samples taken, by process and state.");
    for (const struct map_entry *e; (e = map_next(&pids, &pos));)
        fprintf(out, "oxprof_samples_total{pid=\"%" PRIu64 "\",state=\"%s\"} %" PRIu64 "\n", e->a,
                api_state_name((enum profile_state)e->b), e->value);
    map_release(&pids);
}

static void write_stops(const struct stop_histogram *h, FILE *out)
{
    uint64_t sum = 0;
    head(out, "oxprof_stop_seconds", "histogram", "How long stops of the target's threads lasted.");
    for (size_t i = 0; i < STOP_BOUNDS; i++) {
        sum += h->counts[i];
        fprintf(out, "oxprof_stop_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
                (double)stop_bounds_ns[i] / 1e9, sum);
    }
    sum += h->counts[STOP_BOUNDS];
    fprintf(out,
            "oxprof_stop_seconds_bucket{le=\"+Inf\"} %" PRIu64
            "\noxprof_stop_seconds_sum %.9f\noxprof_stop_seconds_count %" PRIu64 "\n",
            sum, (double)h->ns_sum / 1e9, sum);
    head(out, "oxprof_stops_total", "counter", "Stops of the target's threads.");
    fprintf(out, "oxprof_stops_total %" PRIu64 "\n", sum);
}

void api_metrics(const struct mirror *m, FILE *out)
{
    const struct session_status *s = &m->status;
    write_samples(m, out);
    head(out, "oxprof_losses_total", "counter", "Samples lost, by reason.");
    for (unsigned i = 0; i < LOSS_N; i++)
        fprintf(out, "oxprof_losses_total{reason=\"%s\"} %" PRIu64 "\n", loss_name((enum loss)i),
                s->lost_ever[i]);
    write_stops(&s->stops_ever, out);
    head(out, "oxprof_paused", "gauge", "1 while sampling is paused.");
    fprintf(out, "oxprof_paused %d\n", s->paused);
    head(out, "oxprof_threads", "gauge", "Threads watched.");
    fprintf(out, "oxprof_threads %zu\n", s->threads);
    head(out, "oxprof_cpu_seconds_total", "counter", "CPU time that oxprof itself has used.");
    fprintf(out, "oxprof_cpu_seconds_total %.6f\n", (double)s->cpu_ns_ever / 1e9);
    head(out, "oxprof_build_info", "gauge", "The version, as a label.");
    fputs("oxprof_build_info{version=\"" OX_VERSION "\"} 1\n", out);
}

/* --- stacks */

void api_stacks(const struct mirror *m, const struct api_query *q, FILE *out)
{
    struct report_options opt = {.version = OX_VERSION};
    struct profile view = {0};
    if (q->first_s || q->last_s)
        mirror_between(m, q->first_s, q->last_s, &view);
    flamegraph_data(q->first_s || q->last_s ? &view : m->p, &opt, out);
    mirror_view_release(&view);
}

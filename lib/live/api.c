/* SPDX-License-Identifier: MIT */
#include "live/api.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "live/json.h"
#include "report/table.h"

const char *api_state_name(enum profile_state state)
{
    static const char *const names[PROFILE_STATES] = {
        [PROFILE_CPU] = "cpu", [PROFILE_WAIT] = "wait"};
    return names[state];
}

static const struct {
    const char *name, *suffix, *type;
} formats[] = {
    {"text", "txt", "text/plain; charset=utf-8"},
    {"tsv", "tsv", "text/tab-separated-values; charset=utf-8"},
    {"json", "json", "application/json"},
    {"folded", "folded", "text/plain; charset=utf-8"},
    {"flamegraph", "html", "application/octet-stream"}, /* a page of its own: only to be saved */
    {"pprof", "pb.gz", "application/octet-stream"},
    {"speedscope", "speedscope.json", "application/json"},
    {"callgrind", "callgrind", "text/plain; charset=utf-8"},
    {"perf", "perf.txt", "text/plain; charset=utf-8"},
};
enum { FORMATS = sizeof(formats) / sizeof(*formats) };

const char *api_format(size_t i)
{
    for (size_t k = 0; k < FORMATS; k++)
        if (report_find(formats[k].name) && !i--)
            return formats[k].name;
    return NULL;
}

bool api_has_format(const char *format)
{
    for (size_t i = 0; api_format(i); i++)
        if (!strcmp(api_format(i), format))
            return true;
    return false;
}

const char *api_format_type(const char *format)
{
    for (size_t k = 0; k < FORMATS; k++)
        if (!strcmp(formats[k].name, format))
            return formats[k].type;
    return "application/octet-stream";
}

const char *api_format_suffix(const char *format)
{
    for (size_t k = 0; k < FORMATS; k++)
        if (!strcmp(formats[k].name, format))
            return formats[k].suffix;
    return format;
}

/* glibc copies what a count or a + repeats, so that a few of them, nested, take gigabytes;
 * back-references take regexec(3) forever. */
bool api_compile(regex_t *re, const char *text, struct error *err)
{
    char why[200];
    size_t plus = 0;
    for (const char *c = text; *c; c++)
        plus += *c == '+';
    if (strlen(text) > API_REGEX_MAX_BYTES || strchr(text, '{') || plus > API_REGEX_PLUS_MAX) {
        error_set(err, -E2BIG, "the expression is too long, or repeats too much");
        return false;
    }
    for (const char *c = text; (c = strchr(c, '\\')) && c[1]; c += 2)
        if (c[1] >= '0' && c[1] <= '9') {
            error_set(err, -EINVAL, "back-references are not taken");
            return false;
        }
    int rc = regcomp(re, text, REG_EXTENDED | REG_NOSUB);
    if (!rc)
        return true;
    regerror(rc, re, why, sizeof(why));
    error_set(err, -EINVAL, "%s", why);
    return false;
}

/* --- status */

static const char *truth(bool b)
{
    return b ? "true" : "false";
}

static void write_losses(const uint64_t *lost, FILE *out)
{
    const char *comma = "";
    putc('{', out);
    for (unsigned i = 0; i < LOSS_N; i++) {
        if (!lost[i])
            continue;
        fputs(comma, out);
        live_json_text(out, loss_name((enum loss)i));
        fprintf(out, ":%" PRIu64, lost[i]);
        comma = ",";
    }
    putc('}', out);
}

static void write_cost(const struct profile_cost *c, FILE *out)
{
    fprintf(out,
            "{\"stops\":%" PRIu64 ",\"stop_ns_sum\":%" PRIu64 ",\"stop_ns_max\":%" PRIu64
            ",\"calls_disturbed\":%" PRIu64 ",\"calls_repaired\":%" PRIu64
            ",\"target_cpu_ns\":%" PRIu64 ",\"profiler_cpu_ns\":%" PRIu64
            ",\"profiler_peak_bytes\":%" PRIu64 "}",
            c->stops, c->stop_ns_sum, c->stop_ns_max, c->calls_disturbed, c->calls_repaired,
            c->target_cpu_ns, c->profiler_cpu_ns, c->profiler_peak_bytes);
}

static void write_formats(FILE *out)
{
    putc('[', out);
    for (size_t i = 0; api_format(i); i++) {
        fputs(i ? "," : "", out);
        live_json_text(out, api_format(i));
    }
    putc(']', out);
}

void api_status(const struct mirror *m, bool may_control, const char *secret, FILE *out)
{
    const struct session_status *s = &m->status;
    fputs("{\"schema\":\"oxprof.status/1\",\"version\":\"" OX_VERSION "\",\"title\":", out);
    live_json_text(out, intern_get(m->p->strings, m->p->title));
    bool finished = m->updates && (s->finished || !s->processes);
    fprintf(out,
            ",\"samples\":%" PRIu64 ",\"paused\":%s,\"stopping\":%s,\"finished\":%s,"
            "\"interval_ns\":%" PRIu64 ",\"achieved_mean_ns\":",
            s->samples, truth(s->paused), truth(s->stopping), truth(finished), s->interval_ns);
    live_json_number(out, s->achieved_mean_ns);
    fputs(",\"achieved_deviation_ns\":", out);
    live_json_number(out, s->achieved_deviation_ns);
    fprintf(out,
            ",\"ticks\":%" PRIu64 ",\"ticks_missed\":%" PRIu64 ",\"duration_ns\":%" PRIu64
            ",\"threads\":%zu,\"processes\":%zu,\"truncated\":%" PRIu64 ",\"folded\":%" PRIu64
            ",\"resets\":%" PRIu64 ",\"stacks\":%zu,\"cpu_only\":%s,\"now_s\":%" PRIu64,
            s->ticks, s->ticks_missed, s->sampled_ns, s->threads, s->processes, s->truncated,
            m->p->folded, m->resets, m->p->n_tallies, truth(m->p->cpu_only),
            m->updated_ns / OX_NS_PER_S);
    fputs(",\"losses\":", out);
    write_losses(s->lost, out);
    fputs(",\"cost\":", out);
    write_cost(&s->cost, out);
    fputs(",\"formats\":", out);
    write_formats(out);
    fprintf(out, ",\"may_control\":%s,\"secret\":", truth(may_control));
    live_json_text(out, secret);
    fputs("}\n", out);
}

/* --- calls */

void api_calls(const struct mirror *m, FILE *out)
{
    fprintf(out, "{\"schema\":\"oxprof.calls/1\",\"followed\":%s,\"calls\":[", truth(m->has_calls));
    for (size_t i = 0; i < m->n_calls; i++) {
        const struct call_row *r = &m->calls[i];
        fprintf(out, "%s{\"calls\":%" PRIu64 ",\"running\":%" PRIu64 ",\"mean_ns\":", i ? "," : "",
                r->calls, r->running);
        live_json_number(out, r->whole ? r->sum_ns / (double)r->whole : 0);
        fputs(",\"longest_ns\":", out);
        live_json_number(out, r->longest_ns);
        fputs(",\"function\":", out);
        live_json_text(out, intern_get(m->p->strings, r->function));
        fputs(",\"module\":", out);
        live_json_text(out, intern_get(m->p->strings, r->module));
        putc('}', out);
    }
    const struct calls_dropped *d = &m->calls_dropped;
    fprintf(out,
            "],\"dropped\":{\"stretches\":%" PRIu64 ",\"functions\":%" PRIu64 ",\"nested\":%" PRIu64
            "}}\n",
            d->stretches, d->functions, d->nested);
}

/* --- functions */

static bool matches(const struct profile *p, const regex_t *re, const struct report_row *row)
{
    const uint32_t texts[] = {row->function, row->module, row->file};
    for (size_t i = 0; re && i < sizeof(texts) / sizeof(*texts); i++)
        if (texts[i] && regexec(re, intern_get(p->strings, texts[i]), 0, NULL, 0) == 0)
            return true;
    return !re;
}

static void write_function(const struct profile *p, const struct report_options *opt,
                           const struct report_row *row, FILE *out)
{
    char *name OX_FREE = report_function(p, row->function, NULL);
    char *place OX_FREE = report_place(p, opt, row);
    fprintf(out, "[%" PRIu64 ",%" PRIu64 ",\"%s\",", row->self, row->total,
            frame_kind_name(row->kind));
    live_json_text(out, name);
    putc(',', out);
    live_json_text(out, place);
    putc(']', out);
}

static void write_block(struct tabulation *t, const struct api_query *q, enum profile_state state,
                        FILE *out)
{
    struct report_table table;
    size_t matched = 0;
    tabulation_table(t, state, q->thread, &table);
    fprintf(out, "\"%s\":{\"samples\":%" PRIu64 ",\"functions\":[", api_state_name(state),
            table.samples);
    for (size_t i = 0; i < table.n; i++) {
        if (!matches(t->p, q->filter, &table.rows[i]))
            continue;
        if (matched < q->max_records) {
            fputs(matched ? "," : "", out);
            write_function(t->p, t->opt, &table.rows[i], out);
        }
        matched++;
    }
    fprintf(out, "],\"matched\":%zu,\"of\":%zu}", matched, table.n);
    report_table_release(&table);
}

/* The whole, or some seconds of it. */
static const struct profile *chosen(const struct mirror *m, const struct api_query *q,
                                    struct profile *view)
{
    if (!q->first_s && !q->last_s)
        return m->p;
    mirror_between(m, q->first_s, q->last_s, view);
    return view;
}

void api_functions(const struct mirror *m, const struct api_query *q, FILE *out)
{
    struct profile view = {0};
    struct tabulation t;
    struct report_options opt = {.version = OX_VERSION, .sort = q->sort};
    const struct profile *p = chosen(m, q, &view);
    tabulation_init(&t, p, &opt);
    fprintf(out, "{\"schema\":\"oxprof.functions/1\",\"columns\":[\"self\",\"total\",\"kind\","
                 "\"function\",\"place\"],");
    for (unsigned state = 0; state < PROFILE_STATES; state++) {
        if (q->thread == UINT32_MAX || q->thread < p->n_threads)
            write_block(&t, q, (enum profile_state)state, out);
        else
            fprintf(out, "\"%s\":{\"samples\":0,\"functions\":[],\"matched\":0,\"of\":0}",
                    api_state_name(state));
        fputs(state + 1 < PROFILE_STATES ? "," : "}\n", out);
    }
    tabulation_release(&t);
    mirror_view_release(&view);
}

void api_threads(const struct mirror *m, FILE *out)
{
    struct report_options opt = {.version = OX_VERSION};
    struct tabulation t;
    tabulation_init(&t, m->p, &opt);
    fputs("{\"schema\":\"oxprof.threads/1\",\"threads\":[", out);
    for (size_t i = 0; i < t.n_threads && i < API_RECORDS_MAX; i++) {
        const struct profile_thread *th = &m->p->threads[t.threads[i].thread];
        fprintf(out, "%s{\"index\":%" PRIu32 ",\"pid\":%d,\"tid\":%d,\"name\":", i ? "," : "",
                t.threads[i].thread, th->pid, th->tid);
        live_json_text(out, intern_get(m->p->strings, th->name));
        fprintf(out, ",\"cpu\":%" PRIu64 ",\"wait\":%" PRIu64 "}", t.threads[i].hits[PROFILE_CPU],
                t.threads[i].hits[PROFILE_WAIT]);
    }
    fputs("]}\n", out);
    tabulation_release(&t);
}

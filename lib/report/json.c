/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/mem.h"
#include "report/head.h"
#include "report/interval.h"
#include "report/json_out.h"
#include "report/table.h"
#include "report/waits.h"

static void put_string(struct json *j, const struct profile *p, const char *key, uint32_t string)
{
    const char *text = intern_get(p->strings, string);
    json_key(j, key);
    if (*text)
        json_text(j, text);
    else
        json_word(j, "null");
}

static void put_head(struct json *j, const struct profile *p, const struct report_options *opt)
{
    json_text_at(j, "schema", "oxprof.report/1");
    json_text_at(j, "version", opt->version);
    put_string(j, p, "title", p->title);
    put_string(j, p, "mode", p->mode);
    json_number_at(j, "began_ns", p->began_ns);
    json_number_at(j, "interval_ns", p->interval_ns);
    json_number_at(j, "duration_ns", p->duration_ns);
    json_key(j, "samples");
    json_open(j, '{');
    json_number_at(j, "cpu", profile_samples(p, PROFILE_CPU));
    json_number_at(j, "wait", profile_samples(p, PROFILE_WAIT));
    json_close(j, '}');
    head_put_json(j, p);
}

static void put_interval(struct json *j, const char *key, uint64_t hits, uint64_t samples)
{
    struct interval ci = interval_of(hits, samples, OX_Z_95);
    json_key(j, key);
    json_open(j, '[');
    json_decimal(j, interval_percent(ci.low).text);
    json_decimal(j, interval_percent(ci.high).text);
    json_close(j, ']');
}

static void put_number(struct json *j, const char *key, uint64_t value)
{
    json_key(j, key);
    if (value)
        json_number(j, value);
    else
        json_word(j, "null");
}

struct functions {
    struct json *json;
    struct tabulation *tab;
    const struct report_options *opt;
};

static void put_row(const struct functions *f, const char *state, const struct report_row *row,
                    uint64_t samples, uint32_t thread)
{
    struct json *j = f->json;
    const struct profile *p = f->tab->p;
    const char *function = intern_get(p->strings, row->function);
    json_open(j, '{');
    json_text_at(j, "state", state);
    json_number_at(j, "self", row->self);
    json_number_at(j, "total", row->total);
    json_text_at(j, "kind", frame_kind_name(row->kind));
    json_text_at(j, "function", *function ? function : "[unknown]");
    put_string(j, p, "module", row->module);
    put_string(j, p, "file", row->file);
    put_number(j, "line", row->line);
    if (f->opt->addresses)
        put_number(j, "address", row->address);
    put_number(j, "tid", thread == UINT32_MAX ? 0 : (uint64_t)p->threads[thread].tid);
    if (f->opt->ci) {
        put_interval(j, "self_ci", row->self, samples);
        put_interval(j, "total_ci", row->total, samples);
    }
    json_close(j, '}');
    fputc('\n', j->out);
}

static void put_tables(const struct functions *f, uint32_t thread)
{
    static const char *const names[PROFILE_STATES] = {
        [PROFILE_CPU] = "cpu", [PROFILE_WAIT] = "wait"};
    for (unsigned state = 0; state < PROFILE_STATES; state++) {
        struct report_table table;
        tabulation_table(f->tab, (enum profile_state)state, thread, &table);
        report_table_limit(&table, f->opt);
        for (size_t i = 0; i < table.n; i++)
            put_row(f, names[state], &table.rows[i], table.samples, thread);
        report_table_release(&table);
    }
}

static void put_wait(const struct functions *f, const struct report_row *row, uint64_t samples,
                     uint32_t thread)
{
    struct json *j = f->json;
    const struct profile *p = f->tab->p;
    const char *text = row->function ? intern_get(p->strings, row->function) : "unknown";
    const char *thing = strstr(text, ": ");
    OX_FREE char *reason = mem_strndup(text, thing ? (size_t)(thing - text) : strlen(text));
    json_open(j, '{');
    json_text_at(j, "reason", reason);
    json_key(j, "thing");
    if (thing)
        json_text(j, thing + 2);
    else
        json_word(j, "null");
    json_number_at(j, "hits", row->self);
    json_number_at(j, "threads", row->id);
    put_number(j, "tid", thread == UINT32_MAX ? 0 : (uint64_t)p->threads[thread].tid);
    if (f->opt->ci)
        put_interval(j, "hits_ci", row->self, samples);
    json_close(j, '}');
    fputc('\n', j->out);
}

static void put_wait_table(const struct functions *f, uint32_t thread)
{
    struct report_table table;
    waits_table(f->tab->p, f->opt, thread, &table);
    report_table_limit(&table, f->opt);
    for (size_t i = 0; i < table.n; i++)
        put_wait(f, &table.rows[i], table.samples, thread);
    report_table_release(&table);
}

static void put_all(const struct functions *f, const char *key,
                    void (*put)(const struct functions *f, uint32_t thread))
{
    json_key(f->json, key);
    json_open(f->json, '[');
    fputc('\n', f->json->out);
    if (!f->opt->threads)
        put(f, UINT32_MAX);
    for (size_t i = 0; f->opt->threads && i < f->tab->n_threads; i++)
        put(f, f->tab->threads[i].thread);
    json_close(f->json, ']');
}

int report_json(const struct profile *p, const struct report_options *opt, FILE *out)
{
    struct json j = {.out = out};
    struct tabulation tab;
    struct functions f = {.json = &j, .tab = &tab, .opt = opt};
    tabulation_init(&tab, p, opt);
    json_open(&j, '{');
    put_head(&j, p, opt);
    put_all(&f, "functions", put_tables);
    if (opt->waits)
        put_all(&f, "waits", put_wait_table);
    json_close(&j, '}');
    fputc('\n', out);
    tabulation_release(&tab);
    return report_finish(out);
}

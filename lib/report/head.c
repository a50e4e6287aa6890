/* SPDX-License-Identifier: MIT */
#include "report/head.h"

#include <stdio.h>
#include <string.h>

enum merge { SUM, LARGEST };

static const struct figure {
    const char *name;
    size_t place; /* in struct profile */
    enum merge merge;
} figures[] = {
    {"threads_seen", offsetof(struct profile, threads_seen), SUM},
    {"ticks", offsetof(struct profile, ticks), SUM},
    {"ticks_missed", offsetof(struct profile, ticks_missed), SUM},
    {"truncated", offsetof(struct profile, truncated), SUM},
    {"given_up", offsetof(struct profile, given_up), SUM},
    {"python_torn", offsetof(struct profile, python_torn), SUM},
    {"python_mismatches", offsetof(struct profile, python_mismatches), SUM},
    {"folded", offsetof(struct profile, folded), SUM},
    {"hidden", offsetof(struct profile, hidden), SUM},
    {"modules_folded", offsetof(struct profile, modules_folded), SUM},
    {"mappings_cut", offsetof(struct profile, mappings_cut), SUM},
    {"cfi_cut", offsetof(struct profile, cfi_cut), SUM},
    {"tables_cut", offsetof(struct profile, tables_cut), SUM},
    {"lines_cut", offsetof(struct profile, lines_cut), SUM},
    {"jit_lines_skipped", offsetof(struct profile, jit_lines_skipped), SUM},
    {"names_folded", offsetof(struct profile, names_folded), SUM},
    {"cost.stops", offsetof(struct profile, cost.stops), SUM},
    {"cost.stop_ns_sum", offsetof(struct profile, cost.stop_ns_sum), SUM},
    {"cost.stop_ns_max", offsetof(struct profile, cost.stop_ns_max), LARGEST},
    {"cost.calls_disturbed", offsetof(struct profile, cost.calls_disturbed), SUM},
    {"cost.calls_repaired", offsetof(struct profile, cost.calls_repaired), SUM},
    {"cost.target_cpu_ns", offsetof(struct profile, cost.target_cpu_ns), SUM},
    {"cost.profiler_cpu_ns", offsetof(struct profile, cost.profiler_cpu_ns), SUM},
    {"cost.profiler_peak_bytes", offsetof(struct profile, cost.profiler_peak_bytes), LARGEST},
    {"cost.perf_samples", offsetof(struct profile, cost.perf_samples), SUM},
    {"cost.max_overhead_ppm", offsetof(struct profile, cost.max_overhead_ppm), LARGEST},
    {"cost.looks", offsetof(struct profile, cost.looks), SUM},
    {"cost.perf_refused", offsetof(struct profile, cost.perf_refused), LARGEST},
};
enum { FIGURES = sizeof(figures) / sizeof(*figures) };

uint64_t head_names_folded(const struct profile *p)
{
    return p->names_folded + intern_overflowed(p->strings);
}

void head_loss_name(enum loss loss, char *buf, size_t bytes)
{
    snprintf(buf, bytes, "%s", loss_name(loss));
    for (char *blank; (blank = strchr(buf, ' '));)
        *blank = '_';
}

static uint64_t value_of(const struct profile *p, const struct figure *f)
{
    uint64_t value;
    if (f->place == offsetof(struct profile, names_folded))
        return head_names_folded(p);
    memcpy(&value, (const char *)p + f->place, sizeof(value));
    return value;
}

void head_each(const struct profile *p, head_put *put, void *data)
{
    char name[64] = "lost.";
    for (size_t i = 0; i < FIGURES; i++)
        put(data, figures[i].name, value_of(p, &figures[i]));
    for (unsigned i = 0; i < LOSS_N; i++) {
        head_loss_name((enum loss)i, name + strlen("lost."), sizeof(name) - strlen("lost."));
        put(data, name, p->lost[i]);
    }
}

struct figures {
    struct json *json;
    const char *group; /* "cost.", of which the rest of the name is the key; "": those without */
};

static void put_figure(void *data, const char *name, uint64_t value)
{
    const struct figures *f = data;
    size_t len = strlen(f->group);
    if (len ? !strncmp(name, f->group, len) : !strchr(name, '.'))
        json_number_at(f->json, name + len, value);
}

static void put_group(struct json *j, const struct profile *p, const char *key, const char *group)
{
    json_key(j, key);
    json_open(j, '{');
    head_each(p, put_figure, &(struct figures){.json = j, .group = group});
    json_close(j, '}');
}

void head_put_json(struct json *j, const struct profile *p)
{
    head_each(p, put_figure, &(struct figures){.json = j, .group = ""});
    json_number_at(j, "unattributed", p->unattributed);
    put_group(j, p, "lost", "lost.");
    put_group(j, p, "cost", "cost.");
}

static uint64_t *find(struct profile *p, const char *name, enum merge *ret_merge)
{
    char loss[64];
    *ret_merge = SUM;
    for (size_t i = 0; i < FIGURES; i++)
        if (!strcmp(figures[i].name, name)) {
            *ret_merge = figures[i].merge;
            return (uint64_t *)(void *)((char *)p + figures[i].place);
        }
    for (unsigned i = 0; i < LOSS_N && !strncmp(name, "lost.", strlen("lost.")); i++) {
        head_loss_name((enum loss)i, loss, sizeof(loss));
        if (!strcmp(name + strlen("lost."), loss))
            return &p->lost[i];
    }
    return NULL;
}

bool head_add(struct profile *p, const char *name, uint64_t value)
{
    enum merge merge;
    uint64_t *figure = find(p, name, &merge), sum;
    if (!figure)
        return false;
    if (merge == LARGEST)
        *figure = value > *figure ? value : *figure;
    else
        *figure = __builtin_add_overflow(*figure, value, &sum) ? UINT64_MAX : sum;
    return true;
}

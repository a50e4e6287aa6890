/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "base/mem.h"
#include "report/json_out.h"
#include "report/stack.h"

/*
 * speedscope's own format (its file-format-schema.json): one "sampled" profile for each thread.
 * With the order in time the weights are nanoseconds, and what nobody saw is a stack of nothing;
 * without, they are samples. The frames follow the profiles, which number what they use.
 */
struct speedscope {
    struct json json;
    const struct profile *p;
    struct tabulation tab;
    struct timeline time;
    uint32_t *frame_of; /* owned; by function; 0: not used */
    uint32_t *used;     /* owned; functions, by frame - 1 */
    size_t n_used;
    struct stack_functions stack;
};

static uint32_t frame_of(struct speedscope *s, uint32_t function)
{
    if (!s->frame_of[function]) {
        s->used[s->n_used++] = function;
        s->frame_of[function] = (uint32_t)s->n_used;
    }
    return s->frame_of[function] - 1;
}

static void put_stack(struct speedscope *s, const struct profile_tally *tally)
{
    stack_functions_of(&s->tab, tally->node, &s->stack);
    json_open(&s->json, '[');
    for (size_t i = s->stack.n; i--;)
        json_number(&s->json, frame_of(s, s->stack.items[i]));
    json_close(&s->json, ']');
}

/* Either the stacks or their weights; returns the sum of the weights. */
static uint64_t put_tallies(struct speedscope *s, uint32_t thread, bool weights)
{
    uint64_t sum = 0;
    for (size_t i = s->tab.group[thread]; i < s->tab.group[thread + 1]; i++) {
        const struct profile_tally *tally = &s->p->tallies[s->tab.by_thread[i]];
        sum += tally->hits;
        if (weights)
            json_number(&s->json, tally->hits);
        else
            put_stack(s, tally);
    }
    return sum;
}

static uint64_t put_moments(struct speedscope *s, uint32_t thread, bool weights)
{
    uint64_t end = 1, interval_ns = s->p->interval_ns;
    for (size_t i = s->time.group[thread]; i < s->time.group[thread + 1]; i++) {
        const struct profile_moment *m = &s->p->moments[s->time.moments[i]];
        if (m->tick > end && weights)
            json_number(&s->json, (m->tick - end) * interval_ns);
        else if (m->tick > end) {
            json_open(&s->json, '[');
            json_close(&s->json, ']');
        }
        if (weights)
            json_number(&s->json, m->hits * interval_ns);
        else
            put_stack(s, &s->p->tallies[m->tally]);
        end = m->tick + m->hits;
    }
    return (end - 1) * interval_ns;
}

static void put_thread(struct speedscope *s, uint32_t thread)
{
    uint64_t (*put)(struct speedscope *, uint32_t, bool) = s->p->timed ? put_moments : put_tallies;
    OX_FREE char *name = stack_thread_name(s->p, thread);
    struct json *j = &s->json;
    json_open(j, '{');
    json_text_at(j, "type", "sampled");
    json_text_at(j, "name", name);
    json_text_at(j, "unit", s->p->timed ? "nanoseconds" : "none");
    json_key(j, "samples");
    json_open(j, '[');
    put(s, thread, false);
    json_close(j, ']');
    json_key(j, "weights");
    json_open(j, '[');
    uint64_t sum = put(s, thread, true);
    json_close(j, ']');
    json_number_at(j, "startValue", 0);
    json_number_at(j, "endValue", sum);
    json_close(j, '}');
    fputc('\n', j->out);
}

static void put_frame(struct speedscope *s, uint32_t function)
{
    const struct report_row *row = &s->tab.functions[function].row;
    OX_FREE char *name = report_function_label(s->p, s->tab.opt, row);
    const char *file = intern_get(s->p->strings, row->file ? row->file : row->module);
    json_open(&s->json, '{');
    json_text_at(&s->json, "name", name);
    if (*file)
        json_text_at(&s->json, "file", file);
    if (row->file && row->line)
        json_number_at(&s->json, "line", row->line);
    json_close(&s->json, '}');
    fputc('\n', s->json.out);
}

static void put_all(struct speedscope *s, const char *version)
{
    struct json *j = &s->json;
    OX_FREE char *exporter = mem_printf("oxprof@%s", version);
    json_open(j, '{');
    json_text_at(j, "$schema", "https://www.speedscope.app/file-format-schema.json");
    json_text_at(j, "exporter", exporter);
    json_text_at(j, "name", intern_get(s->p->strings, s->p->title));
    json_number_at(j, "activeProfileIndex", 0);
    json_key(j, "profiles");
    json_open(j, '[');
    for (size_t i = 0; i < s->tab.n_threads; i++)
        put_thread(s, s->tab.threads[i].thread);
    json_close(j, ']');
    json_key(j, "shared");
    json_open(j, '{');
    json_key(j, "frames");
    json_open(j, '[');
    for (size_t i = 0; i < s->n_used; i++)
        put_frame(s, s->used[i]);
    json_close(j, ']');
    json_close(j, '}');
    json_close(j, '}');
    fputc('\n', j->out);
}

int report_speedscope(const struct profile *p, const struct report_options *opt, FILE *out)
{
    struct speedscope s = {.json = {.out = out}, .p = p};
    tabulation_init(&s.tab, p, opt);
    timeline_init(&s.time, p);
    s.frame_of = mem_alloc(s.tab.n_functions * sizeof(*s.frame_of));
    s.used = mem_alloc(s.tab.n_functions * sizeof(*s.used));
    put_all(&s, opt->version);
    free(s.frame_of);
    free(s.used);
    stack_functions_release(&s.stack);
    timeline_release(&s.time);
    tabulation_release(&s.tab);
    return report_finish(out);
}

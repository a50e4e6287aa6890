/* SPDX-License-Identifier: MIT */
#include "report/firefox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "report/number.h"

enum { FIREFOX_VERSION = 66, GECKO_VERSION = 24 };

/* meta.categories; the order of enum frame_kind. */
static const struct {
    const char *name, *color;
} categories[KIND_N] = {
    [KIND_NATIVE] = {"Native", "blue"}, [KIND_PYTHON] = {"Python", "yellow"},
    [KIND_JIT] = {"JIT", "green"},      [KIND_KERNEL] = {"Kernel", "orange"},
    [KIND_UNKNOWN] = {"Other", "grey"},
};

static struct sample sample_of(const struct firefox *f, const struct profile_moment *m)
{
    const struct profile_tally *tally = &f->p->tallies[m->tally];
    return (struct sample){.stack = f->stack_of[tally->node], .tick = m->tick, .weight = m->hits};
}

static uint64_t ran_ns(const struct firefox *f, const struct profile_moment *m)
{
    bool ran = m && f->p->tallies[m->tally].state == PROFILE_CPU;
    return ran ? m->hits * f->p->interval_ns : 0;
}

static void add_sample(struct firefox *f, struct sample sample)
{
    f->samples = mem_grow(f->samples, &f->samples_cap, f->n_samples + 1, sizeof(*f->samples));
    f->samples[f->n_samples++] = sample;
}

static void collect_samples(struct firefox *f, uint32_t thread)
{
    const struct profile_moment *before = NULL;
    uint64_t end = 1;
    f->n_samples = 0;
    for (size_t i = f->time.group[thread]; i < f->time.group[thread + 1]; i++) {
        const struct profile_moment *m = &f->p->moments[f->time.moments[i]];
        uint64_t delta_ns = ran_ns(f, before);
        if (before && m->tick > end) {
            add_sample(f, (struct sample){.tick = end, .cpu_delta_ns = delta_ns});
            delta_ns = 0;
        }
        struct sample sample = sample_of(f, m);
        sample.cpu_delta_ns = delta_ns;
        add_sample(f, sample);
        before = m;
        end = m->tick + m->hits;
    }
    add_sample(f, (struct sample){.tick = end, .cpu_delta_ns = ran_ns(f, before)});
}

static void sample_stack(struct firefox *f, size_t row)
{
    firefox_put_or_null(f, f->samples[row].stack);
}

/* Milliseconds; the first tick's are 0. */
static void sample_time(struct firefox *f, size_t row)
{
    uint64_t ticks = f->samples[row].tick - 1;
    json_decimal(&f->json, number_fixed(f->p->interval_ns, ticks, 1000000, 4).text);
}

static void sample_weight(struct firefox *f, size_t row)
{
    json_number(&f->json, f->samples[row].weight);
}

static void sample_cpu_delta(struct firefox *f, size_t row)
{
    json_number(&f->json, f->samples[row].cpu_delta_ns);
}

static void put_samples(struct firefox *f, uint32_t thread)
{
    collect_samples(f, thread);
    json_key(&f->json, "samples");
    json_open(&f->json, '{');
    json_number_at(&f->json, "length", f->n_samples);
    json_text_at(&f->json, "weightType", "samples");
    firefox_put_column(f, "stack", f->n_samples, sample_stack);
    firefox_put_column(f, "time", f->n_samples, sample_time);
    firefox_put_column(f, "weight", f->n_samples, sample_weight);
    firefox_put_column(f, "threadCPUDelta", f->n_samples, sample_cpu_delta);
    json_close(&f->json, '}');
}

static const char *process_name(const struct firefox *f, pid_t pid)
{
    const uint64_t *leader = map_find(&f->processes, (uint64_t)pid, 0);
    return leader ? intern_get(f->p->strings, f->p->threads[*leader].name) : "";
}

static void put_thread(struct firefox *f, uint32_t thread)
{
    const struct profile_thread *t = &f->p->threads[thread];
    struct json *j = &f->json;
    OX_FREE char *pid = mem_printf("%d", t->pid), *tid = mem_printf("%d", t->tid);
    json_open(j, '{');
    json_text_at(j, "name", intern_get(f->p->strings, t->name));
    json_text_at(j, "processName", process_name(f, t->pid));
    json_text_at(j, "pid", pid);
    json_text_at(j, "tid", tid);
    json_key(j, "isMainThread");
    json_word(j, t->pid == t->tid ? "true" : "false");
    json_text_at(j, "processType", "default");
    json_number_at(j, "processStartupTime", 0);
    json_key(j, "processShutdownTime");
    json_word(j, "null");
    json_number_at(j, "registerTime", 0);
    json_key(j, "unregisterTime");
    json_word(j, "null");
    json_key(j, "showMarkersInTimeline");
    json_word(j, "false");
    json_key(j, "pausedRanges");
    json_word(j, "[]");
    OX_TABLE(f, "markers", 0, {"category", firefox_put_zero}, {"data", firefox_put_null},
             {"endTime", firefox_put_null}, {"name", firefox_put_zero}, {"phase", firefox_put_zero},
             {"startTime", firefox_put_null});
    put_samples(f, thread);
    json_close(j, '}');
    fputc('\n', j->out);
}

/* --- the rest */

/* A GUID and an age: the first 16 bytes of the build-id, the parts of the GUID little endian. */
static void breakpad_id(const char *build_id, char ret_id[34])
{
    static const unsigned char order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    size_t len = strlen(build_id);
    for (size_t i = 0; i < 16; i++)
        for (size_t k = 0; k < 2; k++) {
            size_t at = 2u * order[i] + k;
            char c = at < len ? build_id[at] : '0';
            ret_id[2 * i + k] = (char)(c >= 'a' && c <= 'f' ? c - 'a' + 'A' : c);
        }
    memcpy(ret_id + 32, "0", 2);
}

static void put_library(struct firefox *f, uint32_t module)
{
    const struct profile_module *m = &f->p->modules[module];
    const char *name = intern_get(f->p->strings, m->name),
               *path = intern_get(f->p->strings, m->path),
               *build_id = intern_get(f->p->strings, m->build_id);
    struct json *j = &f->json;
    char id[34];
    breakpad_id(build_id, id);
    json_open(j, '{');
    json_text_at(j, "arch", "x86_64");
    json_text_at(j, "name", name);
    json_text_at(j, "path", path);
    json_text_at(j, "debugName", name);
    json_text_at(j, "debugPath", path);
    json_text_at(j, "breakpadId", id);
    json_key(j, "codeId");
    if (*build_id)
        json_text(j, build_id);
    else
        json_word(j, "null");
    json_close(j, '}');
}

static void put_categories(struct json *j)
{
    json_key(j, "categories");
    json_open(j, '[');
    for (size_t i = 0; i < KIND_N; i++) {
        json_open(j, '{');
        json_text_at(j, "name", categories[i].name);
        json_text_at(j, "color", categories[i].color);
        json_key(j, "subcategories");
        json_word(j, "[\"Other\"]");
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void put_meta(struct firefox *f)
{
    static const char constant[] =
        "\"processType\":0,\"stackwalk\":1,\"debug\":false,\"symbolicated\":true,"
        "\"oscpu\":\"Linux x86_64\",\"platform\":\"Linux\",\"markerSchema\":[],"
        "\"usesOnlyOneStackType\":true,\"sourceCodeIsNotOnSearchfox\":true,"
        "\"extensions\":{\"length\":0,\"baseURL\":[],\"id\":[],\"name\":[]},"
        "\"sampleUnits\":{\"time\":\"ms\",\"eventDelay\":\"ms\",\"threadCPUDelta\":\"ns\"}";
    struct json *j = &f->json;
    OX_FREE char *importer = mem_printf("oxprof %s", f->opt->version);
    json_key(j, "meta");
    json_open(j, '{');
    json_number_at(j, "version", GECKO_VERSION);
    json_number_at(j, "preprocessedProfileVersion", FIREFOX_VERSION);
    json_key(j, "interval");
    json_decimal(j, number_fixed(1, f->p->interval_ns, 1000000, 4).text);
    json_key(j, "startTime");
    json_decimal(j, number_fixed(1, f->p->began_ns, 1000000, 4).text);
    json_text_at(j, "product", intern_get(f->p->strings, f->p->title));
    json_text_at(j, "importedFrom", importer);
    put_categories(j);
    json_word(j, constant);
    json_close(j, '}');
    fputc('\n', j->out);
}

static void put_all(struct firefox *f)
{
    struct json *j = &f->json;
    json_open(j, '{');
    put_meta(f);
    json_key(j, "libs");
    json_open(j, '[');
    for (size_t i = 0; i < f->n_libraries; i++)
        put_library(f, f->libraries[i]);
    json_close(j, ']');
    json_key(j, "pages");
    json_word(j, "[]");
    json_key(j, "counters");
    json_word(j, "[]");
    json_key(j, "profilerOverhead");
    json_word(j, "[]");
    json_key(j, "threads");
    json_open(j, '[');
    for (size_t i = 0; i < f->tab.n_threads; i++)
        put_thread(f, f->tab.threads[i].thread);
    json_close(j, ']');
    firefox_put_shared(f);
    json_close(j, '}');
    fputc('\n', j->out);
}

static void firefox_init(struct firefox *f, const struct profile *p,
                         const struct report_options *opt, FILE *out)
{
    *f = (struct firefox){.json = {.out = out}, .p = p, .opt = opt};
    tabulation_init(&f->tab, p, opt);
    timeline_init(&f->time, p);
    stack_processes(p, &f->processes);
    f->strings = intern_new(SIZE_MAX);
    f->entry_of = mem_alloc(p->n_frames * sizeof(*f->entry_of));
    f->stack_of = mem_alloc(p->n_nodes * sizeof(*f->stack_of));
    f->sources = mem_alloc(f->tab.n_functions * sizeof(*f->sources));
    f->source_of = mem_alloc(f->tab.n_functions * sizeof(*f->source_of));
    f->libraries = mem_alloc(p->n_modules * sizeof(*f->libraries));
    f->library_of = mem_alloc(p->n_modules * sizeof(*f->library_of));
    f->module_of = mem_alloc(f->tab.n_functions * sizeof(*f->module_of));
    for (uint32_t i = 0; i < p->n_frames; i++) {
        struct shown_lines shown = report_lines(p, opt, i);
        for (uint32_t line = shown.first; line < shown.end; line++)
            f->module_of[f->tab.function_of[line]] = p->frames[i].module;
    }
    firefox_add_rows(f);
}

static void firefox_release(struct firefox *f)
{
    free(f->frames);
    free(f->stacks);
    free(f->entry_of);
    free(f->stack_of);
    free(f->sources);
    free(f->source_of);
    free(f->libraries);
    free(f->library_of);
    free(f->module_of);
    free(f->samples);
    intern_free(f->strings);
    timeline_release(&f->time);
    map_release(&f->processes);
    tabulation_release(&f->tab);
}

int report_firefox(const struct profile *p, const struct report_options *opt, FILE *out)
{
    struct firefox f;
    if (!p->timed) {
        errno = ENODATA;
        return -ENODATA;
    }
    firefox_init(&f, p, opt, out);
    put_all(&f);
    firefox_release(&f);
    return report_finish(out);
}

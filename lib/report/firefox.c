/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "report/json_out.h"
#include "report/number.h"
#include "report/stack.h"

/*
 * Firefox Profiler's processed format, version 66
 * (github.com/firefox-devtools/profiler/blob/main/docs-developer/CHANGELOG-formats.md). Tables are
 * stored by columns and shared by the threads: strings, sources, functions, frames, stacks. A stack
 * is a node of the profile's own trie, spread out where functions are inlined.
 */
enum { FIREFOX_VERSION = 66, GECKO_VERSION = 24 };

/* meta.categories; the order of enum frame_kind. */
static const struct {
    const char *name, *color;
} categories[KIND_N] = {
    [KIND_NATIVE] = {"Native", "blue"}, [KIND_PYTHON] = {"Python", "yellow"},
    [KIND_JIT] = {"JIT", "green"},      [KIND_KERNEL] = {"Kernel", "orange"},
    [KIND_UNKNOWN] = {"Other", "grey"},
};

struct frame_entry {
    uint32_t frame, line, depth; /* of the profile; 0: not inlined */
};

struct stack_entry {
    uint32_t frame;  /* index of a frame_entry */
    uint32_t prefix; /* index + 1 of a stack_entry; 0: none */
};

/*
 * A sample holds until the next one: where nobody looked, and at the end, one without a stack or
 * weight follows. One entry stands for all ticks in which a thread stayed where it was, so what it
 * ran between a sample and the one before is what that one shows.
 */
struct sample {
    uint32_t stack; /* and 1; 0: none */
    uint64_t tick, weight, cpu_delta_ns;
};

struct firefox {
    struct json json;
    const struct profile *p;
    const struct report_options *opt;
    struct tabulation tab;
    struct timeline time;
    struct map processes;       /* pid -> thread, as stack_processes() */
    struct intern *strings;     /* owned; of the file */
    struct frame_entry *frames; /* owned, as are the arrays below */
    size_t n_frames, frames_cap;
    struct stack_entry *stacks;
    size_t n_stacks, stacks_cap;
    uint32_t *entry_of;  /* by frame: its first frame_entry + 1; 0: none yet */
    uint32_t *stack_of;  /* by node: its stack_entry + 1; 0: not used */
    uint32_t *sources;   /* strings of the profile */
    uint32_t *source_of; /* by function: its source + 1; 0: none */
    size_t n_sources;
    uint32_t *libraries;  /* modules */
    uint32_t *library_of; /* by module: its library + 1; 0: none */
    size_t n_libraries;
    uint32_t *module_of;    /* by function */
    struct sample *samples; /* of the thread at work */
    size_t n_samples, samples_cap;
};

/* --- the tables' rows */

static uint32_t entries_of(struct firefox *f, uint32_t frame)
{
    struct shown_lines shown = report_lines(f->p, f->opt, frame);
    if (f->entry_of[frame])
        return f->entry_of[frame] - 1;
    f->entry_of[frame] = (uint32_t)f->n_frames + 1;
    for (uint32_t line = shown.first; line < shown.end; line++) {
        f->frames = mem_grow(f->frames, &f->frames_cap, f->n_frames + 1, sizeof(*f->frames));
        f->frames[f->n_frames++] =
            (struct frame_entry){.frame = frame, .line = line, .depth = shown.end - 1 - line};
    }
    uint32_t module = f->p->frames[frame].module;
    if (module && !f->library_of[module]) {
        f->libraries[f->n_libraries++] = module;
        f->library_of[module] = (uint32_t)f->n_libraries;
    }
    return f->entry_of[frame] - 1;
}

/* Below a stack (its index + 1) one more frame; the outermost of its functions first. */
static uint32_t add_stack(struct firefox *f, uint32_t prefix, uint32_t frame)
{
    struct shown_lines shown = report_lines(f->p, f->opt, frame);
    uint32_t first = entries_of(f, frame);
    for (uint32_t i = shown.end - shown.first; i--;) {
        f->stacks = mem_grow(f->stacks, &f->stacks_cap, f->n_stacks + 1, sizeof(*f->stacks));
        f->stacks[f->n_stacks++] = (struct stack_entry){.frame = first + i, .prefix = prefix};
        prefix = (uint32_t)f->n_stacks;
    }
    return prefix;
}

static void add_stacks(struct firefox *f)
{
    const struct profile *p = f->p;
    for (size_t i = 0; i < p->n_tallies; i++) {
        uint32_t n = p->tallies[i].node;
        bool shown = p->tallies[i].hits > 0;
        if (shown && !n)
            f->stack_of[0] = 1;
        for (; shown && n && !f->stack_of[n]; n = p->nodes[n].parent)
            f->stack_of[n] = 1;
    }
    if (f->stack_of[0])
        f->stack_of[0] = add_stack(f, 0, PROFILE_NO_FRAME);
    for (uint32_t n = 1; n < p->n_nodes; n++) { /* parents come first */
        uint32_t parent = p->nodes[n].parent;
        if (f->stack_of[n])
            f->stack_of[n] = add_stack(f, parent ? f->stack_of[parent] : 0, p->nodes[n].frame);
    }
}

static void add_sources(struct firefox *f)
{
    struct map known = {0};
    for (size_t i = 0; i < f->tab.n_functions; i++) {
        uint32_t file = f->tab.functions[i].row.file;
        const uint64_t *at = file ? map_find(&known, file, 0) : NULL;
        if (!file)
            continue;
        if (!at) {
            f->sources[f->n_sources++] = file;
            map_put(&known, file, 0, f->n_sources);
        }
        f->source_of[i] = at ? (uint32_t)*at : (uint32_t)f->n_sources;
    }
    map_release(&known);
}

static uint32_t put_text(struct firefox *f, const char *text)
{
    return intern_put(f->strings, text);
}

static uint32_t put_string(struct firefox *f, uint32_t string)
{
    return put_text(f, intern_get(f->p->strings, string));
}

/* --- columns: one value for each row of a table */

typedef void put_cell(struct firefox *f, size_t row);

static void put_column(struct firefox *f, const char *key, size_t n, put_cell *put)
{
    json_key(&f->json, key);
    json_open(&f->json, '[');
    for (size_t i = 0; i < n; i++)
        put(f, i);
    json_close(&f->json, ']');
}

struct column {
    const char *key;
    put_cell *put;
};

static void put_table(struct firefox *f, const char *key, size_t n, const struct column *columns,
                      size_t n_columns)
{
    json_key(&f->json, key);
    json_open(&f->json, '{');
    json_number_at(&f->json, "length", n);
    for (size_t i = 0; i < n_columns; i++)
        put_column(f, columns[i].key, n, columns[i].put);
    json_close(&f->json, '}');
    fputc('\n', f->json.out);
}

static void put_null(struct firefox *f, size_t row)
{
    (void)row;
    json_word(&f->json, "null");
}

static void put_false(struct firefox *f, size_t row)
{
    (void)row;
    json_word(&f->json, "false");
}

static void put_zero(struct firefox *f, size_t row)
{
    (void)row;
    json_number(&f->json, 0);
}

static void put_one(struct firefox *f, size_t row)
{
    (void)row;
    json_number(&f->json, 1);
}

static void put_index(struct firefox *f, size_t row)
{
    json_number(&f->json, row);
}

/* 0: none */
static void put_or_null(struct firefox *f, uint64_t value_and_1)
{
    if (value_and_1)
        json_number(&f->json, value_and_1 - 1);
    else
        json_word(&f->json, "null");
}

static void stack_frame(struct firefox *f, size_t row)
{
    json_number(&f->json, f->stacks[row].frame);
}

static void stack_prefix_offset(struct firefox *f, size_t row)
{
    uint32_t prefix = f->stacks[row].prefix;
    json_number(&f->json, prefix ? row - (prefix - 1) : 0);
}

static void frame_address(struct firefox *f, size_t row)
{
    const struct profile_frame *frame = &f->p->frames[f->frames[row].frame];
    bool known = frame->module && frame->address <= INT64_MAX;
    json_signed(&f->json, known ? (int64_t)frame->address : -1);
}

static void frame_depth(struct firefox *f, size_t row)
{
    json_number(&f->json, f->frames[row].depth);
}

static void frame_category(struct firefox *f, size_t row)
{
    json_number(&f->json, f->p->frames[f->frames[row].frame].kind);
}

static void frame_function(struct firefox *f, size_t row)
{
    json_number(&f->json, f->tab.function_of[f->frames[row].line]);
}

static void frame_line(struct firefox *f, size_t row)
{
    uint64_t line = f->p->lines[f->frames[row].line].line;
    put_or_null(f, line ? line + 1 : 0);
}

static void function_name(struct firefox *f, size_t row)
{
    const struct report_row *function = &f->tab.functions[row].row;
    const char *name = intern_get(f->p->strings, function->function);
    json_number(&f->json, put_text(f, *name ? name : "[unknown]"));
}

static void function_resource(struct firefox *f, size_t row)
{
    uint32_t library = f->library_of[f->module_of[row]];
    json_signed(&f->json, (int64_t)library - 1);
}

static void function_source(struct firefox *f, size_t row)
{
    put_or_null(f, f->source_of[row]);
}

static void function_line(struct firefox *f, size_t row)
{
    uint64_t line = f->tab.functions[row].row.line;
    put_or_null(f, line ? line + 1 : 0);
}

static void library_name(struct firefox *f, size_t row)
{
    json_number(&f->json, put_string(f, f->p->modules[f->libraries[row]].name));
}

static void source_name(struct firefox *f, size_t row)
{
    json_number(&f->json, put_string(f, f->sources[row]));
}

static void string_text(struct firefox *f, size_t row)
{
    json_text(&f->json, intern_get(f->strings, (uint32_t)row));
}

#define OX_TABLE(f, key, n, ...)                               \
    put_table(f, key, n, (const struct column[]){__VA_ARGS__}, \
              sizeof((const struct column[]){__VA_ARGS__}) / sizeof(struct column))

static void put_shared(struct firefox *f)
{
    json_key(&f->json, "shared");
    json_open(&f->json, '{');
    OX_TABLE(f, "stackTable", f->n_stacks, {"frame", stack_frame},
             {"prefixOffset", stack_prefix_offset});
    OX_TABLE(f, "frameTable", f->n_frames, {"address", frame_address}, {"inlineDepth", frame_depth},
             {"category", frame_category}, {"subcategory", put_zero}, {"func", frame_function},
             {"nativeSymbol", put_null}, {"innerWindowID", put_zero}, {"line", frame_line},
             {"column", put_null}, {"originalLocation", put_null});
    OX_TABLE(f, "funcTable", f->tab.n_functions, {"name", function_name}, {"isJS", put_false},
             {"relevantForJS", put_false}, {"resource", function_resource},
             {"source", function_source}, {"lineNumber", function_line}, {"columnNumber", put_null},
             {"originalLocation", put_null});
    OX_TABLE(f, "resourceTable", f->n_libraries, {"lib", put_index}, {"name", library_name},
             {"host", put_null}, {"type", put_one});
    OX_TABLE(f, "nativeSymbols", 0, {"libIndex", put_zero}, {"address", put_zero},
             {"name", put_zero}, {"functionSize", put_null});
    OX_TABLE(f, "sources", f->n_sources, {"id", put_null}, {"filename", source_name},
             {"startLine", put_one}, {"startColumn", put_one}, {"sourceMapURL", put_null},
             {"content", put_null});
    OX_TABLE(f, "sourceLocationTable", 0, {"source", put_zero}, {"line", put_zero},
             {"column", put_zero});
    put_column(f, "stringArray", intern_count(f->strings), string_text);
    json_close(&f->json, '}');
}

/* --- threads */

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
    put_or_null(f, f->samples[row].stack);
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
    put_column(f, "stack", f->n_samples, sample_stack);
    put_column(f, "time", f->n_samples, sample_time);
    put_column(f, "weight", f->n_samples, sample_weight);
    put_column(f, "threadCPUDelta", f->n_samples, sample_cpu_delta);
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
    OX_TABLE(f, "markers", 0, {"category", put_zero}, {"data", put_null}, {"endTime", put_null},
             {"name", put_zero}, {"phase", put_zero}, {"startTime", put_null});
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
    put_shared(f);
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
    add_stacks(f);
    add_sources(f);
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

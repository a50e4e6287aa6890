/* SPDX-License-Identifier: MIT */
#include "report/pprof.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/lookup.h"
#include "base/mem.h"
#include "report/gzip.h"
#include "report/head.h"
#include "report/table.h"
#include "report/wire.h"

/*
 * Samples are written first and number what they use; mappings, locations, functions and strings
 * follow. Only the numbers are kept meanwhile.
 */
struct out_function {
    uint32_t name, linkage_name, file, start_line; /* numbers of the file's strings */
};

struct out_mapping {
    uint32_t module;
    enum frame_kind kind;
    uint64_t last_address;
};

struct pprof {
    const struct profile *p;
    struct gzip gzip;
    struct wire_out message, part, inner; /* a field of the profile, a field of that, … */
    struct intern *strings;               /* owned; of the file */
    uint32_t *location_of;                /* owned; by frame; 0: not used */
    uint32_t *used;                       /* owned; frames, by location - 1 */
    size_t n_used;
    uint32_t *mapping_of; /* owned; by module and kind; 0: not used */
    struct out_mapping *mappings;
    size_t n_mappings, mappings_cap;
    struct out_function *functions; /* owned */
    size_t n_functions, functions_cap;
    struct lookup by_function;
    uint32_t *thread_names; /* owned; by thread */
    uint32_t thread_key, tid_key, pid_key, state_key, wait_key, states[PROFILE_STATES];
};

/* Readers want UTF-8, and show names on terminals. */
static uint32_t put_text(struct pprof *f, const char *text)
{
    OX_FREE char *escaped = mem_alloc(4 * strlen(text) + 1);
    escape_text(escaped, 4 * strlen(text) + 1, text, NULL);
    return intern_put(f->strings, escaped);
}

static uint32_t put_string(struct pprof *f, uint32_t string)
{
    return put_text(f, intern_get(f->p->strings, string));
}

static void flush_message(struct pprof *f, unsigned field)
{
    wire_clear(&f->part);
    wire_message(&f->part, field, &f->message);
    gzip_put(&f->gzip, f->part.bytes, f->part.n);
    wire_clear(&f->message);
    wire_clear(&f->part);
}

static void put_type(struct pprof *f, unsigned field, const char *type, const char *unit)
{
    wire_number(&f->message, VALUE_TYPE, put_text(f, type));
    wire_number(&f->message, VALUE_UNIT, put_text(f, unit));
    flush_message(f, field);
}

static const char *clock_type(const struct pprof *f)
{
    return f->p->cpu_only ? "cpu" : "wall";
}

static uint32_t mapping_of(struct pprof *f, const struct profile_frame *frame)
{
    uint32_t *id = &f->mapping_of[frame->module * KIND_N + frame->kind];
    if (!*id) {
        f->mappings =
            mem_grow(f->mappings, &f->mappings_cap, f->n_mappings + 1, sizeof(*f->mappings));
        f->mappings[f->n_mappings++] =
            (struct out_mapping){.module = frame->module, .kind = frame->kind};
        *id = (uint32_t)f->n_mappings;
    }
    struct out_mapping *m = &f->mappings[*id - 1];
    m->last_address = frame->address > m->last_address ? frame->address : m->last_address;
    return *id;
}

/* pprof takes the first mapping for the program: the one that most samples have, libraries aside.
 */
static void find_program(struct pprof *f)
{
    const struct profile *p = f->p;
    OX_FREE uint64_t *hits = mem_alloc(p->n_modules * sizeof(*hits));
    uint32_t best = 0, last_frame = 0, program_frame = 0;
    for (size_t i = 0; i < p->n_tallies; i++) {
        uint32_t module = 0;
        for (uint32_t n = p->tallies[i].node; n && !module; n = p->nodes[n].parent) {
            const struct profile_frame *frame = &p->frames[p->nodes[n].frame];
            const char *name = intern_get(p->strings, p->modules[frame->module].name);
            bool program = frame->kind == KIND_NATIVE && *name != '[' && !strstr(name, ".so");
            module = program ? frame->module : 0;
            last_frame = p->nodes[n].frame;
        }
        hits[module] += p->tallies[i].hits;
        if (module && hits[module] && (!best || hits[module] > hits[best])) {
            best = module;
            program_frame = last_frame;
        }
    }
    if (best)
        mapping_of(f, &p->frames[program_frame]);
}

static uint32_t location_of(struct pprof *f, uint32_t frame)
{
    if (!f->location_of[frame]) {
        f->used[f->n_used++] = frame;
        f->location_of[frame] = (uint32_t)f->n_used;
        mapping_of(f, &f->p->frames[frame]);
    }
    return f->location_of[frame];
}

static void put_label(struct pprof *f, uint32_t key, uint32_t string, uint64_t number)
{
    if (!string && !number)
        return;
    wire_clear(&f->inner);
    wire_number(&f->inner, LABEL_KEY, key);
    wire_number(&f->inner, LABEL_STRING, string);
    wire_number(&f->inner, LABEL_NUMBER, number);
    wire_message(&f->message, SAMPLE_LABEL, &f->inner);
}

/* Leaf first, as the file has it. */
static void put_stack(struct pprof *f, uint32_t leaf)
{
    const struct profile_node *nodes = f->p->nodes;
    wire_clear(&f->inner);
    do {
        wire_put(&f->inner, location_of(f, nodes[leaf].frame));
        leaf = nodes[leaf].parent;
    } while (leaf);
    wire_message(&f->message, SAMPLE_LOCATIONS, &f->inner);
}

static void name_labels(struct pprof *f)
{
    const struct profile *p = f->p;
    f->thread_key = put_text(f, "thread");
    f->tid_key = put_text(f, "tid");
    f->pid_key = put_text(f, "pid");
    f->state_key = put_text(f, "state");
    f->states[PROFILE_CPU] = put_text(f, PPROF_STATE_CPU);
    f->states[PROFILE_WAIT] = put_text(f, PPROF_STATE_WAIT);
    f->wait_key = put_text(f, PPROF_WAIT);
    f->thread_names = mem_alloc(p->n_threads * sizeof(*f->thread_names));
    for (size_t i = 0; i < p->n_threads; i++)
        f->thread_names[i] = put_string(f, p->threads[i].name);
}

static void put_labels(struct pprof *f, const struct profile_tally *t)
{
    const struct profile_thread *thread = &f->p->threads[t->thread];
    put_label(f, f->thread_key, f->thread_names[t->thread], 0);
    put_label(f, f->tid_key, 0, (uint64_t)thread->tid);
    put_label(f, f->pid_key, 0, (uint64_t)thread->pid);
    put_label(f, f->state_key, f->states[t->state], 0);
    uint32_t wait = f->p->frames[f->p->nodes[t->node].frame].wait;
    if (wait && t->state == PROFILE_WAIT)
        put_label(f, f->wait_key, put_string(f, wait), 0);
}

static void put_samples(struct pprof *f)
{
    const struct profile *p = f->p;
    for (size_t i = 0; i < p->n_tallies; i++) {
        const struct profile_tally *t = &p->tallies[i];
        if (!t->hits)
            continue;
        put_stack(f, t->node);
        wire_clear(&f->inner);
        wire_put(&f->inner, t->hits);
        wire_put(&f->inner, t->hits * p->interval_ns);
        wire_message(&f->message, SAMPLE_VALUES, &f->inner);
        put_labels(f, t);
        flush_message(f, PROFILE_SAMPLE);
    }
}

static uint32_t mapping_file(struct pprof *f, const struct out_mapping *m)
{
    const char *path = intern_get(f->p->strings, f->p->modules[m->module].path);
    if (m->kind == KIND_NATIVE)
        return put_text(f, path);
    OX_FREE char *text = mem_printf("[%s]%s%s", frame_kind_name(m->kind), *path ? " " : "", path);
    return put_text(f, text);
}

/*
 * Addresses are those in the file, so every mapping begins at 0. Tools that merge profiles take
 * modules of unequal size for different ones: the end is a round number.
 */
static void put_mappings(struct pprof *f)
{
    for (size_t i = 0; i < f->n_mappings; i++) {
        const struct out_mapping *m = &f->mappings[i];
        uint64_t limit = 1 << 24;
        while (limit <= m->last_address && limit << 1)
            limit <<= 1;
        wire_number(&f->message, MAPPING_ID, i + 1);
        wire_number(&f->message, MAPPING_LIMIT, limit > m->last_address ? limit : UINT64_MAX);
        wire_number(&f->message, MAPPING_FILE, mapping_file(f, m));
        wire_number(&f->message, MAPPING_BUILD_ID,
                    put_string(f, f->p->modules[m->module].build_id));
        for (unsigned has = MAPPING_HAS_FUNCTIONS; has <= MAPPING_HAS_INLINES; has++)
            wire_number(&f->message, has, 1);
        flush_message(f, PROFILE_MAPPING);
    }
}

static uint32_t function_of(struct pprof *f, const struct profile_line *l)
{
    const char *name = intern_get(f->p->strings, l->function);
    struct out_function key = {.name = put_text(f, *name ? name : "[unknown]"),
                               .file = put_string(f, l->file),
                               .start_line = l->start_line};
    /* pprof takes a name for mangled, and cuts it, where both are the same */
    if (l->linkage_name)
        key.linkage_name = put_string(f, l->linkage_name);
    if (key.linkage_name == key.name)
        key.linkage_name = 0;
    uint32_t hash = lookup_hash(&f->by_function, (uint64_t)key.name << 32 | key.linkage_name,
                                (uint64_t)key.file << 32 | key.start_line);
    uint32_t known;
    for (size_t pos = 0; (known = lookup_next(&f->by_function, hash, &pos)) != LOOKUP_NONE;)
        if (!memcmp(&f->functions[known], &key, sizeof(key)))
            return known + 1;
    f->functions =
        mem_grow(f->functions, &f->functions_cap, f->n_functions + 1, sizeof(*f->functions));
    f->functions[f->n_functions] = key;
    lookup_put(&f->by_function, hash, (uint32_t)f->n_functions);
    return (uint32_t)++f->n_functions;
}

static void put_locations(struct pprof *f)
{
    for (size_t i = 0; i < f->n_used; i++) {
        const struct profile_frame *frame = &f->p->frames[f->used[i]];
        wire_number(&f->message, LOCATION_ID, i + 1);
        wire_number(&f->message, LOCATION_MAPPING, mapping_of(f, frame));
        wire_number(&f->message, LOCATION_ADDRESS, frame->address);
        for (uint32_t k = 0; k < frame->n_lines; k++) {
            const struct profile_line *l = &f->p->lines[frame->first_line + k];
            wire_clear(&f->inner);
            wire_number(&f->inner, LINE_FUNCTION, function_of(f, l));
            wire_number(&f->inner, LINE_LINE, l->line);
            wire_message(&f->message, LOCATION_LINE, &f->inner);
        }
        flush_message(f, PROFILE_LOCATION);
    }
}

static void put_functions(struct pprof *f)
{
    for (size_t i = 0; i < f->n_functions; i++) {
        const struct out_function *fn = &f->functions[i];
        wire_number(&f->message, FUNCTION_ID, i + 1);
        wire_number(&f->message, FUNCTION_NAME, fn->name);
        wire_number(&f->message, FUNCTION_LINKAGE_NAME, fn->linkage_name);
        wire_number(&f->message, FUNCTION_FILE, fn->file);
        wire_number(&f->message, FUNCTION_START, fn->start_line);
        flush_message(f, PROFILE_FUNCTION);
    }
}

static void put_comment(struct pprof *f, const char *name, const char *value)
{
    OX_FREE char *text = mem_printf(PPROF_COMMENT "%s=%s", name, value);
    wire_number(&f->message, PROFILE_COMMENT, put_text(f, text));
}

static void put_figure(void *pprof, const char *name, uint64_t value)
{
    char number[24];
    snprintf(number, sizeof(number), "%" PRIu64, value);
    if (value) /* pprof shows all comments */
        put_comment(pprof, name, number);
}

static void put_head(struct pprof *f, const struct report_options *opt)
{
    const struct profile *p = f->p;
    put_type(f, PROFILE_PERIOD_TYPE, clock_type(f), "nanoseconds");
    wire_number(&f->message, PROFILE_TIME_NS, p->began_ns);
    wire_number(&f->message, PROFILE_DURATION_NS, p->duration_ns);
    wire_number(&f->message, PROFILE_PERIOD, p->interval_ns);
    wire_number(&f->message, PROFILE_DEFAULT_TYPE, put_text(f, "samples"));
    put_comment(f, "version", opt->version);
    put_comment(f, PPROF_TITLE, intern_get(p->strings, p->title));
    put_comment(f, PPROF_MODE, intern_get(p->strings, p->mode));
    head_each(p, put_figure, f);
    gzip_put(&f->gzip, f->message.bytes, f->message.n);
    wire_clear(&f->message);
}

static void put_strings(struct pprof *f)
{
    for (uint32_t i = 0; i < intern_count(f->strings); i++) {
        const char *text = intern_get(f->strings, i);
        wire_clear(&f->part);
        wire_bytes(&f->part, PROFILE_STRING, text, strlen(text));
        gzip_put(&f->gzip, f->part.bytes, f->part.n);
    }
}

static struct pprof *pprof_new(const struct profile *p, FILE *out)
{
    struct pprof *f = mem_alloc(sizeof(*f));
    f->p = p;
    gzip_open(&f->gzip, out);
    f->strings = intern_new(SIZE_MAX);
    f->location_of = mem_alloc(p->n_frames * sizeof(*f->location_of));
    f->used = mem_alloc(p->n_frames * sizeof(*f->used));
    f->mapping_of = mem_alloc(p->n_modules * KIND_N * sizeof(*f->mapping_of));
    lookup_init(&f->by_function);
    return f;
}

static void pprof_free(struct pprof *f)
{
    wire_release(&f->message);
    wire_release(&f->part);
    wire_release(&f->inner);
    intern_free(f->strings);
    free(f->location_of);
    free(f->used);
    free(f->mapping_of);
    free(f->mappings);
    free(f->functions);
    free(f->thread_names);
    lookup_release(&f->by_function);
    free(f);
}

int report_pprof(const struct profile *p, const struct report_options *opt, FILE *out)
{
    struct pprof *f = pprof_new(p, out);
    put_type(f, PROFILE_SAMPLE_TYPE, "samples", "count");
    put_type(f, PROFILE_SAMPLE_TYPE, clock_type(f), "nanoseconds");
    name_labels(f);
    find_program(f);
    put_samples(f);
    put_mappings(f);
    put_locations(f);
    put_functions(f);
    put_head(f, opt);
    put_strings(f);
    gzip_close(&f->gzip);
    pprof_free(f);
    return report_finish(out);
}

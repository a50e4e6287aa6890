/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/lookup.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/parse.h"
#include "report/gzip.h"
#include "report/head.h"
#include "report/pprof.h"
#include "report/report.h"
#include "report/wire.h"

/* A saved profile is hostile: it may come from anybody. */
enum {
    RAW_BYTES_MAX = 256 << 20,
    STRINGS_MAX = 4 << 20,
    MAPPINGS_MAX = 1 << 20,
    FUNCTIONS_MAX = 2 << 20,
    LOCATIONS_MAX = 2 << 20,
    LINES_MAX = 4 << 20,
    LOCATION_LINES_MAX = 1024, /* functions inlined in each other */
    TYPES_MAX = 64,
    STACK_MAX = 1 << 16,
    TITLE_BYTES_MAX = 200,
};

/* What a label's name says, of oxprof's and of others' labels. */
enum role { ROLE_NONE, ROLE_THREAD, ROLE_TID, ROLE_PID, ROLE_STATE, ROLE_WAIT };

static const struct {
    const char *text;
    enum role role;
} roles[] = {
    {"thread", ROLE_THREAD}, {"thread name", ROLE_THREAD},  {"thread_name", ROLE_THREAD},
    {"tid", ROLE_TID},       {"thread id", ROLE_TID},       {"thread_id", ROLE_TID},
    {"pid", ROLE_PID},       {"process id", ROLE_PID},      {"process_id", ROLE_PID},
    {"state", ROLE_STATE},   {PPROF_STATE_WAIT, ROLE_WAIT},
};

struct in_string {
    struct wire_in text;
    uint32_t known; /* in the profile; 0: not asked for yet, or "" */
    enum role role;
};

struct in_mapping {
    uint64_t id, start, limit, offset, file, build_id;
    uint32_t module; /* of the profile */
    enum frame_kind kind;
};

struct in_function {
    uint64_t id, name, linkage_name, file, start_line;
};

struct in_line {
    uint64_t function, line;
};

struct in_location {
    uint64_t id, mapping, address;
    uint32_t first_line, n_lines;
    uint32_t frame; /* of the profile */
    bool known;
};

struct in_type {
    uint64_t type, unit;
};

struct report_reader {
    struct profile *p; /* borrowed */
    uint64_t seed;     /* of the frames' keys */
    size_t n_files;
};

/* One file. The arrays are owned. */
struct input {
    struct report_reader *r;
    struct profile *p;
    struct error *err;
    struct in_string *strings;
    struct in_mapping *mappings;
    struct in_function *functions;
    struct in_location *locations;
    struct in_line *lines;
    size_t n_strings, strings_cap, n_mappings, mappings_cap, n_functions, functions_cap;
    size_t n_locations, locations_cap, n_lines, lines_cap;
    struct lookup by_mapping, by_function, by_location;
    struct in_type types[TYPES_MAX], period_type;
    size_t n_types, value; /* which of the types is read */
    bool divide;           /* it is a time: a sample for each period of it */
    uint64_t *comments;
    size_t n_comments, comments_cap;
    uint64_t default_type, period, time_ns, duration_ns;
    bool own;
    /* the sample at work */
    uint32_t *stack;
    uint64_t *ids;
    struct profile_line *named;
    size_t stack_cap, ids_cap, named_cap;
};

static int malformed(struct input *in, const char *what)
{
    return error_set(in->err, -EBADMSG, "it is no saved profile, or a damaged one: %s", what);
}

static int too_many(struct input *in, const char *what)
{
    return error_set(in->err, -E2BIG, "it is too large: too many %s", what);
}

static bool text_is(const struct input *in, uint64_t string, const char *text)
{
    if (string >= in->n_strings)
        return !*text;
    const struct wire_in *s = &in->strings[string].text;
    return wire_left(s) == strlen(text) && !memcmp(s->at, text, strlen(text));
}

/* The string's number in the profile. */
static uint32_t string_of(struct input *in, uint64_t string)
{
    if (!string || string >= in->n_strings)
        return 0;
    struct in_string *s = &in->strings[string];
    if (!s->known)
        s->known = intern_put_n(in->p->strings, (const char *)s->text.at, wire_left(&s->text));
    return s->known;
}

static const char *text_of(struct input *in, uint64_t string)
{
    return intern_get(in->p->strings, string_of(in, string));
}

/* --- the tables: fields of the profile other than its samples */

static int add_string(struct input *in, const struct wire_in *text)
{
    if (in->n_strings == STRINGS_MAX)
        return too_many(in, "strings");
    in->strings = mem_grow(in->strings, &in->strings_cap, in->n_strings + 1, sizeof(*in->strings));
    in->strings[in->n_strings++] = (struct in_string){.text = *text};
    for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++)
        if (text_is(in, in->n_strings - 1, roles[i].text))
            in->strings[in->n_strings - 1].role = roles[i].role;
    return 0;
}

static const struct in_mapping *mapping_of(const struct input *in, uint64_t id)
{
    uint32_t hash = lookup_hash(&in->by_mapping, id, 0), i;
    for (size_t pos = 0; id && (i = lookup_next(&in->by_mapping, hash, &pos)) != LOOKUP_NONE;)
        if (in->mappings[i].id == id)
            return &in->mappings[i];
    return NULL;
}

static const struct in_function *function_of(const struct input *in, uint64_t id)
{
    uint32_t hash = lookup_hash(&in->by_function, id, 0), i;
    for (size_t pos = 0; id && (i = lookup_next(&in->by_function, hash, &pos)) != LOOKUP_NONE;)
        if (in->functions[i].id == id)
            return &in->functions[i];
    return NULL;
}

static struct in_location *location_of(const struct input *in, uint64_t id)
{
    uint32_t hash = lookup_hash(&in->by_location, id, 0), i;
    for (size_t pos = 0; id && (i = lookup_next(&in->by_location, hash, &pos)) != LOOKUP_NONE;)
        if (in->locations[i].id == id)
            return &in->locations[i];
    return NULL;
}

/* Numbers of a message go where `places` says; others are passed over. */
static int read_numbers(struct input *in, struct wire_in message, uint64_t *const *places,
                        size_t n_places)
{
    struct wire_field f;
    while (wire_next(&message, &f))
        if (f.type == WIRE_VARINT && f.number < n_places && places[f.number])
            *places[f.number] = f.value;
    return message.bad ? malformed(in, "a field is cut") : 0;
}

static int read_type(struct input *in, struct wire_in message, struct in_type *ret_type)
{
    *ret_type = (struct in_type){0};
    uint64_t *const places[] = {[VALUE_TYPE] = &ret_type->type, [VALUE_UNIT] = &ret_type->unit};
    return read_numbers(in, message, places, sizeof(places) / sizeof(*places));
}

static int add_type(struct input *in, struct wire_in message)
{
    if (in->n_types == TYPES_MAX)
        return too_many(in, "sample types");
    return read_type(in, message, &in->types[in->n_types++]);
}

static int add_mapping(struct input *in, struct wire_in message)
{
    struct in_mapping m = {0};
    uint64_t *const places[] = {
        [MAPPING_ID] = &m.id,         [MAPPING_START] = &m.start, [MAPPING_LIMIT] = &m.limit,
        [MAPPING_OFFSET] = &m.offset, [MAPPING_FILE] = &m.file,   [MAPPING_BUILD_ID] = &m.build_id};
    if (in->n_mappings == MAPPINGS_MAX)
        return too_many(in, "mappings");
    in->mappings =
        mem_grow(in->mappings, &in->mappings_cap, in->n_mappings + 1, sizeof(*in->mappings));
    int rc = read_numbers(in, message, places, sizeof(places) / sizeof(*places));
    if (rc == 0 && (!m.id || mapping_of(in, m.id)))
        rc = malformed(in, "two mappings have one number, or one has none");
    lookup_put(&in->by_mapping, lookup_hash(&in->by_mapping, m.id, 0), (uint32_t)in->n_mappings);
    in->mappings[in->n_mappings++] = m;
    return rc;
}

static int add_function(struct input *in, struct wire_in message)
{
    struct in_function f = {0};
    uint64_t *const places[] = {[FUNCTION_ID] = &f.id,
                                [FUNCTION_NAME] = &f.name,
                                [FUNCTION_LINKAGE_NAME] = &f.linkage_name,
                                [FUNCTION_FILE] = &f.file,
                                [FUNCTION_START] = &f.start_line};
    if (in->n_functions == FUNCTIONS_MAX)
        return too_many(in, "functions");
    in->functions =
        mem_grow(in->functions, &in->functions_cap, in->n_functions + 1, sizeof(*in->functions));
    int rc = read_numbers(in, message, places, sizeof(places) / sizeof(*places));
    if (rc == 0 && (!f.id || function_of(in, f.id)))
        rc = malformed(in, "two functions have one number, or one has none");
    lookup_put(&in->by_function, lookup_hash(&in->by_function, f.id, 0), (uint32_t)in->n_functions);
    in->functions[in->n_functions++] = f;
    return rc;
}

static int add_line(struct input *in, struct wire_in message)
{
    struct in_line l = {0};
    uint64_t *const places[] = {[LINE_FUNCTION] = &l.function, [LINE_LINE] = &l.line};
    if (in->n_lines == LINES_MAX)
        return too_many(in, "lines");
    in->lines = mem_grow(in->lines, &in->lines_cap, in->n_lines + 1, sizeof(*in->lines));
    int rc = read_numbers(in, message, places, sizeof(places) / sizeof(*places));
    in->lines[in->n_lines++] = l;
    return rc;
}

static int add_location(struct input *in, struct wire_in message)
{
    struct in_location l = {.first_line = (uint32_t)in->n_lines};
    uint64_t *const places[] = {
        [LOCATION_ID] = &l.id, [LOCATION_MAPPING] = &l.mapping, [LOCATION_ADDRESS] = &l.address};
    struct wire_field f;
    if (in->n_locations == LOCATIONS_MAX)
        return too_many(in, "locations");
    int rc = read_numbers(in, message, places, sizeof(places) / sizeof(*places));
    while (rc == 0 && wire_next(&message, &f))
        if (f.number == LOCATION_LINE && f.type == WIRE_BYTES)
            rc = add_line(in, f.inside);
    l.n_lines = (uint32_t)in->n_lines - l.first_line;
    if (rc == 0 && l.n_lines > LOCATION_LINES_MAX)
        rc = too_many(in, "functions at one place");
    if (rc == 0 && (!l.id || location_of(in, l.id)))
        rc = malformed(in, "two places have one number, or one has none");
    in->locations =
        mem_grow(in->locations, &in->locations_cap, in->n_locations + 1, sizeof(*in->locations));
    lookup_put(&in->by_location, lookup_hash(&in->by_location, l.id, 0), (uint32_t)in->n_locations);
    in->locations[in->n_locations++] = l;
    return rc;
}

static void add_comment(struct input *in, uint64_t string)
{
    in->comments =
        mem_grow(in->comments, &in->comments_cap, in->n_comments + 1, sizeof(*in->comments));
    in->comments[in->n_comments++] = string;
}

static int add_comments(struct input *in, const struct wire_field *f)
{
    struct wire_in packed = f->inside;
    uint64_t string;
    if (in->n_comments >= STRINGS_MAX)
        return too_many(in, "comments");
    if (f->type == WIRE_VARINT)
        add_comment(in, f->value);
    while (f->type == WIRE_BYTES && in->n_comments < STRINGS_MAX && wire_varint(&packed, &string))
        add_comment(in, string);
    return packed.bad ? malformed(in, "a comment is cut") : 0;
}

static int read_message_field(struct input *in, const struct wire_field *f)
{
    switch (f->number) {
    case PROFILE_SAMPLE_TYPE:
        return add_type(in, f->inside);
    case PROFILE_MAPPING:
        return add_mapping(in, f->inside);
    case PROFILE_LOCATION:
        return add_location(in, f->inside);
    case PROFILE_FUNCTION:
        return add_function(in, f->inside);
    case PROFILE_STRING:
        return add_string(in, &f->inside);
    case PROFILE_PERIOD_TYPE:
        return read_type(in, f->inside, &in->period_type);
    case PROFILE_COMMENT:
        return add_comments(in, f);
    default:
        return 0;
    }
}

static int read_number_field(struct input *in, const struct wire_field *f)
{
    switch (f->number) {
    case PROFILE_TIME_NS:
        in->time_ns = f->value;
        return 0;
    case PROFILE_DURATION_NS:
        in->duration_ns = f->value;
        return 0;
    case PROFILE_PERIOD:
        in->period = f->value;
        return 0;
    case PROFILE_DEFAULT_TYPE:
        in->default_type = f->value;
        return 0;
    case PROFILE_COMMENT:
        return add_comments(in, f);
    default:
        return 0;
    }
}

static int read_tables(struct input *in, struct wire_in raw)
{
    struct wire_field f;
    int rc = 0;
    while (rc == 0 && wire_next(&raw, &f)) {
        if (f.type == WIRE_BYTES)
            rc = read_message_field(in, &f);
        else
            rc = read_number_field(in, &f);
    }
    if (rc == 0 && raw.bad)
        rc = malformed(in, "a field is cut");
    if (rc == 0 && (!in->n_types || !in->n_strings || wire_left(&in->strings[0].text)))
        rc = malformed(in, "it says nothing about its samples");
    return rc;
}

/* --- what the samples count */

static uint64_t unit_ns(const struct input *in, uint64_t unit)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"nanoseconds", 1},
                 {"microseconds", 1000},
                 {"milliseconds", 1000 * 1000},
                 {"seconds", 1000 * 1000 * 1000}};
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
        if (text_is(in, unit, units[i].name))
            return units[i].ns;
    return 0;
}

/* Samples where they are counted; else what the file holds for the main thing, as pprof does. */
static void choose_value(struct input *in)
{
    in->value = in->n_types - 1;
    for (size_t i = 0; i < in->n_types; i++)
        if (in->default_type && in->types[i].type == in->default_type)
            in->value = i;
    for (size_t i = in->n_types; i--;)
        if (text_is(in, in->types[i].type, "samples") && text_is(in, in->types[i].unit, "count"))
            in->value = i;
    const struct in_type *chosen = &in->types[in->value];
    in->divide = in->period && unit_ns(in, chosen->unit) && chosen->type == in->period_type.type &&
                 chosen->unit == in->period_type.unit;
}

static uint64_t interval_ns(const struct input *in)
{
    uint64_t ns;
    if (__builtin_mul_overflow(in->period, unit_ns(in, in->period_type.unit), &ns))
        return 0;
    return ns;
}

/* --- places in code */

/* "[python]", "[jit] /srv/a.jar", "/usr/bin/app", and perf's "[kernel.kallsyms]". Steps over the
 * kind. */
static enum frame_kind kind_of_file(const char **file)
{
    for (unsigned kind = 0; kind < KIND_N; kind++) {
        const char *name = frame_kind_name((enum frame_kind)kind);
        size_t len = strlen(name);
        if ((*file)[0] != '[' || strncmp(*file + 1, name, len) || (*file)[len + 1] != ']')
            continue;
        *file += len + 2 + ((*file)[len + 2] == ' ');
        return (enum frame_kind)kind;
    }
    return strncmp(*file, "[kernel.", 8) ? KIND_NATIVE : KIND_KERNEL;
}

/* As module_short_name() of lib/target. */
static char *short_name(const char *path)
{
    static const char deleted[] = " (deleted)";
    const size_t deleted_len = sizeof(deleted) - 1;
    const char *slash = strrchr(path, '/'), *base = slash && slash[1] ? slash + 1 : path;
    size_t len = strlen(base);
    if (len > deleted_len && !strcmp(base + len - deleted_len, deleted))
        len -= deleted_len;
    return mem_strndup(base, len);
}

static void name_mappings(struct input *in)
{
    for (size_t i = 0; i < in->n_mappings; i++) {
        struct in_mapping *m = &in->mappings[i];
        const char *path = text_of(in, m->file);
        m->kind = kind_of_file(&path);
        if (!*path)
            continue;
        OX_FREE char *name = short_name(path);
        m->module = profile_module(in->p, path, name, text_of(in, m->build_id));
    }
}

static uint32_t clamp(uint64_t line)
{
    return line <= INT32_MAX ? (uint32_t)line : 0;
}

static struct profile_line line_of(struct input *in, const struct in_line *from)
{
    const struct in_function *f = function_of(in, from->function);
    struct profile_line l = {.line = clamp(from->line)};
    if (!f)
        return l;
    l.function = string_of(in, f->name);
    l.linkage_name = f->linkage_name == f->name ? 0 : string_of(in, f->linkage_name);
    l.file = string_of(in, f->file);
    l.start_line = clamp(f->start_line);
    return l;
}

static size_t name_lines(struct input *in, const struct in_location *l, uint64_t address)
{
    size_t n = l->n_lines ? l->n_lines : 1;
    in->named = mem_grow(in->named, &in->named_cap, n, sizeof(*in->named));
    for (size_t i = 0; i < l->n_lines; i++)
        in->named[i] = line_of(in, &in->lines[l->first_line + i]);
    if (!l->n_lines) {
        OX_FREE char *text = mem_printf("0x%" PRIx64, address);
        in->named[0] = (struct profile_line){.function = intern_put(in->p->strings, text)};
    }
    return n;
}

static enum frame_kind kind_of(const struct input *in, const struct in_mapping *m)
{
    const char *file = intern_get(in->p->strings, in->named[0].file);
    size_t len = strlen(file);
    if (m && (m->module || m->kind != KIND_NATIVE))
        return m->kind;
    if (len > 3 && !strcmp(file + len - 3, ".py"))
        return KIND_PYTHON;
    return in->named[0].file ? KIND_NATIVE : KIND_UNKNOWN;
}

static bool same_names(const struct input *in, const struct profile_frame *f, size_t n)
{
    return f->n_lines == n &&
           !memcmp(&in->p->lines[f->first_line], in->named, n * sizeof(*in->named));
}

/* A frame's key is what it is called: the files' numbers mean nothing outside of them. */
static uint32_t put_frame(struct input *in, uint64_t address, enum frame_kind kind, uint32_t module,
                          size_t n)
{
    uint64_t space = map_hash(in->r->seed, module, kind);
    for (size_t i = 0; i < n; i++) {
        const struct profile_line *l = &in->named[i];
        space = map_hash(space, (uint64_t)l->function << 32 | l->linkage_name,
                         (uint64_t)l->file << 32 | l->line);
        space = map_hash(space, l->start_line, i);
    }
    for (;; space++) {
        uint32_t frame = profile_frame(in->p, space, address);
        const struct profile_frame *f = &in->p->frames[frame];
        if (frame == PROFILE_NO_FRAME)
            return frame;
        if (!f->first_line) { /* new; or its lines did not fit */
            profile_name(in->p, frame, kind, module, in->named, n);
            return frame;
        }
        if (f->kind == kind && f->module == module && same_names(in, f, n))
            return frame;
    }
}

static uint32_t frame_of(struct input *in, struct in_location *l)
{
    if (l->known)
        return l->frame;
    const struct in_mapping *m = mapping_of(in, l->mapping);
    uint64_t address = l->address;
    if (m && address >= m->start)
        address = address - m->start + m->offset;
    size_t n = name_lines(in, l, address);
    l->frame = put_frame(in, address, kind_of(in, m), m ? m->module : 0, n);
    l->known = true;
    return l->frame;
}

/* The same place where a thread waits for something: a frame of its own. */
static uint32_t with_wait(struct input *in, uint32_t frame, uint32_t wait)
{
    struct profile *p = in->p;
    struct profile_frame place = p->frames[frame];
    if (frame == PROFILE_NO_FRAME || !place.first_line)
        return frame;
    in->named = mem_grow(in->named, &in->named_cap, place.n_lines, sizeof(*in->named));
    memcpy(in->named, &p->lines[place.first_line], place.n_lines * sizeof(*in->named));
    for (uint64_t space = map_hash(in->r->seed, place.space, wait);; space++) {
        frame = profile_frame(p, space, place.address);
        struct profile_frame *f = &p->frames[frame];
        if (frame == PROFILE_NO_FRAME)
            return frame;
        if (!f->first_line) { /* new; or its lines did not fit */
            profile_name(p, frame, place.kind, place.module, in->named, place.n_lines);
            p->frames[frame].wait = wait;
            return frame;
        }
        if (f->wait == wait && f->kind == place.kind && f->module == place.module &&
            same_names(in, f, place.n_lines))
            return frame;
    }
}

/* --- samples */

struct labels {
    uint64_t thread, waits_for; /* strings of the file */
    uint64_t tid, pid;
    bool wait;
};

struct sample {
    size_t n_locations, n_values;
    int64_t value;
    struct labels labels;
};

static int take_location(struct input *in, struct sample *s, uint64_t id)
{
    if (s->n_locations == STACK_MAX)
        return too_many(in, "functions in one stack");
    in->ids = mem_grow(in->ids, &in->ids_cap, s->n_locations + 1, sizeof(*in->ids));
    in->ids[s->n_locations++] = id;
    return 0;
}

static int take_value(struct input *in, struct sample *s, uint64_t value)
{
    if (s->n_values++ == in->value)
        s->value = (int64_t)value;
    return 0;
}

static int take_label(struct input *in, struct sample *s, struct wire_in message)
{
    uint64_t key = 0, string = 0, number = 0;
    uint64_t *const places[] = {
        [LABEL_KEY] = &key, [LABEL_STRING] = &string, [LABEL_NUMBER] = &number};
    int rc = read_numbers(in, message, places, sizeof(places) / sizeof(*places));
    enum role role = key < in->n_strings ? in->strings[key].role : ROLE_NONE;
    uint64_t value = number;
    if (string && parse_u64(text_of(in, string), &value) < 0)
        value = 0;
    if (role == ROLE_THREAD)
        s->labels.thread = string;
    else if (role == ROLE_TID)
        s->labels.tid = value <= INT32_MAX ? value : 0;
    else if (role == ROLE_PID)
        s->labels.pid = value <= INT32_MAX ? value : 0;
    else if (role == ROLE_STATE && in->own) /* others mean other things by it */
        s->labels.wait = string < in->n_strings && in->strings[string].role == ROLE_WAIT;
    else if (role == ROLE_WAIT && in->own)
        s->labels.waits_for = string;
    return rc;
}

typedef int take_number(struct input *in, struct sample *s, uint64_t value);

/* Repeated numbers may be packed or not. */
static int take_numbers(struct input *in, struct sample *s, const struct wire_field *f,
                        take_number *take)
{
    struct wire_in packed = f->inside;
    uint64_t value;
    int rc = f->type == WIRE_VARINT ? take(in, s, f->value) : 0;
    while (rc == 0 && f->type == WIRE_BYTES && wire_varint(&packed, &value))
        rc = take(in, s, value);
    return rc == 0 && packed.bad ? malformed(in, "a sample is cut") : rc;
}

static int read_sample(struct input *in, struct wire_in message, struct sample *s)
{
    struct wire_field f;
    int rc = 0;
    while (rc == 0 && wire_next(&message, &f)) {
        if (f.number == SAMPLE_LOCATIONS)
            rc = take_numbers(in, s, &f, take_location);
        else if (f.number == SAMPLE_VALUES)
            rc = take_numbers(in, s, &f, take_value);
        else if (f.number == SAMPLE_LABEL && f.type == WIRE_BYTES)
            rc = take_label(in, s, f.inside);
    }
    if (rc == 0 && message.bad)
        rc = malformed(in, "a sample is cut");
    if (rc == 0 && s->n_values != in->n_types)
        rc = malformed(in, "a sample has too few values, or too many");
    if (rc == 0 && s->value < 0)
        rc = error_set(in->err, -EINVAL,
                       "it has negative counts: the difference of two profiles is none itself");
    return rc;
}

/* Threads without a number are told apart by their names. */
static uint32_t thread_of(struct input *in, const struct labels *l)
{
    struct profile *p = in->p;
    const char *name = l->thread ? text_of(in, l->thread) : "[unknown]";
    uint64_t tid = l->tid;
    if (!tid && !l->pid && in->own && !strcmp(name, "[other]"))
        return profile_other_thread(p);
    if (!tid)
        tid = intern_put(p->strings, name);
    return profile_thread(p, (pid_t)l->pid, (pid_t)tid, name);
}

static int count_sample(struct input *in, struct wire_in message)
{
    struct sample s = {0};
    int rc = read_sample(in, message, &s);
    if (rc < 0)
        return rc;
    in->stack = mem_grow(in->stack, &in->stack_cap, s.n_locations + 1, sizeof(*in->stack));
    for (size_t i = 0; i < s.n_locations; i++) {
        struct in_location *l = location_of(in, in->ids[i]);
        if (!l)
            return malformed(in, "a stack has a place that is not there");
        in->stack[s.n_locations - 1 - i] = frame_of(in, l);
    }
    uint32_t wait = s.labels.wait ? string_of(in, s.labels.waits_for) : 0;
    if (wait && s.n_locations)
        in->stack[s.n_locations - 1] = with_wait(in, in->stack[s.n_locations - 1], wait);
    uint64_t hits = (uint64_t)s.value;
    if (in->divide)
        hits = hits / in->period + (hits % in->period >= in->period / 2 + in->period % 2);
    if (!hits)
        return 0;
    uint32_t tally = profile_stack(in->p, in->stack, s.n_locations, thread_of(in, &s.labels),
                                   s.labels.wait ? PROFILE_WAIT : PROFILE_CPU);
    profile_hit(in->p, tally, hits);
    return 0;
}

static int read_samples(struct input *in, struct wire_in raw)
{
    struct wire_field f;
    int rc = 0;
    while (rc == 0 && wire_next(&raw, &f))
        if (f.number == PROFILE_SAMPLE && f.type == WIRE_BYTES)
            rc = count_sample(in, f.inside);
    return rc;
}

/* --- the head */

/* The rest of a comment "oxprof:NAME=", or NULL. */
static const char *comment_value(const char *comment, const char *name)
{
    size_t prefix = strlen(PPROF_COMMENT), len = strlen(name);
    if (strncmp(comment, PPROF_COMMENT, prefix) || strncmp(comment + prefix, name, len) ||
        comment[prefix + len] != '=')
        return NULL;
    return comment + prefix + len + 1;
}

static const char *find_comment(struct input *in, const char *name)
{
    for (size_t i = 0; i < in->n_comments; i++) {
        const char *value = comment_value(text_of(in, in->comments[i]), name);
        if (value)
            return value;
    }
    return NULL;
}

static void add_figures(struct input *in)
{
    for (size_t i = 0; i < in->n_comments; i++) {
        const char *text = text_of(in, in->comments[i]), *equals = strchr(text, '=');
        uint64_t value;
        if (!equals || strncmp(text, PPROF_COMMENT, strlen(PPROF_COMMENT)) ||
            parse_u64(equals + 1, &value) < 0)
            continue;
        text += strlen(PPROF_COMMENT);
        OX_FREE char *name = mem_strndup(text, (size_t)(equals - text));
        head_add(in->p, name, value);
    }
}

static char *title_of(struct input *in)
{
    const char *title = find_comment(in, PPROF_TITLE);
    if (title)
        return mem_strdup(title);
    const char *path = in->n_mappings ? text_of(in, in->mappings[0].file) : "";
    return *path ? short_name(path) : mem_strdup("saved profile");
}

static char *mode_of(struct input *in)
{
    const char *mode = find_comment(in, PPROF_MODE);
    const struct in_type *type = &in->types[in->value];
    if (mode)
        return mem_strdup(mode);
    if (in->divide || text_is(in, type->type, "samples"))
        type = &in->period_type;
    const char *unit = text_of(in, type->unit), *name = text_of(in, type->type);
    if (!*name)
        return mem_strdup("samples");
    return unit_ns(in, type->unit) ? mem_printf("%s time", name) : mem_printf("%s/%s", name, unit);
}

/* "pid 7 (app)" and "pid 8 (app)" give "pid 7 (app) + pid 8 (app)", up to a length. */
static uint32_t joined(struct profile *p, uint32_t known, const char *text)
{
    const char *before = intern_get(p->strings, known);
    const char *found = known ? strstr(before, text) : NULL;
    size_t end = found ? strlen(text) : 0;
    if (!known)
        return intern_put(p->strings, text);
    if (found && (found[end] == '\0' || !strncmp(found + end, " + ", 3)) &&
        (found == before || (found - before >= 3 && !strncmp(found - 3, " + ", 3))))
        return known;
    size_t len = strlen(before);
    if (len >= 3 && !strcmp(before + len - 3, "..."))
        return known;
    bool fits = len + strlen(text) <= TITLE_BYTES_MAX;
    OX_FREE char *both = mem_printf("%s + %s", before, fits ? text : "...");
    return intern_put(p->strings, both);
}

static int check_interval(struct input *in)
{
    uint64_t before = in->p->interval_ns, here = interval_ns(in);
    if (!in->r->n_files || before == here)
        return 0;
    return error_set(in->err, -EINVAL,
                     "its samples were taken every %" PRIu64 " us, those before it every %" PRIu64
                     " us: they can't be added",
                     here / 1000, before / 1000);
}

static void read_head(struct input *in)
{
    struct profile *p = in->p;
    bool wall = text_is(in, in->period_type.type, "wall");
    OX_FREE char *title = title_of(in), *mode = mode_of(in);
    uint32_t title_before = p->title;
    uint64_t threads_before = p->threads_seen;
    in->own = find_comment(in, "version") != NULL;
    p->title = joined(p, p->title, title);
    p->mode = joined(p, p->mode, mode);
    p->interval_ns = interval_ns(in);
    p->cpu_only = !wall && (p->cpu_only || !in->r->n_files);
    if (in->time_ns && (!p->began_ns || in->time_ns < p->began_ns))
        p->began_ns = in->time_ns;
    p->duration_ns += in->duration_ns <= INT64_MAX ? in->duration_ns : 0;
    add_figures(in);
    /* The same process again: the same threads, more or less. */
    if (in->r->n_files && p->title == title_before)
        p->threads_seen = p->threads_seen - threads_before > threads_before
                              ? p->threads_seen - threads_before
                              : threads_before;
}

static int read_profile(struct input *in, struct wire_in raw)
{
    int rc = read_tables(in, raw);
    if (rc < 0)
        return rc;
    choose_value(in);
    rc = check_interval(in);
    if (rc < 0)
        return rc;
    size_t threads_before = in->p->n_threads;
    name_mappings(in);
    read_head(in);
    rc = read_samples(in, raw);
    if (!in->own)
        in->p->threads_seen += in->p->n_threads - threads_before;
    return rc;
}

static void input_release(struct input *in)
{
    free(in->strings);
    free(in->mappings);
    free(in->functions);
    free(in->locations);
    free(in->lines);
    free(in->comments);
    free(in->stack);
    free(in->ids);
    free(in->named);
    lookup_release(&in->by_mapping);
    lookup_release(&in->by_function);
    lookup_release(&in->by_location);
}

struct report_reader *report_reader_new(struct profile *p)
{
    struct report_reader *r = mem_alloc(sizeof(*r));
    *r = (struct report_reader){.p = p, .seed = map_new_seed()};
    return r;
}

void report_reader_free(struct report_reader *r)
{
    free(r);
}

int report_reader_add(struct report_reader *r, const uint8_t *bytes, size_t n, struct error *err)
{
    struct input in = {.r = r, .p = r->p, .err = err};
    OX_FREE uint8_t *unpacked = NULL;
    if (!n)
        return error_set(err, -EBADMSG, "it is empty");
    if (n > 2 && bytes[0] == 0x1f && bytes[1] == 0x8b) {
        int rc = gzip_read(bytes, n, RAW_BYTES_MAX, &unpacked, &n, err);
        if (rc < 0)
            return rc;
        bytes = unpacked;
    }
    if (n > RAW_BYTES_MAX)
        return error_set(err, -E2BIG, "it is larger than %d MiB", RAW_BYTES_MAX >> 20);
    lookup_init(&in.by_mapping);
    lookup_init(&in.by_function);
    lookup_init(&in.by_location);
    int rc = read_profile(&in, (struct wire_in){.at = bytes, .end = bytes + n});
    input_release(&in);
    r->n_files += rc == 0;
    return rc;
}

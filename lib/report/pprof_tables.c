/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "report/pprof.h"
#include "report/pprof_input.h"

static const struct {
    const char *text;
    enum role role;
} roles[] = {
    {"thread", ROLE_THREAD}, {"thread name", ROLE_THREAD},  {"thread_name", ROLE_THREAD},
    {"tid", ROLE_TID},       {"thread id", ROLE_TID},       {"thread_id", ROLE_TID},
    {"pid", ROLE_PID},       {"process id", ROLE_PID},      {"process_id", ROLE_PID},
    {"state", ROLE_STATE},   {PPROF_STATE_WAIT, ROLE_WAIT},
};

static int add_string(struct input *in, const struct wire_in *text)
{
    if (in->n_strings == STRINGS_MAX)
        return input_too_many(in, "strings");
    in->strings = mem_grow(in->strings, &in->strings_cap, in->n_strings + 1, sizeof(*in->strings));
    in->strings[in->n_strings++] = (struct in_string){.text = *text};
    for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++)
        if (input_text_is(in, in->n_strings - 1, roles[i].text))
            in->strings[in->n_strings - 1].role = roles[i].role;
    return 0;
}

static int read_type(struct input *in, struct wire_in message, struct in_type *ret_type)
{
    *ret_type = (struct in_type){0};
    uint64_t *const places[] = {[VALUE_TYPE] = &ret_type->type, [VALUE_UNIT] = &ret_type->unit};
    return input_numbers(in, message, places, sizeof(places) / sizeof(*places));
}

static int add_type(struct input *in, struct wire_in message)
{
    if (in->n_types == TYPES_MAX)
        return input_too_many(in, "sample types");
    return read_type(in, message, &in->types[in->n_types++]);
}

static int add_mapping(struct input *in, struct wire_in message)
{
    struct in_mapping m = {0};
    uint64_t *const places[] = {
        [MAPPING_ID] = &m.id,         [MAPPING_START] = &m.start, [MAPPING_LIMIT] = &m.limit,
        [MAPPING_OFFSET] = &m.offset, [MAPPING_FILE] = &m.file,   [MAPPING_BUILD_ID] = &m.build_id};
    if (in->n_mappings == MAPPINGS_MAX)
        return input_too_many(in, "mappings");
    in->mappings =
        mem_grow(in->mappings, &in->mappings_cap, in->n_mappings + 1, sizeof(*in->mappings));
    int rc = input_numbers(in, message, places, sizeof(places) / sizeof(*places));
    if (rc == 0 && (!m.id || input_mapping(in, m.id)))
        rc = input_malformed(in, "two mappings have one number, or one has none");
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
        return input_too_many(in, "functions");
    in->functions =
        mem_grow(in->functions, &in->functions_cap, in->n_functions + 1, sizeof(*in->functions));
    int rc = input_numbers(in, message, places, sizeof(places) / sizeof(*places));
    if (rc == 0 && (!f.id || input_function(in, f.id)))
        rc = input_malformed(in, "two functions have one number, or one has none");
    lookup_put(&in->by_function, lookup_hash(&in->by_function, f.id, 0), (uint32_t)in->n_functions);
    in->functions[in->n_functions++] = f;
    return rc;
}

static int add_line(struct input *in, struct wire_in message)
{
    struct in_line l = {0};
    uint64_t *const places[] = {[LINE_FUNCTION] = &l.function, [LINE_LINE] = &l.line};
    if (in->n_lines == LINES_MAX)
        return input_too_many(in, "lines");
    in->lines = mem_grow(in->lines, &in->lines_cap, in->n_lines + 1, sizeof(*in->lines));
    int rc = input_numbers(in, message, places, sizeof(places) / sizeof(*places));
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
        return input_too_many(in, "locations");
    int rc = input_numbers(in, message, places, sizeof(places) / sizeof(*places));
    while (rc == 0 && wire_next(&message, &f))
        if (f.number == LOCATION_LINE && f.type == WIRE_BYTES)
            rc = add_line(in, f.inside);
    l.n_lines = (uint32_t)in->n_lines - l.first_line;
    if (rc == 0 && l.n_lines > LOCATION_LINES_MAX)
        rc = input_too_many(in, "functions at one place");
    if (rc == 0 && (!l.id || input_location(in, l.id)))
        rc = input_malformed(in, "two places have one number, or one has none");
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
    if (in->n_comments >= COMMENTS_MAX)
        return input_too_many(in, "comments");
    if (f->type == WIRE_VARINT)
        add_comment(in, f->value);
    while (f->type == WIRE_BYTES && in->n_comments < COMMENTS_MAX && wire_varint(&packed, &string))
        add_comment(in, string);
    if (!packed.bad && f->type == WIRE_BYTES && wire_left(&packed))
        return input_too_many(in, "comments");
    return packed.bad ? input_malformed(in, "a comment is cut") : 0;
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

int input_tables(struct input *in, struct wire_in raw)
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
        rc = input_malformed(in, "a field is cut");
    if (rc == 0 && (!in->n_types || !in->n_strings || wire_left(&in->strings[0].text)))
        rc = input_malformed(in, "it says nothing about its samples");
    return rc;
}

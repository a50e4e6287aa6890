/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "report/gzip.h"
#include "report/pprof.h"
#include "report/pprof_input.h"

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
        return input_too_many(in, "functions in one stack");
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
    int rc = input_numbers(in, message, places, sizeof(places) / sizeof(*places));
    enum role role = key < in->n_strings ? in->strings[key].role : ROLE_NONE;
    bool numeric = role == ROLE_TID || role == ROLE_PID;
    uint64_t value = string && numeric ? input_text_number(in, string) : number;
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
    return rc == 0 && packed.bad ? input_malformed(in, "a sample is cut") : rc;
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
        rc = input_malformed(in, "a sample is cut");
    if (rc == 0 && s->n_values != in->n_types)
        rc = input_malformed(in, "a sample has too few values, or too many");
    if (rc == 0 && s->value < 0)
        rc = error_set(in->err, -EINVAL,
                       "it has negative counts: the difference of two profiles is none itself");
    return rc;
}

/* Threads without a number are told apart by their names. */
static uint32_t thread_of(struct input *in, const struct labels *l)
{
    struct profile *p = in->p;
    const char *name = l->thread ? input_text(in, l->thread) : "[unknown]";
    if (!l->tid && !l->pid && in->own && !strcmp(name, "[other]"))
        return profile_other_thread(p);
    if (!l->tid)
        return profile_named_thread(p, (pid_t)l->pid, name);
    return profile_thread(p, (pid_t)l->pid, (pid_t)l->tid, name);
}

static uint64_t hits_of(const struct input *in, uint64_t value)
{
    if (!in->divide)
        return value;
    return value / in->period + (value % in->period >= in->period / 2 + in->period % 2);
}

/* Writers add samples up, and multiply them by the interval into profile.proto's signed numbers. */
static int count_hits(struct input *in, uint64_t hits)
{
    uint64_t interval_ns = in->p->interval_ns ? in->p->interval_ns : 1;
    uint64_t by_time = INT64_MAX / interval_ns,
             most = by_time < SAMPLES_MAX ? by_time : SAMPLES_MAX;
    if (hits > most || in->r->samples > most - hits)
        return input_too_many(in, "samples");
    in->r->samples += hits;
    return 0;
}

/* A few places with many functions inlined in each, in many stacks, would be a large tree. */
static int count_spread(struct input *in)
{
    const struct profile *p = in->p;
    for (; in->r->nodes < p->n_nodes; in->r->nodes++)
        in->r->spread += p->frames[p->nodes[in->r->nodes].frame].n_lines;
    return in->r->spread > SPREAD_MAX ? input_too_many(in, "functions in its stacks") : 0;
}

static int count_sample(struct input *in, struct wire_in message)
{
    struct sample s = {0};
    int rc = read_sample(in, message, &s);
    if (rc < 0)
        return rc;
    in->stack = mem_grow(in->stack, &in->stack_cap, s.n_locations + 1, sizeof(*in->stack));
    for (size_t i = 0; i < s.n_locations; i++) {
        struct in_location *l = input_location(in, in->ids[i]);
        if (!l)
            return input_malformed(in, "a stack has a place that is not there");
        in->stack[s.n_locations - 1 - i] = input_frame(in, l);
    }
    uint32_t wait = s.labels.wait ? input_string(in, s.labels.waits_for) : 0;
    if (wait && s.n_locations)
        in->stack[s.n_locations - 1] = input_waiting_frame(in, in->stack[s.n_locations - 1], wait);
    uint64_t hits = hits_of(in, (uint64_t)s.value);
    if (!hits)
        return 0;
    rc = count_hits(in, hits);
    if (rc < 0)
        return rc;
    uint32_t tally = profile_stack(in->p, in->stack, s.n_locations, thread_of(in, &s.labels),
                                   s.labels.wait ? PROFILE_WAIT : PROFILE_CPU);
    profile_hit(in->p, tally, hits);
    return count_spread(in);
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

static int read_profile(struct input *in, struct wire_in raw)
{
    int rc = input_tables(in, raw);
    if (rc < 0)
        return rc;
    input_choose_value(in);
    rc = input_check_interval(in);
    if (rc < 0)
        return rc;
    size_t threads_before = in->p->n_threads;
    input_name_mappings(in);
    input_head(in);
    rc = read_samples(in, raw);
    if (!in->own)
        in->p->threads_seen += in->p->n_threads - threads_before;
    return rc;
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

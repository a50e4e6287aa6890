/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>

#include "made_profile.h"
#include "report/gzip.h"
#include "report/pprof.h"
#include "report/wire.h"

struct saved {
    uint8_t *bytes; /* owned */
    size_t n;
};

static struct saved save(const struct profile *p)
{
    struct saved s = {0};
    s.bytes = (uint8_t *)made_text(report_pprof, p, &plain, &s.n);
    return s;
}

static int load(struct profile *p, const struct saved *files, size_t n, struct error *err)
{
    struct report_reader *r = report_reader_new(p);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = report_reader_add(r, files[i].bytes, files[i].n, err);
    report_reader_free(r);
    return rc;
}

static struct profile *loaded(const struct saved *files, size_t n)
{
    struct profile *p = profile_new(NULL);
    struct error err;
    cr_assert_eq(load(p, files, n, &err), 0, "%s", err.text);
    return p;
}

static void expect_same(report_writer *writer, const struct profile *a, const struct profile *b,
                        const struct report_options *opt)
{
    char *wanted = made_text(writer, a, opt, NULL), *got = made_text(writer, b, opt, NULL);
    cr_assert(!strcmp(wanted, got), "wanted:\n%s\ngot:\n%s", wanted, got);
    free(wanted);
    free(got);
}

Test(pprof, what_was_saved_reads_the_same_in_every_format)
{
    static report_writer *const writers[] = {report_text,      report_tsv,       report_json,
                                             report_perf,      report_callgrind, report_folded,
                                             report_speedscope};
    struct profile *p = made_profile(false);
    struct saved file = save(p);
    struct profile *back = loaded(&file, 1);
    for (size_t i = 0; i < sizeof(writers) / sizeof(*writers); i++) {
        struct report_options opt = plain;
        expect_same(writers[i], p, back, &opt);
        opt.threads = opt.addresses = opt.full_paths = true;
        expect_same(writers[i], p, back, &opt);
        opt.lines = opt.no_inlines = true;
        expect_same(writers[i], p, back, &opt);
    }
    struct saved again = save(back);
    cr_assert(again.n == file.n && !memcmp(again.bytes, file.bytes, file.n), "other bytes");
    free(file.bytes);
    free(again.bytes);
    profile_free(back);
    profile_free(p);
}

Test(pprof, limits_that_were_reached_are_still_told)
{
    struct profile *p = profile_new(&(struct profile_limits){.nodes = 2, .threads = 1});
    p->title = p->mode = intern_put(p->strings, "x");
    p->interval_ns = 1000000;
    uint32_t f[4];
    for (uint32_t i = 0; i < 4; i++) {
        struct profile_line line = made_line(p, (char[]){(char)('a' + i), '\0'}, "", 0, 0);
        f[i] = made_frame(p, i, KIND_NATIVE, "app", &line, 1);
    }
    uint32_t one = profile_thread(p, 1, 1, "one"), two = profile_thread(p, 2, 2, "two");
    MADE_HIT(p, one, PROFILE_CPU, 3, 1, f[0], f[1]);
    MADE_HIT(p, two, PROFILE_CPU, 4, 1, f[0], f[2], f[3]);
    MADE_HIT(p, two, PROFILE_CPU, 5, 1, f[3]);
    p->modules_folded = 6;
    p->tables_cut = 7;
    p->jit_lines_skipped = 10;
    p->names_folded = 8;
    p->hidden = 9;
    struct saved file = save(p);
    struct profile *back = loaded(&file, 1);
    struct report_options opt = plain;
    expect_same(report_text, p, back, &opt);
    opt.threads = true;
    expect_same(report_text, p, back, &opt);
    cr_assert_eq(back->folded, 9);
    cr_assert_eq(back->unattributed, 9);
    free(file.bytes);
    profile_free(back);
    profile_free(p);
}

Test(pprof, several_files_add_up)
{
    struct profile *p = made_profile(false), *other = made_profile(false);
    other->title = intern_put(other->strings, "pid 9 (app)");
    other->cost.stop_ns_max = 50;
    struct saved files[] = {save(p), save(p), save(other)};
    struct profile *sum = loaded(files, 3);
    cr_assert_eq(profile_samples(sum, PROFILE_CPU), 33);
    cr_assert_eq(profile_samples(sum, PROFILE_WAIT), 27);
    cr_assert_eq(sum->lost[LOSS_THREAD_GONE], 12);
    cr_assert_eq(sum->duration_ns, 450000000);
    cr_assert_eq(sum->cost.stops, 27);
    cr_assert_eq(sum->cost.stop_ns_max, 50);
    cr_assert_eq(sum->threads_seen, 4, "2 of the same process, and 2");
    cr_assert_eq(sum->n_frames, p->n_frames, "the same places");
    cr_assert_eq(sum->n_tallies, p->n_tallies);
    cr_assert_str_eq(intern_get(sum->strings, sum->title), "pid 7 (app) + pid 9 (app)");
    for (size_t i = 0; i < sum->n_tallies; i++)
        cr_assert_eq(sum->tallies[i].hits, 3 * p->tallies[i].hits);
    for (size_t i = 0; i < 3; i++)
        free(files[i].bytes);
    profile_free(sum);
    profile_free(other);
    profile_free(p);
}

static void expect_refused(const struct saved *files, size_t n, int rc, const char *why)
{
    struct profile *p = profile_new(NULL);
    struct error err = {.text = ""};
    cr_assert_eq(load(p, files, n, &err), rc, "%s", err.text);
    cr_assert_not_null(strstr(err.text, why), "%s", err.text);
    profile_free(p);
}

Test(pprof, unequal_intervals_are_not_added)
{
    struct profile *p = made_profile(false);
    struct saved files[2] = {save(p)};
    p->interval_ns = 1000000;
    files[1] = save(p);
    expect_refused(files, 2, -EINVAL, "every 1000 us, those before it every 10000 us");
    free(files[0].bytes);
    free(files[1].bytes);
    profile_free(p);
}

Test(pprof, a_file_that_is_cut_anywhere_is_refused)
{
    struct profile *p = made_profile(false);
    struct saved file = save(p);
    for (size_t n = 0; n < file.n; n++)
        expect_refused(&(struct saved){.bytes = file.bytes, .n = n}, 1, -EBADMSG, "");
    uint8_t *raw;
    size_t raw_n;
    struct error err;
    cr_assert_eq(gzip_read(file.bytes, file.n, 1 << 20, &raw, &raw_n, &err), 0);
    cr_assert_eq(gzip_read(file.bytes, file.n, raw_n - 1, &raw, &raw_n, &err), -E2BIG);
    for (size_t n = 0; n < raw_n; n++) { /* between two fields it may pass for a smaller one */
        struct profile *part = profile_new(NULL);
        load(part, &(struct saved){.bytes = raw, .n = n}, 1, &err);
        profile_free(part);
    }
    file.bytes[file.n / 2] ^= 1;
    expect_refused(&file, 1, -EBADMSG, "");
    free(raw);
    free(file.bytes);
    profile_free(p);
}

/* --- by hand: what others write */

struct maker {
    struct wire_out file, message, inner;
    const char *strings[32];
    size_t n_strings;
};

static uint64_t text(struct maker *m, const char *s)
{
    for (size_t i = 0; i < m->n_strings; i++)
        if (!strcmp(m->strings[i], s))
            return i;
    m->strings[m->n_strings] = s;
    return m->n_strings++;
}

static void end_message(struct maker *m, unsigned field)
{
    wire_message(&m->file, field, &m->message);
    wire_clear(&m->message);
}

static void make_type(struct maker *m, unsigned field, const char *type, const char *unit)
{
    wire_number(&m->message, VALUE_TYPE, text(m, type));
    wire_number(&m->message, VALUE_UNIT, text(m, unit));
    end_message(m, field);
}

static void make_place(struct maker *m, uint64_t id, uint64_t mapping, uint64_t address,
                       const char *function)
{
    wire_number(&m->message, LOCATION_ID, id);
    wire_number(&m->message, LOCATION_MAPPING, mapping);
    wire_number(&m->message, LOCATION_ADDRESS, address);
    if (function) {
        wire_clear(&m->inner);
        wire_number(&m->inner, LINE_FUNCTION, id);
        wire_message(&m->message, LOCATION_LINE, &m->inner);
    }
    end_message(m, PROFILE_LOCATION);
    if (!function)
        return;
    wire_number(&m->message, FUNCTION_ID, id);
    wire_number(&m->message, FUNCTION_NAME, text(m, function));
    end_message(m, PROFILE_FUNCTION);
}

/* Unpacked, as old encoders do; leaf first. */
static void make_sample(struct maker *m, const uint64_t *values, size_t n_values,
                        const uint64_t *stack, size_t depth)
{
    for (size_t i = 0; i < depth; i++)
        wire_number(&m->message, SAMPLE_LOCATIONS, stack[i]);
    for (size_t i = 0; i < n_values; i++) {
        wire_put(&m->message, SAMPLE_VALUES << 3 | WIRE_VARINT);
        wire_put(&m->message, values[i]);
    }
}

static struct saved made(struct maker *m)
{
    for (size_t i = 0; i < m->n_strings; i++)
        wire_bytes(&m->file, PROFILE_STRING, m->strings[i], strlen(m->strings[i]));
    wire_release(&m->message);
    wire_release(&m->inner);
    return (struct saved){.bytes = m->file.bytes, .n = m->file.n};
}

static struct maker new_maker(void)
{
    struct maker m = {0};
    text(&m, "");
    return m;
}

static void expect_body(const struct profile *p, const struct report_options *opt,
                        const char *wanted)
{
    char *got = made_text(report_tsv, p, opt, NULL), *body = strchr(got, '\n') + 1;
    cr_assert_str_eq(body, wanted);
    free(got);
}

Test(foreign, a_file_without_labels_or_comments)
{
    struct maker m = new_maker();
    make_type(&m, PROFILE_SAMPLE_TYPE, "samples", "count");
    make_type(&m, PROFILE_SAMPLE_TYPE, "cpu", "nanoseconds");
    make_type(&m, PROFILE_PERIOD_TYPE, "cpu", "nanoseconds");
    wire_number(&m.file, PROFILE_PERIOD, 5000000);
    wire_number(&m.message, MAPPING_ID, 3);
    wire_number(&m.message, MAPPING_START, 0x400000);
    wire_number(&m.message, MAPPING_LIMIT, 0x500000);
    wire_number(&m.message, MAPPING_OFFSET, 0x1000);
    wire_number(&m.message, MAPPING_FILE, text(&m, "/usr/bin/tool (deleted)"));
    end_message(&m, PROFILE_MAPPING);
    make_place(&m, 1, 3, 0x400010, "work");
    make_place(&m, 2, 3, 0x400020, NULL);
    make_sample(&m, (uint64_t[]){4, 20000000}, 2, (uint64_t[]){1, 2}, 2);
    end_message(&m, PROFILE_SAMPLE);
    make_sample(&m, (uint64_t[]){2, 10000000}, 2, (uint64_t[]){2}, 1);
    end_message(&m, PROFILE_SAMPLE);
    make_sample(&m, (uint64_t[]){0, 0}, 2, NULL, 0);
    end_message(&m, PROFILE_SAMPLE);
    struct saved file = made(&m);
    struct profile *p = loaded(&file, 1);
    struct report_options opt = plain;
    opt.addresses = true;
    expect_body(p, &opt,
                "cpu\t4\t4\tnative\twork\ttool+0x1010\t\t\t\n"
                "cpu\t2\t6\tnative\t0x1020\ttool+0x1020\t\t\t\n");
    cr_assert_str_eq(intern_get(p->strings, p->mode), "cpu time");
    cr_assert_str_eq(intern_get(p->strings, p->title), "tool");
    cr_assert_eq(p->interval_ns, 5000000);
    cr_assert(p->cpu_only);
    free(file.bytes);
    profile_free(p);
}

/* The threads that a third tool names, and a time as the only value. */
Test(foreign, other_labels_and_times)
{
    struct maker m = new_maker();
    make_type(&m, PROFILE_SAMPLE_TYPE, "wall", "microseconds");
    make_type(&m, PROFILE_PERIOD_TYPE, "wall", "microseconds");
    wire_number(&m.file, PROFILE_PERIOD, 1000);
    make_place(&m, 1, 0, 0, "run");
    for (uint64_t i = 0; i < 2; i++) {
        make_sample(&m, (uint64_t[]){2499 + i}, 1, (uint64_t[]){1}, 1);
        wire_number(&m.inner, LABEL_KEY, text(&m, "thread name"));
        wire_number(&m.inner, LABEL_STRING, text(&m, i ? "two" : "one"));
        wire_message(&m.message, SAMPLE_LABEL, &m.inner);
        wire_clear(&m.inner);
        end_message(&m, PROFILE_SAMPLE);
    }
    struct saved file = made(&m);
    struct profile *p = loaded(&file, 1);
    cr_assert_eq(p->n_threads, 2);
    cr_assert_str_eq(intern_get(p->strings, p->threads[1].name), "two");
    cr_assert_eq(p->tallies[0].hits, 2, "2.499 periods");
    cr_assert_eq(p->tallies[1].hits, 3, "2.5 periods");
    cr_assert_eq(p->interval_ns, 1000000);
    free(file.bytes);
    profile_free(p);
}

static void expect_made_refused(struct maker *m, int rc, const char *why)
{
    struct saved file = made(m);
    expect_refused(&file, 1, rc, why);
    free(file.bytes);
}

Test(foreign, what_makes_no_sense_is_refused)
{
    struct maker m = new_maker();
    expect_made_refused(&m, -EBADMSG, "says nothing about its samples");
    m = new_maker();
    make_type(&m, PROFILE_SAMPLE_TYPE, "samples", "count");
    make_sample(&m, (uint64_t[]){(uint64_t)-3}, 1, NULL, 0);
    end_message(&m, PROFILE_SAMPLE);
    expect_made_refused(&m, -EINVAL, "negative");
    m = new_maker();
    make_type(&m, PROFILE_SAMPLE_TYPE, "samples", "count");
    make_sample(&m, (uint64_t[]){1}, 1, (uint64_t[]){5}, 1);
    end_message(&m, PROFILE_SAMPLE);
    expect_made_refused(&m, -EBADMSG, "a place that is not there");
    m = new_maker();
    make_type(&m, PROFILE_SAMPLE_TYPE, "samples", "count");
    make_sample(&m, (uint64_t[]){1, 2}, 2, NULL, 0);
    end_message(&m, PROFILE_SAMPLE);
    expect_made_refused(&m, -EBADMSG, "too few values, or too many");
    m = new_maker();
    make_type(&m, PROFILE_SAMPLE_TYPE, "samples", "count");
    make_place(&m, 1, 0, 1, NULL);
    make_place(&m, 1, 0, 2, NULL);
    expect_made_refused(&m, -EBADMSG, "two places have one number");
    expect_refused(&(struct saved){.bytes = (uint8_t[]){0}, .n = 0}, 1, -EBADMSG, "empty");
    char words[] = "main;work 12\n";
    expect_refused(&(struct saved){.bytes = (uint8_t *)words, .n = strlen(words)}, 1, -EBADMSG,
                   "no saved profile");
}

Test(foreign, a_stack_has_an_end)
{
    enum { TOO_DEEP = (1 << 16) + 1 };
    struct maker m = new_maker();
    uint64_t *stack OX_FREE = mem_alloc(TOO_DEEP * sizeof(*stack));
    for (size_t i = 0; i < TOO_DEEP; i++)
        stack[i] = 1;
    make_type(&m, PROFILE_SAMPLE_TYPE, "samples", "count");
    make_place(&m, 1, 0, 1, NULL);
    make_sample(&m, (uint64_t[]){1}, 1, stack, TOO_DEEP);
    end_message(&m, PROFILE_SAMPLE);
    expect_made_refused(&m, -E2BIG, "too many functions in one stack");
    m = new_maker();
    make_type(&m, PROFILE_SAMPLE_TYPE, "samples", "count");
    make_place(&m, 1, 0, 1, NULL);
    make_sample(&m, (uint64_t[]){1}, 1, stack, TOO_DEEP - 1);
    end_message(&m, PROFILE_SAMPLE);
    struct saved file = made(&m);
    struct profile *p = loaded(&file, 1);
    cr_assert_eq(profile_samples(p, PROFILE_CPU), 1);
    free(file.bytes);
    profile_free(p);
}

/* One file that counts `value` at one place, and where a name is given, in a thread of it. */
static struct saved counted(uint64_t value, uint64_t period, const char *thread)
{
    struct maker m = new_maker();
    make_type(&m, PROFILE_SAMPLE_TYPE, "samples", "count");
    make_type(&m, PROFILE_PERIOD_TYPE, "cpu", "nanoseconds");
    wire_number(&m.file, PROFILE_PERIOD, period);
    make_place(&m, 1, 0, 1, "f");
    make_sample(&m, &value, 1, (uint64_t[]){1}, 1);
    if (thread) {
        wire_number(&m.inner, LABEL_KEY, text(&m, "thread"));
        wire_number(&m.inner, LABEL_STRING, text(&m, thread));
        wire_message(&m.message, SAMPLE_LABEL, &m.inner);
    }
    end_message(&m, PROFILE_SAMPLE);
    return made(&m);
}

/* Sums stay below 2^53, and times below 2^63 ns, over all files. */
Test(foreign, counts_have_an_end)
{
    struct saved half = counted(UINT64_C(1) << 52, 0, NULL),
                 over = counted((1LL << 52) + 1, 0, NULL);
    struct saved files[] = {half, half, over};
    struct profile *p = loaded(files, 2);
    cr_assert_eq(profile_samples(p, PROFILE_CPU), UINT64_C(1) << 53);
    profile_free(p);
    expect_refused((struct saved[]){half, over}, 2, -E2BIG, "too many samples");
    struct saved seconds = counted(UINT64_C(9223372037), 1000000000, NULL);
    expect_refused(&seconds, 1, -E2BIG, "too many samples");
    free(half.bytes);
    free(over.bytes);
    free(seconds.bytes);
}

Test(foreign, threads_without_a_number_have_none)
{
    struct saved files[] = {counted(1, 0, "one"), counted(2, 0, "two"), counted(4, 0, "one")};
    struct profile *p = loaded(files, 3);
    cr_assert_eq(p->n_threads, 2);
    for (size_t i = 0; i < 2; i++)
        cr_assert_eq(p->threads[i].tid, 0);
    cr_assert_eq(p->tallies[0].hits, 5);
    cr_assert_eq(p->tallies[1].hits, 2);
    for (size_t i = 0; i < 3; i++)
        free(files[i].bytes);
    profile_free(p);
}

Test(foreign, a_name_that_is_too_long_is_told)
{
    OX_FREE char *name = mem_alloc((1 << 16) + 2);
    memset(name, 'x', (1 << 16) + 1);
    struct saved long_one = counted(1, 0, name);
    name[1 << 16] = '\0';
    struct saved longest = counted(1, 0, name);
    struct profile *p = loaded(&long_one, 1), *q = loaded(&longest, 1);
    cr_assert_str_eq(intern_get(p->strings, p->threads[0].name), "[other]");
    cr_assert_eq(p->names_folded, 1);
    cr_assert_str_eq(intern_get(q->strings, q->threads[0].name), name);
    free(long_one.bytes);
    free(longest.bytes);
    profile_free(p);
    profile_free(q);
}

Test(foreign, comments_have_an_end)
{
    for (uint64_t n = 1024; n <= 1025; n++) {
        struct maker m = new_maker();
        make_type(&m, PROFILE_SAMPLE_TYPE, "samples", "count");
        for (uint64_t i = 0; i < n; i++)
            wire_put(&m.inner, 0);
        wire_message(&m.file, PROFILE_COMMENT, &m.inner);
        if (n > 1024) {
            expect_made_refused(&m, -E2BIG, "too many comments");
            continue;
        }
        struct saved file = made(&m);
        profile_free(loaded(&file, 1));
        free(file.bytes);
    }
}

/* 128 functions at one place, in one frame each of a stack that is deep. */
static struct saved spread(size_t lines, size_t depth)
{
    struct maker m = new_maker();
    uint64_t *stack OX_FREE = mem_alloc(depth * sizeof(*stack));
    make_type(&m, PROFILE_SAMPLE_TYPE, "samples", "count");
    make_place(&m, 1, 0, 1, "f");
    wire_number(&m.message, LOCATION_ID, 2);
    for (size_t i = 0; i < lines; i++) {
        wire_clear(&m.inner);
        wire_number(&m.inner, LINE_FUNCTION, 1);
        wire_message(&m.message, LOCATION_LINE, &m.inner);
    }
    end_message(&m, PROFILE_LOCATION);
    for (size_t i = 0; i < depth; i++)
        stack[i] = 2;
    for (size_t i = 0; i < 2; i++) {
        make_sample(&m, (uint64_t[]){1}, 1, stack, depth);
        stack[depth - 1] = 1; /* the next one shares nothing with it */
        end_message(&m, PROFILE_SAMPLE);
    }
    return made(&m);
}

Test(foreign, inlined_functions_have_an_end)
{
    struct saved many = spread(129, 1), wide = spread(128, 40000), fine = spread(128, 30000);
    expect_refused(&many, 1, -E2BIG, "too many functions at one place");
    expect_refused(&wide, 1, -E2BIG, "too many functions in its stacks");
    profile_free(loaded(&fine, 1));
    free(many.bytes);
    free(wide.bytes);
    free(fine.bytes);
}

Test(wire, numbers_and_their_limits)
{
    struct wire_out w = {0};
    static const uint64_t values[] = {1, 127, 128, 300, UINT32_MAX, UINT64_MAX};
    enum { N = sizeof(values) / sizeof(*values) };
    for (unsigned i = 0; i < N; i++)
        wire_number(&w, i + 1, values[i]);
    wire_number(&w, 99, 0);
    wire_bytes(&w, 7, "abc", 3);
    struct wire_in in = {.at = w.bytes, .end = w.bytes + w.n};
    struct wire_field f;
    for (unsigned i = 0; i < N; i++)
        cr_assert(wire_next(&in, &f) && f.number == i + 1 && f.value == values[i], "%u", i);
    cr_assert(wire_next(&in, &f) && f.number == 7 && wire_left(&f.inside) == 3);
    cr_assert(!wire_next(&in, &f) && !in.bad);
    static const struct {
        uint8_t bytes[12];
        size_t n;
    } bad[] = {{{0x08}, 1},
               {{0x08, 0xff}, 2},
               {{0x12, 0x05, 'a'}, 3},
               {{0x00, 0x01}, 2},
               {{0x0b}, 1},
               {{0x09, 1, 2, 3}, 4},
               {{0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, 12}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        in = (struct wire_in){.at = bad[i].bytes, .end = bad[i].bytes + bad[i].n};
        cr_assert(!wire_next(&in, &f) && in.bad, "%zu", i);
        cr_assert(!wire_next(&in, &f) && !wire_left(&in));
    }
    wire_release(&w);
}

/* The file as its readers see it, in one line for each field. */
static void dump(FILE *out, struct wire_in in, unsigned depth, unsigned field)
{
    struct wire_field f;
    while (wire_next(&in, &f)) {
        bool text_field = !depth && f.number == PROFILE_STRING;
        bool packed = depth == 1 && field == PROFILE_SAMPLE && f.number <= SAMPLE_VALUES;
        uint64_t value;
        fprintf(out, "%*s%u:", (int)(2 * depth), "", f.number);
        if (f.type == WIRE_VARINT)
            fprintf(out, " %" PRIu64, f.value);
        else if (text_field)
            fprintf(out, " %.*s", (int)wire_left(&f.inside), (const char *)f.inside.at);
        while (packed && wire_varint(&f.inside, &value))
            fprintf(out, " %" PRIu64, value);
        fputc('\n', out);
        if (f.type == WIRE_BYTES && !text_field && !packed)
            dump(out, f.inside, depth + 1, depth ? field : f.number);
    }
}

Test(pprof, field_by_field)
{
    struct profile *p = profile_new(NULL);
    struct profile_line lines[] = {made_line(p, "in", "a.h", 3, 2),
                                   made_line(p, "out", "a.c", 8, 7)};
    lines[1].linkage_name = intern_put(p->strings, "_Z3outv");
    uint32_t f = made_frame(p, 0x10, KIND_NATIVE, "app", lines, 2);
    MADE_HIT(p, profile_thread(p, 7, 8, "t"), PROFILE_WAIT, 3, 1, f);
    p->title = intern_put(p->strings, "T");
    p->mode = intern_put(p->strings, "M");
    p->interval_ns = 10;
    p->began_ns = 11;
    p->duration_ns = 12;
    p->ticks = 13;
    struct saved file = save(p);
    cr_assert_eq(*(uint32_t *)(void *)(file.bytes + 4), 0, "no time: the same bytes every day");
    uint8_t *raw;
    size_t n, bytes;
    char *got;
    cr_assert_eq(gzip_read(file.bytes, file.n, 1 << 20, &raw, &n, NULL), 0);
    FILE *out = open_memstream(&got, &bytes);
    dump(out, (struct wire_in){.at = raw, .end = raw + n}, 0, 0);
    fclose(out);
    static const char wanted[] =
        "1:\n  1: 2\n  2: 3\n1:\n  1: 4\n  2: 5\n"
        "2:\n  1: 1\n  2: 3 30\n  3:\n    1: 6\n    2: 12\n  3:\n    1: 7\n    3: 8\n"
        "  3:\n    1: 8\n    3: 7\n  3:\n    1: 9\n    2: 11\n"
        "3:\n  1: 1\n  3: 16777216\n  5: 13\n  6: 14\n  7: 1\n  8: 1\n  9: 1\n  10: 1\n"
        "4:\n  1: 1\n  2: 1\n  3: 16\n  4:\n    1: 1\n    2: 3\n  4:\n    1: 2\n    2: 8\n"
        "5:\n  1: 1\n  2: 15\n  4: 16\n  5: 2\n"
        "5:\n  1: 2\n  2: 17\n  3: 19\n  4: 18\n  5: 7\n"
        "11:\n  1: 4\n  2: 5\n9: 11\n10: 12\n12: 10\n14: 2\n"
        "13: 20\n13: 21\n13: 22\n13: 23\n"
        "6: \n6: [other]\n6: samples\n6: count\n6: wall\n6: nanoseconds\n6: thread\n6: tid\n6: "
        "pid\n"
        "6: state\n6: cpu\n6: wait\n6: t\n6: /srv/app\n6: ab12cd34\n6: in\n6: a.h\n6: out\n6: a.c\n"
        "6: _Z3outv\n6: oxprof:version=0.1.0\n6: oxprof:title=T\n6: oxprof:mode=M\n"
        "6: oxprof:ticks=13\n";
    cr_assert(!strcmp(got, wanted), "got:\n%s\nwanted:\n%s", got, wanted);
    free(got);
    free(raw);
    free(file.bytes);
    profile_free(p);
}

/* SPDX-License-Identifier: MIT */
/*
 * A saved profile, compressed or not. What can be read can be written in every format that needs
 * no order in time, and read back with the same samples.
 */
#include <stdlib.h>

#include "base/escape.h"
#include "base/mem.h"
#include "fuzz.h"
#include "report/report.h"

static const char *const formats[] = {"text", "tsv",        "json",      "folded",
                                      "perf", "speedscope", "callgrind", "pprof"};
enum { FORMATS = sizeof(formats) / sizeof(*formats), HITS_MAX = 20 };

static uint64_t samples_of(const struct profile *p)
{
    return profile_samples(p, PROFILE_CPU) + profile_samples(p, PROFILE_WAIT);
}

/* Nothing but the compressed one may hold what is no text. */
static void check_text(const char *text, size_t bytes)
{
    for (size_t len; bytes; text += len, bytes -= len) {
        len = escape_utf8_len(text, bytes);
        bool blank = *text == '\n' || *text == '\t';
        if (!len || (*text < ' ' && *text >= 0 && !blank))
            abort();
    }
}

static struct profile *read_back(const char *bytes, size_t n, const struct profile *original)
{
    struct profile *p = profile_new(NULL);
    struct report_reader *r = report_reader_new(p);
    if (report_reader_add(r, (const uint8_t *)bytes, n, NULL) < 0 ||
        samples_of(p) != samples_of(original) || p->interval_ns != original->interval_ns)
        abort();
    report_reader_free(r);
    return p;
}

static void write_as(const struct profile *p, const char *format)
{
    const struct report_options opt = {.version = "fuzz", .ci = true, .threads = true};
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (!out || report_find(format)(p, &opt, out) < 0)
        abort();
    fclose(out);
    if (report_find(format) == report_pprof)
        profile_free(read_back(text, bytes, p));
    else
        check_text(text, bytes);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct error err = {.text = ""};
    struct profile *p = profile_new(NULL);
    struct report_reader *r = report_reader_new(p);
    int rc = report_reader_add(r, data, bytes, &err);
    if ((rc < 0) != (err.text[0] != '\0'))
        abort();
    if (rc == 0 && report_reader_add(r, data, bytes, &err) < 0)
        abort();
    uint64_t samples = samples_of(p);
    for (size_t i = 0; rc == 0 && i < FORMATS; i++)
        if (report_find(formats[i]) != report_perf || samples <= HITS_MAX)
            write_as(p, formats[i]);
    report_reader_free(r);
    profile_free(p);
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "report/report.h"

static const struct {
    const char *name;
    report_writer *writer;
    const char *suffix; /* beside ".NAME"; the first that fits counts */
    enum report_time time;
    report_diff_writer *diff; /* NULL: it shows no differences */
    bool table;               /* rows, which are sorted and limited */
} formats[] = {
    {"text", report_text, ".txt", TIME_NO_USE, report_diff, true},
    {"tsv", report_tsv, NULL, TIME_NO_USE, NULL, true},
    {"json", report_json, NULL, TIME_NO_USE, NULL, true},
    {"folded", report_folded, NULL, TIME_NO_USE, report_diff_folded, false},
    {"flamegraph", report_flamegraph, ".html", TIME_NO_USE, report_diff_flamegraph, false},
    {"pprof", report_pprof, ".pb.gz", TIME_NO_USE, NULL, false},
    {"speedscope", report_speedscope, ".speedscope.json", TIME_USED, NULL, false},
    {"firefox", report_firefox, ".firefox.json", TIME_NEEDED, NULL, false},
    {"callgrind", report_callgrind, NULL, TIME_NO_USE, NULL, false},
    {"perf", report_perf, NULL, TIME_NO_USE, NULL, false},
};
enum { FORMATS = sizeof(formats) / sizeof(*formats) };

const char *report_format_name(size_t i)
{
    return i < FORMATS ? formats[i].name : NULL;
}

bool report_has_table(const char *format)
{
    for (size_t i = 0; i < FORMATS; i++)
        if (!strcmp(formats[i].name, format))
            return formats[i].table;
    return false;
}

report_diff_writer *report_find_diff(const char *format)
{
    for (size_t i = 0; i < FORMATS; i++)
        if (!strcmp(formats[i].name, format))
            return formats[i].diff;
    return NULL;
}

report_writer *report_find(const char *format)
{
    for (size_t i = 0; i < FORMATS; i++)
        if (!strcmp(formats[i].name, format))
            return formats[i].writer;
    return NULL;
}

static bool ends_with(const char *path, const char *suffix)
{
    size_t len = strlen(path), end = strlen(suffix);
    return len > end && !strcmp(path + len - end, suffix);
}

const char *report_format_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; i < FORMATS; i++)
        if (formats[i].suffix && ends_with(path, formats[i].suffix))
            return formats[i].name;
    for (size_t i = 0; dot && i < FORMATS; i++)
        if (!strcmp(formats[i].name, dot + 1))
            return formats[i].name;
    return NULL;
}

enum report_time report_time_of(const char *format)
{
    for (size_t i = 0; i < FORMATS; i++)
        if (!strcmp(formats[i].name, format))
            return formats[i].time;
    return TIME_NO_USE;
}

/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "report/report.h"

static const struct {
    const char *name;
    report_writer *writer;
    const char *suffix; /* beside ".NAME"; the first that fits counts */
    enum report_time time;
} formats[] = {
    {"text", report_text, ".txt", TIME_NO_USE},
    {"tsv", report_tsv, NULL, TIME_NO_USE},
    {"speedscope", report_speedscope, ".speedscope.json", TIME_USED},
    {"firefox", report_firefox, ".firefox.json", TIME_NEEDED},
    {"json", report_json, NULL, TIME_NO_USE},
    {"folded", report_folded, NULL, TIME_NO_USE},
    {"flamegraph", report_flamegraph, ".html", TIME_NO_USE},
    {"pprof", report_pprof, ".pb.gz", TIME_NO_USE},
    {"callgrind", report_callgrind, NULL, TIME_NO_USE},
    {"perf", report_perf, NULL, TIME_NO_USE},
};
enum { FORMATS = sizeof(formats) / sizeof(*formats) };

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

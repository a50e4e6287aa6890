/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "report/report.h"

static const struct {
    const char *name;
    report_writer *writer;
    const char *suffix; /* beside ".NAME"; the first that fits counts */
} formats[] = {
    {"text", report_text, ".txt"},
    {"tsv", report_tsv, NULL},
    {"folded", report_folded, NULL},
    {"pprof", report_pprof, ".pb.gz"},
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

/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "report/report.h"

static const struct {
    const char *name;
    report_writer *writer;
} formats[] = {
    {"text", report_text},       {"tsv", report_tsv},
    {"folded", report_folded},   {"flamegraph", report_flamegraph},
    {"html", report_flamegraph}, /* the suffix of its files */
};

report_writer *report_find(const char *format)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++)
        if (!strcmp(formats[i].name, format))
            return formats[i].writer;
    return NULL;
}

/* SPDX-License-Identifier: MIT */
#ifndef LIVE_API_H
#define LIVE_API_H

#include <regex.h>

#include "live/mirror.h"
#include "report/report.h"

/* What the page and other programs ask for, as text: JSON but for the metrics. */

enum {
    API_RECORDS_DEFAULT = 200,
    API_RECORDS_MAX = 100000,
    API_REGEX_MAX_BYTES = 200,
    API_REGEX_PLUS_MAX = 8, /* so many + */
    API_SERIES_MAX = 12,
};

struct api_query {
    const regex_t *filter; /* on function, module and file; borrowed; NULL: all */
    size_t max_records;    /* of each state */
    uint32_t thread;       /* index, or UINT32_MAX: all */
    enum report_sort sort;
    uint64_t first_s, last_s; /* seconds as api/timeline counts them; 0, 0: everything */
    bool by_thread;           /* of the timeline */
    enum profile_state state; /* of the timeline */
};

/* False, with a sentence, for an expression that is none, or that could take too long. */
bool api_compile(regex_t *re, const char *text, struct error *err);

/* may_control: whether the asker may. secret: what a POST of this user must show; "" for none. */
void api_status(const struct mirror *m, bool may_control, const char *secret, FILE *out);
void api_functions(const struct mirror *m, const struct api_query *q, FILE *out);
void api_threads(const struct mirror *m, FILE *out);
void api_timeline(const struct mirror *m, const struct api_query *q, FILE *out);
void api_calls(const struct mirror *m, FILE *out);
void api_metrics(const struct mirror *m, FILE *out);

/* "cpu", "wait": in answers and questions. */
const char *api_state_name(enum profile_state state);

/* For the flame graph. */
void api_stacks(const struct mirror *m, const struct api_query *q, FILE *out);

/* The names that report_find() knows, one after the other; NULL past the last. Without firefox,
 * which needs the order of samples in time: nothing of it is kept here. */
const char *api_format(size_t i);
bool api_has_format(const char *format);
const char *api_format_type(const char *format);
const char *api_format_suffix(const char *format);

#endif

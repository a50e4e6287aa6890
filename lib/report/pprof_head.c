/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "base/path.h"
#include "report/head.h"
#include "report/pprof.h"
#include "report/pprof_input.h"

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
        if (input_text_is(in, unit, units[i].name))
            return units[i].ns;
    return 0;
}

/* Samples where they are counted; else what the file holds for the main thing, as pprof does. */
void input_choose_value(struct input *in)
{
    in->value = in->n_types - 1;
    for (size_t i = 0; i < in->n_types; i++)
        if (in->default_type && in->types[i].type == in->default_type)
            in->value = i;
    for (size_t i = in->n_types; i--;)
        if (input_text_is(in, in->types[i].type, "samples") &&
            input_text_is(in, in->types[i].unit, "count"))
            in->value = i;
    const struct in_type *chosen = &in->types[in->value];
    in->divide = in->period && unit_ns(in, chosen->unit) && chosen->type == in->period_type.type &&
                 chosen->unit == in->period_type.unit;
}

static uint64_t interval_ns(const struct input *in)
{
    uint64_t ns;
    bool over = __builtin_mul_overflow(in->period, unit_ns(in, in->period_type.unit), &ns);
    return over || ns > INT64_MAX ? 0 : ns;
}

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
        const char *value = comment_value(input_text(in, in->comments[i]), name);
        if (value)
            return value;
    }
    return NULL;
}

static void add_figures(struct input *in)
{
    for (size_t i = 0; i < in->n_comments; i++) {
        const char *text = input_text(in, in->comments[i]), *equals = strchr(text, '=');
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
    const char *path = in->n_mappings ? input_text(in, in->mappings[0].file) : "";
    size_t len;
    const char *name = path_name(*path ? path : "saved profile", &len);
    return mem_strndup(name, len);
}

static char *mode_of(struct input *in)
{
    const char *mode = find_comment(in, PPROF_MODE);
    const struct in_type *type = &in->types[in->value];
    if (mode)
        return mem_strdup(mode);
    if (in->divide || input_text_is(in, type->type, "samples"))
        type = &in->period_type;
    const char *unit = input_text(in, type->unit), *name = input_text(in, type->type);
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

int input_check_interval(struct input *in)
{
    uint64_t before = in->p->interval_ns, here = interval_ns(in);
    if (!in->r->n_files || before == here)
        return 0;
    return error_set(in->err, -EINVAL,
                     "its samples were taken every %" PRIu64 " us, those before it every %" PRIu64
                     " us: they can't be added",
                     here / 1000, before / 1000);
}

/* profile.proto has it signed; together no more than fits there. */
static uint64_t add_duration(uint64_t before_ns, uint64_t ns)
{
    uint64_t more = ns <= INT64_MAX ? ns : 0;
    return more <= INT64_MAX - before_ns ? before_ns + more : INT64_MAX;
}

void input_head(struct input *in)
{
    struct profile *p = in->p;
    bool wall = input_text_is(in, in->period_type.type, "wall");
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
    p->duration_ns = add_duration(p->duration_ns, in->duration_ns);
    add_figures(in);
    /* The same process again: the same threads, more or less. */
    if (in->r->n_files && p->title == title_before)
        p->threads_seen = p->threads_seen - threads_before > threads_before
                              ? p->threads_seen - threads_before
                              : threads_before;
}

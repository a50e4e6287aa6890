/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "base/escape.h"
#include "base/mem.h"
#include "base/parse.h"
#include "cmd/options.h"

static bool bad(const char *option, const char *value, const char *want)
{
    char text[300];
    escape_text(text, sizeof(text), value, NULL);
    say("%s '%s': %s", option, text, want);
    return false;
}

void options_formats(bool diff, char *text, size_t bytes)
{
    const char *last = NULL, *name;
    char *at = text, *end = text + bytes;
    *text = '\0';
    for (size_t i = 0; (name = report_format_name(i)); i++) {
        if (diff && !report_find_diff(name))
            continue;
        if (last)
            at += snprintf(at, (size_t)(end - at), "%s%s", at > text ? ", " : "", last);
        at = at < end ? at : end - 1;
        last = name;
    }
    snprintf(at, (size_t)(end - at), " or %s", last);
}

static bool read_ids(const char *option, const char *value, pid_t *ids, size_t *n)
{
    char *copy OX_FREE = mem_strdup(value), *rest = copy;
    for (const char *part; (part = strsep(&rest, ","));) {
        uint64_t id;
        if (parse_u64(part, &id) < 0 || !id || id > INT32_MAX)
            return bad(option, value, "want process numbers, as 4711 or 4711,4712");
        if (*n == IDS_MAX)
            return bad(option, value, "too many of them");
        ids[(*n)++] = (pid_t)id;
    }
    return true;
}

static bool read_pid(struct options *opt, const char *value)
{
    return read_ids("--pid", value, opt->pids, &opt->n_pids);
}

static bool read_tid(struct options *opt, const char *value)
{
    return read_ids("--tid", value, opt->tids, &opt->n_tids);
}

static bool read_rate(struct options *opt, const char *value)
{
    double hz;
    if (parse_decimal(value, &hz) < 0 || hz < 0.1 || hz > 10000)
        return bad("--rate", value, "want samples per second, from 0.1 to 10000");
    opt->session.interval_ns = (uint64_t)(1e9 / hz + 0.5);
    return true;
}

static bool read_interval(struct options *opt, const char *value)
{
    uint64_t ns;
    if (parse_duration_ns(value, &ns) < 0 || ns < SESSION_INTERVAL_MIN_NS ||
        ns > SESSION_INTERVAL_MAX_NS)
        return bad("--interval", value, "want a time from 0.1ms to 10s, as 10ms");
    opt->session.interval_ns = ns;
    return true;
}

static bool read_duration(struct options *opt, const char *value)
{
    uint64_t ns;
    if (parse_duration_ns(value, &ns) < 0 || !ns)
        return bad("--duration", value, "want a time, as 5s, 500ms, 2m (a plain number: seconds)");
    opt->session.duration_ns = ns;
    return true;
}

static bool read_samples(struct options *opt, const char *value)
{
    if (parse_u64(value, &opt->session.samples_max) < 0 || !opt->session.samples_max)
        return bad("--samples", value, "want a number above 0");
    return true;
}

static bool read_mode(struct options *opt, const char *value)
{
    opt->session.cpu_only = !strcmp(value, "cpu");
    return opt->session.cpu_only || !strcmp(value, "wall") ||
           bad("--mode", value, "want wall (all threads) or cpu (running ones)");
}

static bool read_capture(struct options *opt, const char *value)
{
    static const char *const ways[] = {[CAPTURE_AUTO] = "auto",
                                       [CAPTURE_STOP] = "stop",
                                       [CAPTURE_NOSTOP] = "nostop",
                                       [CAPTURE_PERF] = "perf"};
    for (unsigned i = 0; i < sizeof(ways) / sizeof(*ways); i++)
        if (!strcmp(value, ways[i])) {
            opt->session.capture = (enum session_capture)i;
            return true;
        }
    return bad("--capture", value, "want auto, stop, nostop or perf");
}

static bool read_color(struct options *opt, const char *value)
{
    if (!strcmp(value, "auto"))
        opt->color = COLOR_AUTO;
    else if (!strcmp(value, "always"))
        opt->color = COLOR_ALWAYS;
    else if (!strcmp(value, "never"))
        opt->color = COLOR_NEVER;
    else
        return bad("--color", value, "want auto, always or never");
    return true;
}

static bool read_format(struct options *opt, const char *value)
{
    char want[200] = "want ";
    opt->format = value;
    if (report_find(value))
        return true;
    options_formats(false, want + strlen(want), sizeof(want) - strlen(want));
    return bad("--format", value, want);
}

static bool read_sort(struct options *opt, const char *value)
{
    if (!strcmp(value, "self"))
        opt->report.sort = SORT_SELF;
    else if (!strcmp(value, "total"))
        opt->report.sort = SORT_TOTAL;
    else if (!strcmp(value, "name"))
        opt->report.sort = SORT_NAME;
    else
        return bad("--sort", value, "want self, total or name");
    return true;
}

static bool read_top(struct options *opt, const char *value)
{
    uint64_t n;
    if (parse_u64(value, &n) < 0 || !n)
        return bad("--top", value, "want a number of functions, above 0");
    opt->report.top = n;
    return true;
}

static bool read_max_overhead(struct options *opt, const char *value)
{
    double percent;
    if (parse_decimal(value, &percent) < 0 || percent < 0.01 || percent > 100)
        return bad("--max-overhead", value, "want a percentage of a CPU, from 0.01 to 100");
    opt->session.max_overhead_ppm = (uint32_t)(percent * 1e4 + 0.5);
    return true;
}

static bool read_min_percent(struct options *opt, const char *value)
{
    if (parse_decimal(value, &opt->report.min_percent) < 0 || opt->report.min_percent > 100)
        return bad("--min-percent", value, "want a number from 0 to 100");
    return true;
}

static bool read_regex(const char *option, const char *value, regex_t *re, const regex_t **ret_re)
{
    char why[200];
    if (*ret_re)
        return bad(option, value, "it may be given once; to match either, use A|B");
    int rc = regcomp(re, value, REG_EXTENDED | REG_NOSUB);
    if (rc) {
        regerror(rc, re, why, sizeof(why));
        return bad(option, value, why);
    }
    *ret_re = re;
    return true;
}

static bool read_focus(struct options *opt, const char *value)
{
    return read_regex("--focus", value, &opt->focus, &opt->report.focus);
}

static bool read_ignore(struct options *opt, const char *value)
{
    return read_regex("--ignore", value, &opt->ignore, &opt->report.ignore);
}

static bool read_calls(struct options *opt, const char *value)
{
    return read_regex("--calls", value, &opt->calls_re, &opt->calls);
}

static bool read_demangle(struct options *opt, const char *value)
{
    opt->demangle_given = true;
    if (!strcmp(value, "full"))
        opt->session.demangle = DEMANGLE_FULL;
    else if (!strcmp(value, "simple"))
        opt->session.demangle = DEMANGLE_SIMPLE;
    else if (!strcmp(value, "none"))
        opt->session.demangle = DEMANGLE_NONE;
    else
        return bad("--demangle", value, "want full, simple or none");
    return true;
}

static bool read_output(struct options *opt, const char *value)
{
    opt->output = strcmp(value, "-") ? value : NULL;
    return opt->output_given = true;
}

static bool read_save(struct options *opt, const char *value)
{
    opt->save = value;
    return true;
}

static bool read_replay(struct options *opt, const char *value)
{
    opt->replay = value;
    return true;
}

static bool set_children(struct options *opt, const char *value)
{
    (void)value;
    return opt->session.children = true;
}

static bool set_mixed(struct options *opt, const char *value)
{
    (void)value;
    opt->session.view = VIEW_MIXED;
    return true;
}

static bool set_native(struct options *opt, const char *value)
{
    (void)value;
    opt->session.view = VIEW_NATIVE;
    return true;
}

static bool set_python(struct options *opt, const char *value)
{
    (void)value;
    opt->session.view = VIEW_PYTHON;
    return true;
}

static bool set_gil(struct options *opt, const char *value)
{
    (void)value;
    return opt->session.gil = true;
}

static bool set_start_paused(struct options *opt, const char *value)
{
    (void)value;
    return opt->session.start_paused = true;
}

static bool set_threads(struct options *opt, const char *value)
{
    (void)value;
    return opt->report.threads = true;
}

static bool set_lines(struct options *opt, const char *value)
{
    (void)value;
    return opt->report.lines = true;
}

static bool set_addresses(struct options *opt, const char *value)
{
    (void)value;
    return opt->report.addresses = true;
}

static bool set_no_inlines(struct options *opt, const char *value)
{
    (void)value;
    return opt->report.no_inlines = true;
}

static bool set_debuginfod(struct options *opt, const char *value)
{
    (void)value;
    return opt->session.debuginfod = true;
}

static bool set_full_paths(struct options *opt, const char *value)
{
    (void)value;
    return opt->report.full_paths = true;
}

static bool set_ci(struct options *opt, const char *value)
{
    (void)value;
    return opt->report.ci = true;
}

static bool set_waits(struct options *opt, const char *value)
{
    (void)value;
    return opt->report.waits = true;
}

static bool set_quiet(struct options *opt, const char *value)
{
    (void)value;
    return opt->quiet = true;
}

static bool set_verbose(struct options *opt, const char *value)
{
    (void)value;
    return opt->verbose = true;
}

static bool read_listen(struct options *opt, const char *value)
{
    opt->listen = value;
    return true;
}

static bool read_users(struct options *opt, const char *value)
{
    opt->users = value;
    return true;
}

static bool read_host(struct options *opt, const char *value)
{
    opt->host = value;
    return strlen(value) < 250 || bad("--host", value, "that is too long for a name");
}

static bool set_allow_remote(struct options *opt, const char *value)
{
    (void)value;
    return opt->allow_remote = true;
}

static bool set_help(struct options *opt, const char *value)
{
    (void)value;
    return opt->help = true;
}

static bool set_version(struct options *opt, const char *value)
{
    (void)value;
    return opt->version = true;
}

const struct option_rule option_rules[OPTION_RULES] = {
    {"pid", 'p', true, OPTIONS_SAMPLE | OPTIONS_DUMP, read_pid},
    {"tid", 't', true, OPTIONS_SAMPLE | OPTIONS_DUMP, read_tid},
    {"rate", 'r', true, OPTIONS_SAMPLE, read_rate},
    {"interval", 'i', true, OPTIONS_SAMPLE, read_interval},
    {"duration", 'd', true, OPTIONS_SAMPLE, read_duration},
    {"samples", 0, true, OPTIONS_SAMPLE, read_samples},
    {"mode", 0, true, OPTIONS_SAMPLE, read_mode},
    {"children", 0, false, OPTIONS_SAMPLE, set_children},
    {"start-paused", 0, false, OPTIONS_SAMPLE, set_start_paused},
    {"mixed", 0, false, OPTIONS_SAMPLE | OPTIONS_DUMP, set_mixed},
    {"native", 0, false, OPTIONS_SAMPLE | OPTIONS_DUMP, set_native},
    {"python", 0, false, OPTIONS_SAMPLE | OPTIONS_DUMP, set_python},
    {"gil", 0, false, OPTIONS_SAMPLE, set_gil},
    {"capture", 0, true, OPTIONS_SAMPLE | OPTIONS_DUMP, read_capture},
    {"max-overhead", 0, true, OPTIONS_SAMPLE, read_max_overhead},
    {"calls", 0, true, OPTIONS_SAMPLE, read_calls},
    {"quiet", 'q', false, 0, set_quiet},
    {"verbose", 'v', false, 0, set_verbose},
    {"color", 0, true, OPTIONS_PRINT, read_color},
    {"output", 'o', true, OPTIONS_PRINT | OPTIONS_DIFF, read_output},
    {"format", 'f', true, OPTIONS_PRINT | OPTIONS_DIFF, read_format},
    {"sort", 0, true, OPTIONS_PRINT | OPTIONS_DIFF | OPTIONS_ROWS, read_sort},
    {"top", 'N', true, OPTIONS_PRINT | OPTIONS_DIFF | OPTIONS_ROWS, read_top},
    {"min-percent", 0, true, OPTIONS_PRINT | OPTIONS_DIFF | OPTIONS_ROWS, read_min_percent},
    {"threads", 0, false, OPTIONS_PRINT, set_threads},
    {"demangle", 0, true, OPTIONS_PRINT | OPTIONS_DUMP, read_demangle},
    {"focus", 0, true, OPTIONS_PRINT | OPTIONS_DIFF, read_focus},
    {"ignore", 0, true, OPTIONS_PRINT | OPTIONS_DIFF, read_ignore},
    {"lines", 0, false, OPTIONS_PRINT | OPTIONS_DIFF, set_lines},
    {"addresses", 0, false, OPTIONS_PRINT | OPTIONS_DUMP | OPTIONS_DIFF, set_addresses},
    {"no-inlines", 0, false, OPTIONS_PRINT | OPTIONS_DUMP | OPTIONS_DIFF, set_no_inlines},
    {"debuginfod", 0, false, OPTIONS_SAMPLE | OPTIONS_DUMP, set_debuginfod},
    {"full-paths", 0, false, OPTIONS_PRINT | OPTIONS_DUMP | OPTIONS_DIFF, set_full_paths},
    {"ci", 0, false, OPTIONS_PRINT | OPTIONS_ROWS, set_ci},
    {"waits", 0, false, OPTIONS_PRINT | OPTIONS_ROWS, set_waits},
    {"save", 0, true, OPTIONS_DUMP, read_save},
    {"replay", 0, true, OPTIONS_DUMP, read_replay},
    {"listen", 0, true, OPTIONS_SERVE, read_listen},
    {"users", 0, true, OPTIONS_SERVE, read_users},
    {"host", 0, true, OPTIONS_SERVE, read_host},
    {"allow-remote", 0, false, OPTIONS_SERVE, set_allow_remote},
    {"help", 'h', false, 0, set_help},
    {"version", 'V', false, 0, set_version},
};

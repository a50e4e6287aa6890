/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/parse.h"
#include "live/json.h"
#include "live/page.h"
#include "live/request.h"
#include "report/flamegraph.h"
#include "report/report.h"

static const uint64_t pprof_default_ns = 30 * OX_NS_PER_S, pprof_max_ns = 3600 * OX_NS_PER_S;
enum { TIMELINE_DEFAULT_S = 300 };

/* One with a zero in it would be read up to there: what follows is made wrong as well. */
const char *request_argument(const struct request *r, const char *name)
{
    const char *value = NULL;
    size_t bytes = 0;
    MHD_lookup_connection_value_n(r->connection, MHD_GET_ARGUMENT_KIND, name, strlen(name), &value,
                                  &bytes);
    if (value && strlen(value) != bytes)
        return "(";
    return value && *value ? value : NULL;
}

void answer_error(struct request *r, unsigned status, const char *sentence)
{
    r->status = status;
    error_set(&r->failure, 0, "%s", sentence);
}

/* --- what is to be shown */

static bool read_number(const struct request *r, const char *name, uint64_t least, uint64_t most,
                        uint64_t *ret, struct error *err)
{
    const char *text = request_argument(r, name);
    uint64_t n;
    if (!text)
        return true;
    if (parse_u64(text, &n) < 0 || n < least || n > most) {
        error_set(err, -EINVAL, "%s: want a whole number from %llu to %llu", name,
                  (unsigned long long)least, (unsigned long long)most);
        return false;
    }
    *ret = n;
    return true;
}

static bool read_word(const struct request *r, const char *name, const char *const *words,
                      unsigned *ret, struct error *err)
{
    const char *text = request_argument(r, name);
    for (unsigned i = 0; text && words[i]; i++)
        if (!strcmp(text, words[i])) {
            *ret = i;
            return true;
        }
    if (text)
        error_set(err, -EINVAL, "%s: want %s, %s%s%s", name, words[0], words[1],
                  words[2] ? ", " : "", words[2] ? words[2] : "");
    return !text;
}

bool request_query(struct request *r, struct error *err)
{
    static const char *const sorts[] = {"self", "total", "name", NULL};
    const char *const states[] = {api_state_name(PROFILE_CPU), api_state_name(PROFILE_WAIT), NULL,
                                  NULL};
    static const char *const groups[] = {"function", "thread", NULL, NULL};
    uint64_t max = API_RECORDS_DEFAULT, thread = UINT32_MAX;
    unsigned sort = 0, state = 0, group = 0;
    struct api_query *ret = &r->query;
    *ret = (struct api_query){0};
    if (!read_number(r, "max_records", 1, API_RECORDS_MAX, &max, err) ||
        !read_number(r, "thread", 0, UINT32_MAX, &thread, err) ||
        !read_number(r, "from", 0, UINT64_MAX, &ret->first_s, err) ||
        !read_number(r, "to", 0, UINT64_MAX, &ret->last_s, err) ||
        !read_word(r, "sort", sorts, &sort, err) || !read_word(r, "state", states, &state, err) ||
        !read_word(r, "by", groups, &group, err))
        return false;
    ret->max_records = max;
    ret->thread = (uint32_t)thread;
    ret->sort = (enum report_sort)sort;
    ret->state = (enum profile_state)state;
    ret->by_thread = group == 1;
    if (ret->first_s && !ret->last_s)
        ret->last_s = UINT64_MAX;
    const char *filter = request_argument(r, "re_filter");
    if (!filter || r->route->asks != ASKS_LIST)
        return true;
    if (!api_compile(&r->re, filter, err))
        return false;
    ret->filter = &r->re;
    return true;
}

/* --- GET */

static void get_page(struct request *r, FILE *out)
{
    r->type = "text/html; charset=utf-8";
    fputs(page_index, out);
}

static void get_style(struct request *r, FILE *out)
{
    r->type = "text/css; charset=utf-8";
    fputs(page_style, out);
}

static void get_script(struct request *r, FILE *out)
{
    r->type = "text/javascript; charset=utf-8";
    fputs(page_script, out);
}

static void see_page(struct request *r, FILE *out)
{
    (void)out;
    r->status = MHD_HTTP_SEE_OTHER;
    r->location = strcmp(r->route->path, "/ox_profile") ? "../" : "./";
}

static void see_slash(struct request *r, FILE *out)
{
    (void)out;
    r->status = MHD_HTTP_SEE_OTHER;
    r->location = r->web->root;
}

static void get_status(struct request *r, FILE *out)
{
    api_status(r->web->mirror, r->may_control, r->logged_in ? r->login.secret : "", out);
}

static void get_functions(struct request *r, FILE *out)
{
    api_functions(r->web->mirror, &r->query, out);
}

/* As the ancestor's: both in one. */
static void get_old_status(struct request *r, FILE *out)
{
    fputs("{\"status\":", out);
    get_status(r, out);
    fputs(",\"functions\":", out);
    api_functions(r->web->mirror, &r->query, out);
    fputs("}\n", out);
}

static void get_threads(struct request *r, FILE *out)
{
    api_threads(r->web->mirror, out);
}

static void get_timeline(struct request *r, FILE *out)
{
    struct api_query q = r->query;
    struct error err;
    uint64_t seconds = TIMELINE_DEFAULT_S, now = r->web->mirror->updated_ns / OX_NS_PER_S;
    if (!read_number(r, "seconds", 1, HISTORY_SECONDS, &seconds, &err)) {
        answer_error(r, MHD_HTTP_BAD_REQUEST, err.text);
        return;
    }
    /* the present second is not whole yet */
    q.last_s = now ? now - 1 : 0;
    q.first_s = q.last_s >= seconds ? q.last_s - seconds + 1 : 0;
    api_timeline(r->web->mirror, &q, out);
}

static void get_stacks(struct request *r, FILE *out)
{
    api_stacks(r->web->mirror, &r->query, out);
}

static void get_metrics(struct request *r, FILE *out)
{
    r->type = "text/plain; version=0.0.4; charset=utf-8";
    api_metrics(r->web->mirror, out);
}

static void write_profile(struct request *r, const char *format, const struct profile *p, FILE *out)
{
    struct report_options opt = {.version = OX_VERSION};
    r->type = api_format_type(format);
    snprintf(r->disposition, sizeof(r->disposition), "attachment; filename=\"oxprof.%s\"",
             api_format_suffix(format));
    if (report_find(format)(p, &opt, out) < 0)
        answer_error(r, MHD_HTTP_INTERNAL_SERVER_ERROR, "the profile could not be written");
}

static void get_profile(struct request *r, FILE *out)
{
    const char *format = request_argument(r, "format");
    const struct api_query *q = &r->query;
    struct profile view = {0};
    if (!format || !api_has_format(format)) {
        answer_error(r, MHD_HTTP_BAD_REQUEST, "format: api/status lists those that there are");
        return;
    }
    bool part = q->first_s || q->last_s;
    if (part)
        mirror_between(r->web->mirror, q->first_s, q->last_s, &view);
    write_profile(r, format, part ? &view : r->web->mirror->p, out);
    mirror_view_release(&view);
}

static void get_calls(struct request *r, FILE *out)
{
    const struct mirror *m = r->web->mirror;
    const char *format = request_argument(r, "format");
    if (format && strcmp(format, "csv") != 0) {
        answer_error(r, MHD_HTTP_BAD_REQUEST, "format: want csv, or none for JSON");
    } else if (format) {
        r->type = "text/csv; charset=utf-8";
        snprintf(r->disposition, sizeof(r->disposition),
                 "attachment; filename=\"oxprof-calls.csv\"");
        calls_csv(m->p, m->calls, m->n_calls, &m->calls_dropped, out);
    } else {
        api_calls(m, out);
    }
}

/* --- a profile of the next seconds */

static bool read_seconds(const struct request *r, uint64_t *ret_ns)
{
    const char *text = request_argument(r, "seconds");
    *ret_ns = pprof_default_ns;
    return !text || (parse_duration_ns(text, ret_ns) == 0 && *ret_ns && *ret_ns <= pprof_max_ns);
}

static size_t count_waiting(const struct web *w)
{
    size_t n = 0;
    for (const struct request *r = w->waiting; r; r = r->next_waiting)
        n += r->mark.hits != NULL;
    return n;
}

static void get_pprof(struct request *r, FILE *out)
{
    uint64_t ns;
    struct profile view;
    if (!report_find("pprof")) {
        answer_error(r, MHD_HTTP_NOT_IMPLEMENTED, "this build of oxprof does not write pprof");
    } else if (r->mark.hits) { /* its time has come */
        mirror_since(r->web->mirror, &r->mark, &view);
        write_profile(r, "pprof", &view, out);
        mirror_view_release(&view);
    } else if (atomic_load(&r->web->ending)) {
        answer_error(r, MHD_HTTP_SERVICE_UNAVAILABLE, "it is ending");
    } else if (!read_seconds(r, &ns)) {
        answer_error(r, MHD_HTTP_BAD_REQUEST, "seconds: want a number above 0, up to 3600");
    } else if (count_waiting(r->web) >= WAITING_MAX) {
        answer_error(r, MHD_HTTP_SERVICE_UNAVAILABLE, "too many profiles are being made");
    } else {
        mirror_mark(r->web->mirror, &r->mark);
        r->due_ns = clock_now_ns() + ns;
        r->waits = true;
    }
}

/* --- POST */

static void command(struct request *r, enum command_kind kind, uint64_t value_ns, FILE *out)
{
    int rc = request_command(r, kind, value_ns) ? r->outcome : 0;
    if (r->waits) {
        return;
    } else if (rc == -EINPROGRESS) {
        r->status = MHD_HTTP_ACCEPTED;
        fputs("{\"pending\":true}\n", out);
    } else if (rc < 0) {
        unsigned status = rc == -ESHUTDOWN ? MHD_HTTP_CONFLICT
                          : rc == -EBUSY   ? MHD_HTTP_SERVICE_UNAVAILABLE
                                           : MHD_HTTP_BAD_REQUEST;
        answer_error(r, status, r->refusal.text);
    } else {
        fputs("{\"done\":true}\n", out);
    }
}

/* Every thread's hits so far, as a file: what a download misses is what long sleepers are owed. */
static void post_snapshot(struct request *r, FILE *out)
{
    const char *format = request_argument(r, "format");
    format = format ? format : *r->format ? r->format : "pprof";
    if (!api_has_format(format)) {
        answer_error(r, MHD_HTTP_BAD_REQUEST, "format: api/status lists those that there are");
        return;
    }
    if (!request_command(r, COMMAND_SNAPSHOT, 0))
        return;
    if (r->outcome < 0 && r->outcome != -ESHUTDOWN) /* ended, all is settled */
        answer_error(r, MHD_HTTP_SERVICE_UNAVAILABLE, r->refusal.text);
    else
        write_profile(r, format, r->web->mirror->p, out);
}

static void post_stop(struct request *r, FILE *out)
{
    command(r, COMMAND_STOP, 0, out);
}

static void post_pause(struct request *r, FILE *out)
{
    command(r, COMMAND_PAUSE, 0, out);
}

static void post_resume(struct request *r, FILE *out)
{
    command(r, COMMAND_RESUME, 0, out);
}

static void post_reset(struct request *r, FILE *out)
{
    command(r, COMMAND_RESET, 0, out);
}

static void post_interval(struct request *r, FILE *out)
{
    const char *text = request_argument(r, "interval");
    uint64_t ns;
    if (!text)
        text = r->interval;
    if (parse_duration_ns(text, &ns) < 0)
        answer_error(r, MHD_HTTP_BAD_REQUEST,
                     "interval: want a time from 0.1ms to 10s, as 10ms (a plain number: seconds)");
    else
        command(r, COMMAND_INTERVAL, ns, out);
}

static void post_login(struct request *r, FILE *out)
{
    bool wait = false;
    if (!r->web->users) {
        answer_error(r, MHD_HTTP_NOT_FOUND, "there are no users");
        return;
    }
    const struct login *login = users_login(r->web->users, r->name, r->password, &wait);
    explicit_bzero(r->password, sizeof(r->password));
    if (login) {
        r->login = *login;
        r->status = MHD_HTTP_SEE_OTHER;
        r->location = "/";
        r->cookie = r->login.cookie;
        return;
    }
    r->status = wait ? MHD_HTTP_TOO_MANY_REQUESTS : MHD_HTTP_UNAUTHORIZED;
    r->type = "text/html; charset=utf-8";
    fputs(page_login, out);
}

static void post_logout(struct request *r, FILE *out)
{
    (void)out;
    if (r->logged_in)
        users_logout(r->web->users, r->login.cookie);
    r->cookie = "";
    r->status = MHD_HTTP_SEE_OTHER;
    r->location = "/";
}

/* --- the flame graph's page */

static void write_flame_scripts(void *user, FILE *out)
{
    (void)user;
    fputs("<script src=\"flame.js\"></script><script src=\"flame_live.js\"></script>", out);
}

static void get_flame(struct request *r, FILE *out)
{
    r->type = "text/html; charset=utf-8";
    flamegraph_page("<link rel=\"stylesheet\" href=\"flame.css\">", write_flame_scripts, NULL, out);
}

static void get_flame_style(struct request *r, FILE *out)
{
    r->type = "text/css; charset=utf-8";
    fputs(flamegraph_style(), out);
}

static void get_flame_script(struct request *r, FILE *out)
{
    r->type = "text/javascript; charset=utf-8";
    fputs(flamegraph_script(), out);
}

static void get_flame_live(struct request *r, FILE *out)
{
    r->type = "text/javascript; charset=utf-8";
    fputs(page_flame, out);
}

static const struct route routes[] = {
    {"", false, ASKS_NOTHING, see_slash},
    {"/", false, ASKS_NOTHING, get_page},
    {"/page.css", false, ASKS_NOTHING, get_style},
    {"/page.js", false, ASKS_NOTHING, get_script},
    {"/api/status", false, ASKS_NOTHING, get_status},
    {"/api/functions", false, ASKS_LIST, get_functions},
    {"/api/threads", false, ASKS_NOTHING, get_threads},
    {"/api/timeline", false, ASKS_PART, get_timeline},
    {"/api/calls", false, ASKS_NOTHING, get_calls},
    {"/api/stacks", false, ASKS_PART, get_stacks},
    {"/api/profile", false, ASKS_PART, get_profile},
    {"/api/pause", true, ASKS_NOTHING, post_pause},
    {"/api/resume", true, ASKS_NOTHING, post_resume},
    {"/api/reset", true, ASKS_NOTHING, post_reset},
    {"/api/interval", true, ASKS_NOTHING, post_interval},
    {"/api/snapshot", true, ASKS_NOTHING, post_snapshot},
    {"/api/stop", true, ASKS_NOTHING, post_stop},
    {"/debug/pprof/profile", false, ASKS_NOTHING, get_pprof},
    {"/metrics", false, ASKS_NOTHING, get_metrics},
    {"/login", true, ASKS_NOTHING, post_login},
    {"/logout", true, ASKS_NOTHING, post_logout},
    {"/ox_profile", false, ASKS_NOTHING, see_page},
    {"/ox_profile/", false, ASKS_NOTHING, see_page},
    {"/ox_profile/status", false, ASKS_LIST, get_old_status},
    {"/ox_profile/pause", true, ASKS_NOTHING, post_pause},
    {"/ox_profile/unpause", true, ASKS_NOTHING, post_resume},
    {"/ox_profile/set_interval", true, ASKS_NOTHING, post_interval},
    {"/flame", false, ASKS_NOTHING, get_flame},
    {"/flame.css", false, ASKS_NOTHING, get_flame_style},
    {"/flame.js", false, ASKS_NOTHING, get_flame_script},
    {"/flame_live.js", false, ASKS_NOTHING, get_flame_live},
};

const struct route *route_find(const char *path, bool post, bool *ret_other_method)
{
    *ret_other_method = false;
    for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
        if (strcmp(path, routes[i].path) != 0)
            continue;
        if (routes[i].changes == post)
            return &routes[i];
        *ret_other_method = true;
    }
    return NULL;
}

/* SPDX-License-Identifier: MIT */
#include "live/web.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/clock.h"
#include "base/mem.h"
#include "live/request.h"

enum {
    TURN_MS = 100,
    COMMAND_TURN_MS = 5,      /* while the outcome of one is awaited */
    DAEMON_CLIENTS_MAX = 512, /* with those that are shut, until libmicrohttpd has seen it */
    CLIENT_MEMORY_BYTES =
        16 << 10, /* a request's line and headers: 8 KiB, and what is made of them */
};

/* --- what waits, and what has its answer */

static void await_time(struct request *r)
{
    struct request **last = &r->web->waiting;
    while (*last)
        last = &(*last)->next_waiting;
    r->next_waiting = NULL;
    *last = r;
    client_set_state(r->client, CLIENT_WAITING);
    MHD_suspend_connection(r->connection);
}

static void wait_no_more(struct web *w, const struct request *r)
{
    for (struct request **at = &w->waiting; *at; at = &(*at)->next_waiting)
        if (*at == r) {
            *at = r->next_waiting;
            return;
        }
}

/* False: it could not be written. */
static bool write_answer(struct request *r, char **ret_body, size_t *ret_bytes)
{
    struct error err;
    FILE *out = open_memstream(ret_body, ret_bytes);
    if (!out)
        return false;
    if (r->route->asks == ASKS_NOTHING || request_query(r, &err))
        r->route->answer(r, out);
    else
        answer_error(r, MHD_HTTP_BAD_REQUEST, err.text);
    bool written = !ferror(out);
    return fclose(out) == 0 && written;
}

static enum MHD_Result answer(struct request *r)
{
    char *body = NULL;
    size_t bytes = 0;
    if (r->client->shut)
        return MHD_NO;
    if (!gate_still_admits(r))
        return answer_send(r, mem_strdup(""), 0);
    r->status = MHD_HTTP_OK;
    r->type = "application/json";
    r->waits = false;
    if (!write_answer(r, &body, &bytes))
        answer_error(r, MHD_HTTP_INTERNAL_SERVER_ERROR, "the answer could not be written");
    else if (r->web->answer_bytes && r->web->answer_bytes + bytes > ANSWERS_MAX_BYTES)
        answer_error(r, MHD_HTTP_SERVICE_UNAVAILABLE, "too many answers wait to be read");
    else if (!r->waits && !r->failure.text[0])
        return answer_send(r, body, bytes);
    free(body);
    if (r->failure.text[0])
        return answer_send_failure(r);
    await_time(r);
    return MHD_YES;
}

/* --- requests */

static enum MHD_Result on_field(void *request, enum MHD_ValueKind kind, const char *key,
                                const char *filename, const char *type, const char *encoding,
                                const char *data, uint64_t at, size_t bytes)
{
    struct request *r = request;
    (void)kind;
    (void)filename;
    (void)type;
    (void)encoding;
    char *field = !strcmp(key, "interval")   ? r->interval
                  : !strcmp(key, "format")   ? r->format
                  : !strcmp(key, "name")     ? r->name
                  : !strcmp(key, "password") ? r->password
                                             : NULL;
    if (!field)
        return MHD_YES;
    if (at + bytes >= FIELD_MAX_BYTES || memchr(data, 0, bytes))
        return MHD_NO;
    memcpy(field + at, data, bytes);
    field[at + bytes] = 0;
    return MHD_YES;
}

static struct request *begin_request(struct web *w, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (!info || !info->socket_context)
        return NULL;
    struct request *r = mem_alloc(sizeof(*r));
    r->web = w;
    r->connection = connection;
    r->client = info->socket_context;
    return r;
}

static void on_completed(void *web, struct MHD_Connection *connection, void **con_cls,
                         enum MHD_RequestTerminationCode how)
{
    struct request *r = *con_cls;
    (void)connection;
    (void)how;
    if (!r)
        return;
    wait_no_more(web, r);
    if (r->form)
        MHD_destroy_post_processor(r->form);
    client_set_state(r->client, CLIENT_HEADERS);
    mirror_mark_release(&r->mark);
    r->web->answer_bytes -= r->answer_bytes;
    if (r->query.filter)
        regfree(&r->re);
    explicit_bzero(r, sizeof(*r));
    free(r);
    *con_cls = NULL;
}

static enum MHD_Result take_body(struct request *r, const char *data, size_t bytes)
{
    r->body_bytes += bytes;
    if (r->body_bytes > BODY_MAX_BYTES)
        return MHD_NO;
    return r->form ? MHD_post_process(r->form, data, bytes) : MHD_YES;
}

static enum MHD_Result on_request(void *web, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *bytes, void **con_cls)
{
    struct request *r = *con_cls;
    (void)version;
    if (!r) {
        *con_cls = r = begin_request(web, connection);
        if (!r)
            return MHD_NO;
        client_set_state(r->client, CLIENT_BODY);
        if (!gate_admits(r, url, method))
            return answer_send_refusal(r, url);
        r->client->admitted |= !r->web->users || r->logged_in;
        if (r->route->changes)
            r->form = MHD_create_post_processor(connection, 1024, on_field, r);
        return MHD_YES;
    }
    if (*bytes) {
        size_t n = *bytes;
        *bytes = 0;
        return take_body(r, data, n);
    }
    return answer(r);
}

/* --- the thread */

static bool is_due(struct request *r, uint64_t now)
{
    bool late = now >= r->due_ns || atomic_load(&r->web->ending);
    return r->command == COMMAND_NONE ? late || client_has_gone(r->client)
                                      : command_has_ended(r, late);
}

static void resume_due(struct web *w)
{
    uint64_t now = clock_now_ns();
    for (struct request *r = w->waiting, *next; r; r = next) {
        next = r->next_waiting;
        if (!is_due(r, now))
            continue;
        if (r->command == COMMAND_NONE && client_has_gone(r->client))
            client_shut(w, r->client);
        wait_no_more(w, r);
        client_set_state(r->client, CLIENT_BODY);
        MHD_resume_connection(r->connection);
    }
}

static bool awaits_command(const struct web *w)
{
    const struct request *r = w->waiting;
    while (r && r->command == COMMAND_NONE)
        r = r->next_waiting;
    return r;
}

/* MHD_stop_daemon() aborts where a connection is still suspended: from now on none will be. And it
 * cuts off what is being sent: whoever reads has a second. */
static void finish_answers(struct web *w)
{
    uint64_t end_ns = clock_now_ns() + OX_NS_PER_S;
    resume_due(w);
    MHD_run(w->daemon);
    while (clients_any_reads(w) && clock_now_ns() < end_ns)
        MHD_run_wait(w->daemon, TURN_MS);
    resume_due(w);
}

static void *web_main(void *web)
{
    struct web *w = web;
    prctl(PR_SET_NAME, "oxprof-web");
    while (!atomic_load(&w->ending)) {
        mirror_follow(w->mirror, w->feed);
        resume_due(w);
        clients_shut_slow(w);
        MHD_run_wait(w->daemon, awaits_command(w) ? COMMAND_TURN_MS : TURN_MS);
    }
    finish_answers(w);
    return NULL;
}

static struct MHD_Daemon *start_daemon(struct web *w)
{
    return MHD_start_daemon(MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, w,
                            MHD_OPTION_LISTEN_SOCKET, w->listening->fd, MHD_OPTION_CONNECTION_LIMIT,
                            (unsigned)DAEMON_CLIENTS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                            (size_t)CLIENT_MEMORY_BYTES, MHD_OPTION_STRICT_FOR_CLIENT, 1,
                            MHD_OPTION_NOTIFY_CONNECTION, clients_on_connection, w,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, w, MHD_OPTION_END);
}

int web_start(struct web **ret, struct feed *feed, struct listening *listening, struct users *users,
              struct error *err)
{
    struct web *w = mem_alloc(sizeof(*w));
    w->feed = feed;
    w->listening = listening;
    w->users = users;
    w->mirror = mirror_new();
    secret_make(w->token);
    snprintf(w->root, sizeof(w->root), users ? "/" : "/%s/", w->token);
    w->address = listening->unix_path ? mem_printf("http://localhost%s (curl --unix-socket %s)",
                                                   w->root, listening->unix_path)
                                      : mem_printf("http://%s%s", listening->host, w->root);
    const char *port = strrchr(listening->host, ':');
    snprintf(w->cookie_name, sizeof(w->cookie_name), "oxprof%.6s", port ? port + 1 : "");
    w->daemon = start_daemon(w);
    int rc = w->daemon ? pthread_create(&w->thread, NULL, web_main, w) : EIO;
    if (rc != 0) {
        if (w->daemon) {
            listening->fd = -1;
            MHD_stop_daemon(w->daemon);
        }
        mirror_free(w->mirror);
        free(w->address);
        free(w);
        return error_set(err, -rc, "the page can't be served: %s", strerror(rc));
    }
    listening->fd = -1; /* the daemon closes it */
    *ret = w;
    return 0;
}

const char *web_address(const struct web *w)
{
    return w->address;
}

void web_end(struct web *w)
{
    if (!w)
        return;
    atomic_store(&w->ending, true);
    pthread_join(w->thread, NULL);
    MHD_stop_daemon(w->daemon);
    mirror_free(w->mirror);
    free(w->address);
    explicit_bzero(w, sizeof(*w));
    free(w);
}

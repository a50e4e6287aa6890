/* SPDX-License-Identifier: MIT */
#include "live/web.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"
#include "live/json.h"
#include "live/page.h"
#include "live/request.h"

enum {
    TURN_MS = 100,
    COMMAND_TURN_MS = 5,      /* while the outcome of one is awaited */
    CLIENTS_MAX = 128,        /* past it the one that has sent no whole request for longest goes */
    DAEMON_CLIENTS_MAX = 512, /* with those that are shut, until libmicrohttpd has seen it */
    CLIENT_MEMORY_BYTES =
        16 << 10,           /* a request's line and headers: 8 KiB, and what is made of them */
    PIECE_BYTES = 32 << 10, /* of an answer; read within reading_ns */
};
static const uint64_t headers_ns = 10 * OX_NS_PER_S, body_ns = 10 * OX_NS_PER_S,
                      reading_ns = 60 * OX_NS_PER_S;

/* --- connections */

static void set_state(struct client *c, enum client_state state)
{
    c->state = state;
    c->since_ns = clock_now_ns();
}

/* libmicrohttpd sees the end of the connection and closes it. */
static void shut(struct web *w, struct client *c)
{
    if (c->shut)
        return;
    c->shut = true;
    w->n_clients--;
    shutdown(c->fd, SHUT_RDWR);
}

/* Strangers first, wherever they are; then those that ask for nothing. */
static unsigned worth(const struct client *c)
{
    return !c->admitted ? 0 : c->state == CLIENT_HEADERS ? 1 : c->state != CLIENT_WAITING ? 2 : 3;
}

/* Of those of least worth the one that is at it for longest; never the newcomer. */
static void shut_one(struct web *w)
{
    struct client *least = NULL;
    for (struct client *c = w->oldest; c && c != w->newest; c = c->newer) {
        bool less = !least || worth(c) < worth(least) ||
                    (worth(c) == worth(least) && c->since_ns < least->since_ns);
        if (!c->shut && less)
            least = c;
    }
    if (least)
        shut(w, least);
}

static bool too_slow(const struct client *c, uint64_t now)
{
    uint64_t most = c->state == CLIENT_HEADERS ? headers_ns
                    : c->state == CLIENT_BODY  ? body_ns
                                               : reading_ns;
    return c->state != CLIENT_WAITING && now - c->since_ns > most;
}

static void shut_slow(struct web *w)
{
    uint64_t now = clock_now_ns();
    for (struct client *c = w->oldest; c; c = c->newer)
        if (!c->shut && too_slow(c, now))
            shut(w, c);
}

static void begin_client(struct web *w, struct MHD_Connection *connection, void **ret)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct client *c = mem_alloc(sizeof(*c));
    *c = (struct client){.older = w->newest, .fd = info ? info->connect_fd : -1};
    set_state(c, CLIENT_HEADERS);
    *(w->newest ? &w->newest->newer : &w->oldest) = c;
    w->newest = c;
    *ret = c;
    if (++w->n_clients > CLIENTS_MAX)
        shut_one(w);
}

static void end_client(struct web *w, struct client *c)
{
    if (!c)
        return;
    *(c->older ? &c->older->newer : &w->oldest) = c->newer;
    *(c->newer ? &c->newer->older : &w->newest) = c->older;
    w->n_clients -= !c->shut;
    free(c);
}

static void on_connection(void *web, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        begin_client(web, connection, socket_context);
    else
        end_client(web, *socket_context);
}

/* --- answers */

static void add_headers(struct request *r, struct MHD_Response *response)
{
    static const char *const always[][2] = {
        {"Content-Security-Policy",
         "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src "
         "'self' data:; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors "
         "'self'"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "SAMEORIGIN"},
        {"Referrer-Policy", "same-origin"}, /* without one a form's POST has Origin: null */
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cache-Control", "no-store"},
    };
    char cookie[200];
    for (size_t i = 0; i < sizeof(always) / sizeof(*always); i++)
        MHD_add_response_header(response, always[i][0], always[i][1]);
    if (r->type)
        MHD_add_response_header(response, "Content-Type", r->type);
    if (r->disposition[0])
        MHD_add_response_header(response, "Content-Disposition", r->disposition);
    if (r->location)
        MHD_add_response_header(response, "Location", r->location);
    snprintf(cookie, sizeof(cookie), "%s=%s; Path=/; HttpOnly; SameSite=Strict%s",
             r->web->cookie_name, r->cookie ? r->cookie : "",
             r->cookie && !*r->cookie ? "; Max-Age=0" : "");
    if (r->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, "Allow", r->allow);
    if (r->cookie)
        MHD_add_response_header(response, "Set-Cookie", cookie);
}

struct body {
    struct client *client; /* outlives it */
    char *text;            /* owned */
    size_t bytes;
};

/* Each piece that is asked for says that those before were read. */
static ssize_t read_body(void *body, uint64_t at, char *ret, size_t most)
{
    const struct body *b = body;
    size_t n = b->bytes - at < most ? b->bytes - at : most;
    if (at >= b->bytes)
        return MHD_CONTENT_READER_END_OF_STREAM;
    memcpy(ret, b->text + at, n);
    set_state(b->client, CLIENT_READS);
    return (ssize_t)n;
}

static void free_body(void *body)
{
    struct body *b = body;
    free(b->text);
    free(b);
}

/* Takes the text. */
static enum MHD_Result send_answer(struct request *r, char *text, size_t bytes)
{
    struct body *b = mem_alloc(sizeof(*b));
    *b = (struct body){.client = r->client, .text = text, .bytes = bytes};
    struct MHD_Response *response =
        MHD_create_response_from_callback(bytes, PIECE_BYTES, read_body, b, free_body);
    if (!response) {
        free_body(b);
        return MHD_NO;
    }
    r->answer_bytes += bytes;
    r->web->answer_bytes += bytes;
    add_headers(r, response);
    set_state(r->client, CLIENT_READS);
    enum MHD_Result rc = MHD_queue_response(r->connection, r->status, response);
    MHD_destroy_response(response);
    return rc;
}

/* Nothing is said, but to somebody who may log in. */
static enum MHD_Result send_refusal(struct request *r, const char *url)
{
    bool login = r->web->users && r->status == MHD_HTTP_UNAUTHORIZED && !strcmp(url, "/");
    r->type = login ? "text/html; charset=utf-8" : "text/plain; charset=utf-8";
    return send_answer(r, mem_strdup(login ? page_login : ""), login ? strlen(page_login) : 0);
}

static void await_time(struct request *r)
{
    struct request **last = &r->web->waiting;
    while (*last)
        last = &(*last)->next_waiting;
    r->next_waiting = NULL;
    *last = r;
    set_state(r->client, CLIENT_WAITING);
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

static enum MHD_Result send_failure(struct request *r)
{
    char *body = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&body, &bytes);
    if (!out)
        return MHD_NO;
    fputs("{\"error\":", out);
    live_json_text(out, r->failure.text);
    fputs("}\n", out);
    if (fclose(out) != 0) {
        free(body);
        return MHD_NO;
    }
    r->type = "application/json";
    r->disposition[0] = 0;
    return send_answer(r, body, bytes);
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
        return send_answer(r, mem_strdup(""), 0);
    r->status = MHD_HTTP_OK;
    r->type = "application/json";
    r->waits = false;
    if (!write_answer(r, &body, &bytes))
        answer_error(r, MHD_HTTP_INTERNAL_SERVER_ERROR, "the answer could not be written");
    else if (r->web->answer_bytes && r->web->answer_bytes + bytes > ANSWERS_MAX_BYTES)
        answer_error(r, MHD_HTTP_SERVICE_UNAVAILABLE, "too many answers wait to be read");
    else if (!r->waits && !r->failure.text[0])
        return send_answer(r, body, bytes);
    free(body);
    if (r->failure.text[0])
        return send_failure(r);
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
    set_state(r->client, CLIENT_HEADERS);
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
        set_state(r->client, CLIENT_BODY);
        if (!gate_admits(r, url, method))
            return send_refusal(r, url);
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

/* Nothing reads from a suspended connection, so libmicrohttpd does not see its end. */
static bool has_gone(const struct client *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0;
}

static bool is_due(struct request *r, uint64_t now)
{
    bool late = now >= r->due_ns || atomic_load(&r->web->ending);
    return r->command == COMMAND_NONE ? late || has_gone(r->client) : command_has_ended(r, late);
}

static void resume_due(struct web *w)
{
    uint64_t now = clock_now_ns();
    for (struct request *r = w->waiting, *next; r; r = next) {
        next = r->next_waiting;
        if (!is_due(r, now))
            continue;
        if (r->command == COMMAND_NONE && has_gone(r->client))
            shut(w, r->client);
        wait_no_more(w, r);
        set_state(r->client, CLIENT_BODY);
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

static bool somebody_reads(const struct web *w)
{
    for (const struct client *c = w->oldest; c; c = c->newer)
        if (!c->shut && c->state == CLIENT_READS)
            return true;
    return false;
}

/* MHD_stop_daemon() aborts where a connection is still suspended: from now on none will be. And it
 * cuts off what is being sent: whoever reads has a second. */
static void finish_answers(struct web *w)
{
    uint64_t end_ns = clock_now_ns() + OX_NS_PER_S;
    resume_due(w);
    MHD_run(w->daemon);
    while (somebody_reads(w) && clock_now_ns() < end_ns)
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
        shut_slow(w);
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
                            MHD_OPTION_NOTIFY_CONNECTION, on_connection, w,
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

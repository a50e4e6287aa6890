/* SPDX-License-Identifier: MIT */
#ifndef LIVE_REQUEST_H
#define LIVE_REQUEST_H

#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "live/api.h"
#include "live/users.h"
#include "live/web.h"

/* What the files of the web part share; nobody else includes it. */

enum {
    TOKEN_CHARS = SECRET_CHARS,
    FIELD_MAX_BYTES = 600,
    BODY_MAX_BYTES = 4096,
    WAITING_MAX = 8,               /* requests for a profile of the next seconds */
    ANSWERS_MAX_BYTES = 128 << 20, /* made and not yet read, but for one that is alone */
};

/* A connection. */
struct client {
    struct client *older, *newer;
    int fd;            /* libmicrohttpd's */
    uint64_t since_ns; /* of what it does now */
    enum client_state { CLIENT_HEADERS, CLIENT_BODY, CLIENT_WAITING, CLIENT_READS } state;
    bool admitted; /* has asked for something that it may */
    bool shut;
};

struct web {
    struct feed *feed;                 /* borrowed */
    const struct listening *listening; /* borrowed */
    struct users *users;               /* borrowed; NULL: the token alone */
    struct MHD_Daemon *daemon;
    struct mirror *mirror;
    char token[TOKEN_CHARS + 1], root[TOKEN_CHARS + 3]; /* root: "/TOKEN/", or "/" */
    char *address;                                      /* owned */
    char cookie_name[24]; /* browsers send a host's cookies to all its ports */
    pthread_t thread;
    _Atomic bool ending;
    struct client *oldest, *newest;
    size_t n_clients;        /* but those that are shut */
    struct request *waiting; /* the oldest first */
    size_t answer_bytes;     /* of all requests */
};

struct route;

/* What is asked on a connection. */
struct request {
    struct web *web;
    struct client *client;
    struct MHD_Connection *connection;
    const struct route *route;
    struct login login; /* a copy; with users */
    bool logged_in, by_cookie, may_control;
    struct api_query query; /* of routes that take one; its filter is re, or NULL */
    regex_t re;
    size_t body_bytes;
    char interval[FIELD_MAX_BYTES], format[FIELD_MAX_BYTES], name[FIELD_MAX_BYTES],
        password[FIELD_MAX_BYTES];
    struct MHD_PostProcessor *form;

    /* what it waits for: a profile of the next seconds, if it has a mark, or a command's outcome */
    struct request *next_waiting;
    bool waits;
    uint64_t due_ns;
    struct mirror_mark mark;
    enum { COMMAND_NONE, COMMAND_QUEUED, COMMAND_ASKED, COMMAND_ENDED } command;
    enum command_kind kind;
    uint64_t value_ns;
    int outcome; /* of COMMAND_ENDED: as mirror_command() */
    struct error refusal;

    /* the answer */
    unsigned status;
    struct error failure; /* if its text is not "": what is said in place of the body */
    size_t answer_bytes;
    const char *type, *location, *cookie, *allow;
    char disposition[120];
};

/*
 * clients.c: connections, bounded in number and in the time that each step may take.
 */
/* It is at this from now on. */
void client_set_state(struct client *c, enum client_state state);
/* libmicrohttpd sees the end of the connection and closes it. */
void client_shut(struct web *w, struct client *c);
/* The other side has closed it. Nothing reads from a suspended connection, so libmicrohttpd does
 * not see its end. */
bool client_has_gone(const struct client *c);
/* Those that have been at one step for too long. */
void clients_shut_slow(struct web *w);
bool clients_any_reads(const struct web *w);
/* MHD_OPTION_NOTIFY_CONNECTION; the socket's context is its struct client. */
void clients_on_connection(void *web, struct MHD_Connection *connection, void **socket_context,
                           enum MHD_ConnectionNotificationCode what);

/*
 * answer.c: queues an answer with what request says of it; MHD_NO where there is no memory.
 */
/* Takes the text. */
enum MHD_Result answer_send(struct request *r, char *text, size_t bytes);
/* Nothing is said, but to somebody who may log in. */
enum MHD_Result answer_send_refusal(struct request *r, const char *url);
/* {"error": request->failure} in place of the body. */
enum MHD_Result answer_send_failure(struct request *r);

/* False: it may not be asked, and request->status says what to answer. */
bool gate_admits(struct request *r, const char *url, const char *method);
/* Between its head and its answer there may be an hour, and a logout. */
bool gate_still_admits(struct request *r);

/* Writes the answer's body, and sets its status and type. */
struct route {
    const char *path;
    bool changes;                                     /* by POST; else by GET */
    enum { ASKS_NOTHING, ASKS_PART, ASKS_LIST } asks; /* request->query; of a list: its filter */
    void (*answer)(struct request *r, FILE *out);
};
/* NULL: there is no such path. */
const struct route *route_find(const char *path, bool post, bool *ret_other_method);

/* The answer is {"error": sentence}; what was written of it is void. */
void answer_error(struct request *r, unsigned status, const char *sentence);
bool request_query(struct request *r, struct error *err);
/* True: it has an outcome. Else the request waits for that, and its route is asked once more: the
 * sampler may be slow, and whoever else looks does not wait for it. */
bool request_command(struct request *r, enum command_kind kind, uint64_t value_ns);
/* Asks the sampler, and looks for its answer, once; where it is late, what there is is the outcome.
 * In the order in which requests began to wait: who has asked gets the answer before the next asks.
 */
bool command_has_ended(struct request *r, bool late);

const char *request_header(const struct request *r, const char *name);
const char *request_argument(const struct request *r, const char *name);

#endif

/* SPDX-License-Identifier: MIT */
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"
#include "live/request.h"

/* The connections: how many, for how long, and which of them goes when there are too many. */
enum { CLIENTS_MAX = 128 }; /* past it the one that has sent no whole request for longest goes */
static const uint64_t headers_ns = 10 * OX_NS_PER_S, body_ns = 10 * OX_NS_PER_S,
                      reading_ns = 60 * OX_NS_PER_S;

void client_set_state(struct client *c, enum client_state state)
{
    c->state = state;
    c->since_ns = clock_now_ns();
}

void client_shut(struct web *w, struct client *c)
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
        client_shut(w, least);
}

static bool too_slow(const struct client *c, uint64_t now)
{
    uint64_t most = c->state == CLIENT_HEADERS ? headers_ns
                    : c->state == CLIENT_BODY  ? body_ns
                                               : reading_ns;
    return c->state != CLIENT_WAITING && now - c->since_ns > most;
}

void clients_shut_slow(struct web *w)
{
    uint64_t now = clock_now_ns();
    for (struct client *c = w->oldest; c; c = c->newer)
        if (!c->shut && too_slow(c, now))
            client_shut(w, c);
}

static void begin_client(struct web *w, struct MHD_Connection *connection, void **ret)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct client *c = mem_alloc(sizeof(*c));
    *c = (struct client){.older = w->newest, .fd = info ? info->connect_fd : -1};
    client_set_state(c, CLIENT_HEADERS);
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

void clients_on_connection(void *web, struct MHD_Connection *connection, void **socket_context,
                           enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        begin_client(web, connection, socket_context);
    else
        end_client(web, *socket_context);
}

bool clients_any_reads(const struct web *w)
{
    for (const struct client *c = w->oldest; c; c = c->newer)
        if (!c->shut && c->state == CLIENT_READS)
            return true;
    return false;
}

bool client_has_gone(const struct client *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0;
}

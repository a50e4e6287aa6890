/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "calls.h"
#include "fixture.h"

static void address(struct seat *s, struct sockaddr_storage *ret, socklen_t *ret_length)
{
    *ret_length = sizeof(*ret);
    memset(ret, 0, sizeof(*ret));
    if (getsockname(s->fd, (struct sockaddr *)ret, ret_length) != 0)
        fixture_die("getsockname");
}

static void listen_at(struct seat *s, const struct sockaddr *at, socklen_t length, int backlog)
{
    s->fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || bind(s->fd, at, length) != 0 || listen(s->fd, backlog) != 0)
        fixture_die("listen");
}

void calls_unix_listener(struct seat *s, int backlog)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    /* The family alone: the kernel picks an abstract name (unix(7), autobind). */
    listen_at(s, (struct sockaddr *)&at, sizeof(sa_family_t), backlog);
}

void calls_inet_listener(struct seat *s, int backlog)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listen_at(s, (struct sockaddr *)&at, sizeof(at), backlog);
}

int calls_socket(struct seat *s, int flags)
{
    struct sockaddr_storage at;
    socklen_t length;
    address(s, &at, &length);
    int fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0)
        fixture_die("socket");
    return fd;
}

int calls_connect(struct seat *s, int fd)
{
    struct sockaddr_storage at;
    socklen_t length;
    address(s, &at, &length);
    return connect(fd, (struct sockaddr *)&at, length);
}

void calls_unix_pair(struct seat *s, int type)
{
    int pair[2];
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) != 0)
        fixture_die("socketpair");
    s->fd = pair[0];
    s->peer = pair[1];
}

static void udp_pair(struct seat *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_storage bound;
    socklen_t length;
    s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    s->peer = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || s->peer < 0 || bind(s->fd, (struct sockaddr *)&at, sizeof(at)) != 0)
        fixture_die("udp");
    address(s, &bound, &length);
    if (connect(s->peer, (struct sockaddr *)&bound, length) != 0)
        fixture_die("udp connect");
}

void calls_inet_pair(struct seat *s, int type)
{
    if (type == SOCK_DGRAM) {
        udp_pair(s);
        return;
    }
    calls_inet_listener(s, 1);
    int listener = s->fd, fd = calls_socket(s, 0);
    if (calls_connect(s, fd) != 0 || (s->peer = accept(listener, NULL, NULL)) < 0)
        fixture_die("tcp pair");
    close(listener);
    s->fd = fd;
}

void calls_set_timeout(int fd, int optname, uint64_t ns)
{
    struct timeval t = {(time_t)(ns / 1000000000U), (suseconds_t)(ns % 1000000000U / 1000)};
    if (setsockopt(fd, SOL_SOCKET, optname, &t, sizeof(t)) != 0)
        fixture_die("setsockopt");
}

void calls_two_files(struct seat *s)
{
    char path[64];
    s->fd = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (s->fd < 0)
        fixture_die("/tmp");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd);
    s->peer = open(path, O_RDWR | O_CLOEXEC);
    if (s->peer < 0)
        fixture_die(path);
}

/* SPDX-License-Identifier: MIT */
#include "live/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"

enum { BACKLOG = 128 };

/* --- a socket in the file system */

/* Left behind by one that has died: nobody answers. One that is too busy to answer lives. */
static void remove_stale(const struct sockaddr_un *addr)
{
    struct stat st;
    if (lstat(addr->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
        return;
    int fd OX_CLOSE = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 &&
        errno == ECONNREFUSED)
        unlink(addr->sun_path);
}

static int open_unix(struct listening *l, const char *path, struct error *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof(addr.sun_path))
        return error_set(err, -EINVAL, "unix:PATH wants a path of at most %zu bytes",
                         sizeof(addr.sun_path) - 1);
    memcpy(addr.sun_path, path, strlen(path) + 1);
    remove_stale(&addr);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t mask = umask(0177); /* from its first moment it is ours alone */
    int rc = fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
    umask(mask);
    if (rc == 0 && listen(fd, BACKLOG) < 0)
        rc = -errno;
    if (rc < 0) {
        if (fd >= 0)
            close(fd);
        return error_set(err, rc, "%s: %s", path, strerror(-rc));
    }
    l->fd = fd;
    l->unix_path = mem_strdup(path);
    l->loopback = true;
    snprintf(l->host, sizeof(l->host), "localhost");
    return 0;
}

/* --- addresses */

static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)a)->sin_addr.s_addr) >> 24 == 127;
    return a->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr);
}

static int bind_address(const struct addrinfo *a, int *ret_fd)
{
    int on = 1;
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (a->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

/* "127.0.0.1:80", "[::1]:80": as a browser writes them. */
static void name_of(int fd, char *ret, size_t bytes, unsigned *ret_port)
{
    struct sockaddr_storage addr = {0};
    socklen_t len = sizeof(addr);
    char host[NI_MAXHOST] = "", port[NI_MAXSERV] = "0";
    if (getsockname(fd, (struct sockaddr *)&addr, &len) == 0)
        getnameinfo((struct sockaddr *)&addr, len, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV);
    *ret_port = (unsigned)strtoul(port, NULL, 10);
    snprintf(ret, bytes, addr.ss_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, *ret_port);
}

static int split(const char *where, char *host, size_t bytes, const char **ret_port)
{
    const char *colon = strrchr(where, ':');
    if (!colon || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strlen(colon + 1) > 5 || strtoul(colon + 1, NULL, 10) > 65535)
        return -EINVAL;
    size_t len = (size_t)(colon - where);
    bool brackets = len > 2 && where[0] == '[' && where[len - 1] == ']';
    if (brackets) {
        where++;
        len -= 2;
    }
    if (!len || len >= bytes || (!brackets && memchr(where, ':', len)))
        return -EINVAL;
    memcpy(host, where, len);
    host[len] = 0;
    *ret_port = colon + 1;
    return 0;
}

static int open_found(struct listening *l, const char *where, const struct addrinfo *found,
                      bool remote_allowed, struct error *err)
{
    l->loopback = is_loopback(found->ai_addr);
    if (!l->loopback && !remote_allowed)
        return error_set(err, -EPERM,
                         "%s is not of this machine alone: that wants --allow-remote, and --users",
                         where);
    int rc = bind_address(found, &l->fd);
    if (rc < 0)
        return error_set(err, rc, "%s: %s", where, strerror(-rc));
    return 0;
}

static int open_address(struct listening *l, const char *where, bool remote_allowed,
                        const char *name, struct error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found;
    char host[256];
    const char *port;
    unsigned number;
    if (split(where, host, sizeof(host), &port) < 0)
        return error_set(err, -EINVAL, "'%s': want ADDRESS:PORT, [ADDRESS]:PORT or unix:PATH",
                         where);
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0)
        return error_set(err, -EINVAL, "%s: %s", where, gai_strerror(rc));
    rc = open_found(l, where, found, remote_allowed, err);
    freeaddrinfo(found);
    if (rc < 0)
        return rc;
    name_of(l->fd, l->host, sizeof(l->host), &number);
    if (l->loopback)
        snprintf(l->also[0], sizeof(l->also[0]), "localhost:%u", number);
    if (name)
        snprintf(l->also[1], sizeof(l->also[1]), "%s:%u", name, number);
    return 0;
}

int listening_open(struct listening *l, const char *where, bool remote_allowed, const char *name,
                   struct error *err)
{
    *l = (struct listening){.fd = -1};
    if (!strncmp(where, "unix:", 5))
        return open_unix(l, where + 5, err);
    return open_address(l, where, remote_allowed, name, err);
}

void listening_close(struct listening *l)
{
    if (l->fd >= 0)
        close(l->fd);
    if (l->unix_path)
        unlink(l->unix_path);
    free(l->unix_path);
    *l = (struct listening){.fd = -1};
}

/* Browsers leave the port 80 out. */
static bool same_host(const char *ours, const char *host)
{
    size_t len = strlen(ours);
    bool port_80 = len > 3 && !strcmp(ours + len - 3, ":80");
    return *ours && (!strcasecmp(ours, host) ||
                     (port_80 && strlen(host) == len - 3 && !strncasecmp(ours, host, len - 3)));
}

bool listening_knows(const struct listening *l, const char *host)
{
    return host &&
           (same_host(l->host, host) || same_host(l->also[0], host) || same_host(l->also[1], host));
}

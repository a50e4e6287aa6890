/* SPDX-License-Identifier: MIT */
/*
 * A client of servers: keeps one request under way on each of its connections, counts the answers
 * and notes the longest that took. Ends, with a message, when an answer is not what it should be.
 * usage: load PROGRESS-FILE SECONDS redis|http|line|postgres PORT CONNECTIONS WHAT
 * WHAT: a path of http, a line, a query; of redis anything
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "progress.h"

enum { CONNECTIONS_MAX = 64, ANSWER_BYTES = 1 << 16, REQUEST_BYTES = 1024 };

struct connection {
    int fd;
    uint64_t sent_ns;
    size_t n; /* bytes of the answer so far */
    char answer[ANSWER_BYTES + 1];
};

struct protocol {
    const char *name;
    size_t (*request)(char buf[REQUEST_BYTES], const char *what);
    bool (*is_complete)(const struct connection *c);
    const char *good; /* a whole answer begins with this */
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

/* ---- protocols */

static const char redis_answers[] = "+OK\r\n$8\r\nabcdefgh\r\n";

static size_t redis_request(char buf[REQUEST_BYTES], const char *what)
{
    (void)what;
    return (size_t)snprintf(buf, REQUEST_BYTES,
                            "*3\r\n$3\r\nSET\r\n$5\r\nbench\r\n$8\r\nabcdefgh\r\n"
                            "*2\r\n$3\r\nGET\r\n$5\r\nbench\r\n");
}

static bool redis_complete(const struct connection *c)
{
    return c->n >= sizeof(redis_answers) - 1;
}

static size_t http_request(char buf[REQUEST_BYTES], const char *what)
{
    return (size_t)snprintf(buf, REQUEST_BYTES,
                            "GET %s HTTP/1.1\r\nHost: bench\r\nAccept-Encoding: gzip\r\n\r\n",
                            what);
}

static bool http_complete(const struct connection *c)
{
    const char *body = strstr(c->answer, "\r\n\r\n");
    if (!body)
        return false;
    body += 4;
    size_t n = c->n - (size_t)(body - c->answer);
    const char *length = strcasestr(c->answer, "\r\nContent-Length:");
    if (length && length < body)
        return n >= strtoul(length + 17, NULL, 10);
    return n >= 5 && memcmp(body + n - 5, "0\r\n\r\n", 5) == 0; /* chunked: its last piece */
}

static size_t line_request(char buf[REQUEST_BYTES], const char *what)
{
    return (size_t)snprintf(buf, REQUEST_BYTES, "%s\n", what);
}

static bool line_complete(const struct connection *c)
{
    return c->n && c->answer[c->n - 1] == '\n';
}

/* PostgreSQL's protocol 3.0, section 55.7 of its manual: a letter, a length that counts itself. */
static size_t postgres_request(char buf[REQUEST_BYTES], const char *what)
{
    size_t bytes = strlen(what) + 1;
    uint32_t length = htonl((uint32_t)(bytes + 4));
    buf[0] = 'Q';
    memcpy(buf + 1, &length, 4);
    memcpy(buf + 5, what, bytes);
    return bytes + 5;
}

static bool postgres_complete(const struct connection *c)
{
    size_t at = 0;
    while (at + 5 <= c->n) {
        uint32_t length;
        memcpy(&length, c->answer + at + 1, 4);
        if (c->answer[at] == 'E')
            fail("PostgreSQL reports an error");
        if (c->answer[at] == 'Z')
            return true;
        at += 1 + ntohl(length);
    }
    return false;
}

static const struct protocol protocols[] = {
    {"redis", redis_request, redis_complete, redis_answers},
    {"http", http_request, http_complete, "HTTP/1.1 200"},
    {"line", line_request, line_complete, ""},
    {"postgres", postgres_request, postgres_complete, ""},
};

static const struct protocol *protocol_of(const char *name)
{
    for (size_t i = 0; i < sizeof(protocols) / sizeof(*protocols); i++)
        if (strcmp(protocols[i].name, name) == 0)
            return &protocols[i];
    fail("no such protocol");
}

/* ---- the loop */

static void send_all(const struct connection *c, const char *bytes, size_t n)
{
    while (n) {
        ssize_t sent = send(c->fd, bytes, n, MSG_NOSIGNAL);
        if (sent <= 0)
            fail("the server takes nothing more");
        bytes += sent;
        n -= (size_t)sent;
    }
}

static void receive(struct connection *c)
{
    ssize_t got = recv(c->fd, c->answer + c->n, ANSWER_BYTES - c->n, 0);
    if (got <= 0)
        fail("the server has closed a connection, or an answer is too long");
    c->n += (size_t)got;
    c->answer[c->n] = 0;
}

static void begin(struct connection *c, uint16_t port, const struct protocol *p)
{
    static const char startup[] = "\0\0\0\x27\0\3\0\0user\0tester\0database\0postgres\0";
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(c->fd, (struct sockaddr *)&at, sizeof(at)) < 0)
        fail("nobody listens");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (p->is_complete != postgres_complete)
        return;
    _Static_assert(sizeof(startup) == 0x27, "with its last zero byte");
    send_all(c, startup, sizeof(startup));
    while (!postgres_complete(c))
        receive(c);
}

static void ask(struct connection *c, const char *request, size_t n)
{
    c->n = 0;
    c->answer[0] = 0;
    c->sent_ns = progress_clock_ns(CLOCK_MONOTONIC);
    send_all(c, request, n);
}

static void run(struct progress *page, const struct protocol *p, struct connection *all, nfds_t n,
                const char *what)
{
    char request[REQUEST_BYTES];
    size_t bytes = p->request(request, what);
    struct pollfd fds[CONNECTIONS_MAX];
    for (nfds_t i = 0; i < n; i++) {
        ask(&all[i], request, bytes);
        fds[i] = (struct pollfd){.fd = all[i].fd, .events = POLLIN};
    }
    while (poll(fds, n, -1) > 0) {
        for (nfds_t i = 0; i < n; i++) {
            if (!fds[i].revents)
                continue;
            receive(&all[i]);
            if (!p->is_complete(&all[i]))
                continue;
            if (strncmp(all[i].answer, p->good, strlen(p->good)) != 0)
                fail(all[i].answer);
            progress_unit(page, &all[i].sent_ns);
            ask(&all[i], request, bytes);
        }
    }
}

int main(int argc, char **argv)
{
    static struct connection connections[CONNECTIONS_MAX];
    if (argc != 7)
        fail("usage: load PROGRESS-FILE SECONDS PROTOCOL PORT CONNECTIONS WHAT");
    struct progress *page = progress_open(argv[1]);
    nfds_t n = strtoul(argv[5], NULL, 10);
    if (!page || n < 1 || n > CONNECTIONS_MAX || strlen(argv[6]) > REQUEST_BYTES / 2)
        fail("no such file, too many connections, or too long a request");
    alarm((unsigned)strtoul(argv[2], NULL, 10));
    const struct protocol *p = protocol_of(argv[3]);
    for (nfds_t i = 0; i < n; i++)
        begin(&connections[i], (uint16_t)strtoul(argv[4], NULL, 10), p);
    run(page, p, connections, n, argv[6]);
    fail("poll");
}

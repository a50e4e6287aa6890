/* SPDX-License-Identifier: MIT */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "live/web.h"

/* A page whose sampler never has time: nobody turns the feed. */
struct lonely {
    struct listening listening;
    struct feed *feed;
    struct web *web;
    const char *path; /* of the address: "/TOKEN/" */
    int port;
};

static void begin(struct lonely *l)
{
    struct error err;
    *l = (struct lonely){.listening = {.fd = -1}, .feed = feed_new()};
    cr_assert_eq(listening_open(&l->listening, "127.0.0.1:0", false, NULL, &err), 0, "%s",
                 err.text);
    cr_assert_eq(web_start(&l->web, l->feed, &l->listening, NULL, &err), 0, "%s", err.text);
    const char *host = strstr(web_address(l->web), "127.0.0.1:");
    l->port = atoi(host + strlen("127.0.0.1:"));
    l->path = strchr(host, '/');
}

static void end(struct lonely *l)
{
    web_end(l->web);
    listening_close(&l->listening);
    feed_free(l->feed);
}

static int ask(const struct lonely *l, const char *method, const char *path)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)l->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    char *text OX_FREE =
        mem_printf("%s %s%s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                   method, l->path, path, l->listening.host);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    return fd;
}

static bool has_answer(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

/* Its status; closes it. said: what must stand in it. */
static int status_of(int fd, const char *said)
{
    char text[8192];
    size_t n = 0;
    for (ssize_t got = 1; got > 0 && n + 1 < sizeof(text); n += got > 0 ? (size_t)got : 0)
        got = read(fd, text + n, sizeof(text) - 1 - n);
    text[n] = 0;
    close(fd);
    cr_assert(strstr(text, said), "%s", text);
    return n > 12 ? atoi(text + strlen("HTTP/1.1 ")) : 0;
}

/* Whether another was answered while the command waited. */
static bool holds_up(const struct lonely *l, const char *path, int status, const char *said)
{
    int command = ask(l, "POST", path);
    cr_assert_eq(status_of(ask(l, "GET", "api/status"), "oxprof.status/1"), 200);
    bool holds = has_answer(command);
    cr_assert_eq(status_of(command, said), status);
    return holds;
}

/* Nobody else waits for a command; on a busy machine its second may be over all the same. */
Test(web, a_command_holds_nobody_up, .timeout = 20)
{
    struct lonely l;
    begin(&l);
    bool holds = holds_up(&l, "api/pause", 202, "{\"pending\":true}");
    for (int i = 0; i < 5 && holds; i++)
        holds = holds_up(&l, "api/snapshot", 503, "the command before is still to be done");
    cr_assert(!holds, "the status waited for the command");
    end(&l);
}

/* The status of a command under way as the page ends; a second one waits behind it. */
static int status_at_the_end(void)
{
    struct lonely l;
    begin(&l);
    int pause = ask(&l, "POST", "api/pause"), snapshot = ask(&l, "POST", "api/snapshot");
    cr_assert_eq(status_of(ask(&l, "GET", "api/status"), "oxprof.status/1"), 200);
    web_end(l.web);
    l.web = NULL;
    cr_assert_eq(status_of(snapshot, "{\"error\":"), 503);
    int status = status_of(pause, "HTTP/1.1");
    end(&l);
    return status;
}

/* Whoever waits hears of the end, and is not told that it will be done. */
Test(web, commands_at_the_end, .timeout = 20)
{
    int status = 0;
    for (int i = 0; i < 5 && status != 503; i++) /* 202 where its second was over before */
        status = status_at_the_end();
    cr_assert_eq(status, 503);
}

/* SPDX-License-Identifier: MIT */
/*
 * checker PORT [LATENCIES]: a client of a redis server on the loopback, one request at a time: SET
 * and GET of values that were never used before, each reply compared with the only right one. A
 * reply that is wrong, or that does not come within five seconds, is bad, and so is a connection
 * that is lost; it is made again. LATENCIES: a file for each request's time in ns, 32 bits each.
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "fixture.h"

enum { MOST = 1 << 24, KEYS = 1000, TEXT_BYTES = 256, PATIENCE_S = 5, RECONNECT_NS = 10000000 };

struct checker {
    uint16_t port;
    int fd;
    uint64_t requests, bad, reconnects, recorded;
};

static uint32_t latency_ns[MOST]; /* pages used only as needed */

static bool connect_once(struct checker *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(c->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {PATIENCE_S, 0};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        fixture_die("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    return connect(c->fd, (struct sockaddr *)&to, sizeof(to)) == 0;
}

static void reconnect(struct checker *c)
{
    do {
        close(c->fd);
        c->reconnects++;
        nanosleep(&(struct timespec){0, RECONNECT_NS}, NULL);
    } while (!connect_once(c) && !fixture_stop_asked());
}

/* The right bytes, all of them and no others? A short or wrong reply leaves the connection useless.
 */
static bool reply_is(int fd, const char *wanted, size_t bytes)
{
    char got[TEXT_BYTES];
    size_t n = 0;
    while (n < bytes) {
        ssize_t more = recv(fd, got + n, sizeof(got) - n, 0);
        if (more <= 0)
            return false;
        n += (size_t)more;
    }
    return n == bytes && memcmp(got, wanted, bytes) == 0;
}

static void record(struct checker *c, uint64_t ns)
{
    if (c->recorded < MOST)
        latency_ns[c->recorded++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static void ask(struct checker *c, const char *request, const char *wanted)
{
    size_t bytes = strlen(request);
    uint64_t start = fixture_now_ns();
    bool good = send(c->fd, request, bytes, MSG_NOSIGNAL) == (ssize_t)bytes &&
                reply_is(c->fd, wanted, strlen(wanted));
    record(c, fixture_now_ns() - start);
    c->requests++;
    if (good)
        return;
    c->bad++;
    reconnect(c);
}

static void set_and_get(struct checker *c, uint64_t turn)
{
    char key[32], value[64], request[TEXT_BYTES], wanted[TEXT_BYTES];
    int key_bytes = snprintf(key, sizeof(key), "key-%" PRIu64, turn % KEYS);
    int bytes = snprintf(value, sizeof(value), "%d.%" PRIu64 ".%" PRIx64, (int)getpid(), turn,
                         fixture_steps(turn + 1, 1));
    snprintf(request, sizeof(request), "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", key_bytes,
             key, bytes, value);
    ask(c, request, "+OK\r\n");
    snprintf(request, sizeof(request), "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", key_bytes, key);
    snprintf(wanted, sizeof(wanted), "$%d\r\n%s\r\n", bytes, value);
    ask(c, request, wanted);
}

static void save(const char *path, uint64_t n)
{
    FILE *f = fopen(path, "we");
    if (!f || fwrite(latency_ns, sizeof(latency_ns[0]), n, f) != n || fclose(f) != 0)
        fixture_die(path);
}

static int ascending(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static void report(struct checker *c)
{
    uint64_t n = c->recorded;
    printf("requests=%" PRIu64 "\nbad=%" PRIu64 "\nreconnects=%" PRIu64 "\n", c->requests, c->bad,
           c->reconnects);
    if (!n)
        return;
    qsort(latency_ns, n, sizeof(latency_ns[0]), ascending);
    printf("p50_us=%.1f\np99_us=%.1f\nmax_us=%.1f\n", latency_ns[n / 2] / 1e3,
           latency_ns[n - 1 - n / 100] / 1e3, latency_ns[n - 1] / 1e3);
}

int main(int argc, char **argv)
{
    struct checker c = {.port = (uint16_t)fixture_arg(argc, argv, 1, 6379)};
    fixture_begin();
    if (!connect_once(&c))
        fixture_die("connect");
    set_and_get(&c, 0);
    fixture_ready();
    for (uint64_t turn = 1; !fixture_stop_asked(); turn++)
        set_and_get(&c, turn);
    if (argc > 2)
        save(argv[2], c.recorded);
    report(&c);
    return 0;
}

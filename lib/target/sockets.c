/* SPDX-License-Identifier: MIT */
#include "target/sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/mem.h"
#include "base/parse.h"

enum {
    TCP_STATE_LISTEN = 10,          /* TCP_LISTEN of include/net/tcp_states.h */
    UNIX_FLAG_LISTENS = 0x00010000, /* __SO_ACCEPTCON of include/linux/net.h */
    END_TEXT_BYTES = INET6_ADDRSTRLEN + 16,
};

void sockets_release(struct sockets *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        free(s->items[i].path);
    free(s->items);
    map_release(&s->by_inode);
    map_release(&s->ports);
    *s = (struct sockets){0};
}

const char *sockets_file(enum sockets_list list)
{
    static const char *const files[SOCKETS_LISTS] = {"tcp", "tcp6", "udp", "udp6", "unix"};
    return files[list];
}

static bool skip_char(const char **p, const char *end, char c)
{
    while (*p < end && **p == ' ')
        (*p)++;
    if (*p == end || **p != c)
        return false;
    (*p)++;
    return true;
}

/* Numbers and colons alone: the first columns of all lists. */
static bool skip_number(const char **p, const char *end, unsigned base)
{
    uint64_t ignored;
    return parse_number_at(p, end, base, &ignored);
}

static bool hex_digits(const char **p, const char *end, size_t digits, uint32_t *ret)
{
    char text[9] = {0};
    const char *at = text;
    uint64_t value;
    if ((size_t)(end - *p) < digits || digits >= sizeof(text))
        return false;
    memcpy(text, *p, digits);
    if (!parse_number_at(&at, text + digits, 16, &value) || at != text + digits || *text == ' ')
        return false;
    *p += digits;
    *ret = (uint32_t)value;
    return true;
}

/* "0100007F:1538": the address as 32-bit words of the machine, which hold it in network order. */
static bool take_end(const char **p, const char *end, bool six, struct socket_end *ret)
{
    static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
    uint32_t word, port;
    memcpy(ret->addr, mapped, sizeof(mapped));
    while (*p < end && **p == ' ')
        (*p)++;
    for (size_t at = six ? 0 : sizeof(mapped); at < sizeof(ret->addr); at += sizeof(word)) {
        if (!hex_digits(p, end, 8, &word))
            return false;
        memcpy(ret->addr + at, &word, sizeof(word));
    }
    if (!skip_char(p, end, ':') || !hex_digits(p, end, 4, &port))
        return false;
    ret->port = (uint16_t)port;
    return true;
}

/* sl: local rem st tx:rx tr:when retrnsmt uid timeout inode */
static bool take_inet(const char *p, const char *end, struct socket_row *row)
{
    bool six = row->list == SOCKETS_TCP6 || row->list == SOCKETS_UDP6;
    bool tcp = row->list == SOCKETS_TCP || row->list == SOCKETS_TCP6;
    uint64_t state;
    if (!skip_number(&p, end, 10) || !skip_char(&p, end, ':') ||
        !take_end(&p, end, six, &row->local) || !take_end(&p, end, six, &row->remote) ||
        !parse_number_at(&p, end, 16, &state) || !skip_number(&p, end, 16) ||
        !skip_char(&p, end, ':') || !skip_number(&p, end, 16) || !skip_number(&p, end, 16) ||
        !skip_char(&p, end, ':') || !skip_number(&p, end, 16) || !skip_number(&p, end, 16) ||
        !skip_number(&p, end, 10) || !skip_number(&p, end, 10))
        return false;
    row->listens = tcp && state == TCP_STATE_LISTEN;
    return parse_number_at(&p, end, 10, &row->inode);
}

/* Num: RefCount Protocol Flags Type St Inode Path */
static bool take_unix(const char *p, const char *end, struct socket_row *row)
{
    uint64_t flags;
    if (!skip_number(&p, end, 16) || !skip_char(&p, end, ':') || !skip_number(&p, end, 16) ||
        !skip_number(&p, end, 16) || !parse_number_at(&p, end, 16, &flags) ||
        !skip_number(&p, end, 16) || !skip_number(&p, end, 16) ||
        !parse_number_at(&p, end, 10, &row->inode))
        return false;
    row->listens = flags & UNIX_FLAG_LISTENS;
    if (end - p > 1 && *p == ' ')
        row->path = mem_strndup(p + 1, (size_t)(end - p) - 1);
    return true;
}

bool sockets_take(struct sockets *s, enum sockets_list list, const char *line, size_t bytes)
{
    struct socket_row row = {.list = (uint8_t)list};
    const char *end = line + bytes;
    bool taken = list == SOCKETS_UNIX ? take_unix(line, end, &row) : take_inet(line, end, &row);
    /* inode 0: a connection that no process has any more */
    if (!taken || !row.inode || s->n == SOCKETS_MAX) {
        s->cut |= s->n == SOCKETS_MAX;
        free(row.path);
        return taken;
    }
    if (row.listens && list != SOCKETS_UNIX)
        map_put(&s->ports, row.local.port, 0, 1);
    map_put(&s->by_inode, row.inode, 0, s->n);
    s->items = mem_grow(s->items, &s->cap, s->n + 1, sizeof(*s->items));
    s->items[s->n++] = row;
    return true;
}

static bool is_any(const struct socket_end *e)
{
    static const uint8_t any[16], any_mapped[16] = {[10] = 0xff, 0xff};
    return !memcmp(e->addr, any, sizeof(any)) || !memcmp(e->addr, any_mapped, sizeof(any_mapped));
}

static void put_end(const struct socket_end *e, char buf[END_TEXT_BYTES])
{
    static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
    char text[INET6_ADDRSTRLEN] = "";
    bool four = !memcmp(e->addr, mapped, sizeof(mapped));
    if (is_any(e)) {
        snprintf(buf, END_TEXT_BYTES, ":%u", e->port);
        return;
    }
    inet_ntop(four ? AF_INET : AF_INET6, four ? e->addr + sizeof(mapped) : e->addr, text,
              sizeof(text));
    snprintf(buf, END_TEXT_BYTES, four ? "%s:%u" : "[%s]:%u", text, e->port);
}

static bool is_listened_on(const struct sockets *s, const char *path)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->items[i].listens && s->items[i].path && !strcmp(s->items[i].path, path))
            return true;
    return false;
}

static void describe_unix(const struct sockets *s, const struct socket_row *row, char *buf,
                          size_t bytes)
{
    if (!row->path)
        snprintf(buf, bytes, "unix socket");
    else
        snprintf(buf, bytes, "%s%s",
                 !row->listens && is_listened_on(s, row->path) ? "clients of " : "", row->path);
}

bool sockets_describe(const struct sockets *s, uint64_t inode, char *buf, size_t bytes)
{
    const uint64_t *place = map_find(&s->by_inode, inode, 0);
    const struct socket_row *row = place ? &s->items[*place] : NULL;
    char local[END_TEXT_BYTES], remote[END_TEXT_BYTES];
    if (!row)
        return false;
    put_end(&row->local, local);
    put_end(&row->remote, remote);
    if (row->list == SOCKETS_UNIX)
        describe_unix(s, row, buf, bytes);
    else if (row->list == SOCKETS_UDP || row->list == SOCKETS_UDP6)
        snprintf(buf, bytes, "udp %s", row->remote.port ? remote : local);
    else if (row->listens)
        snprintf(buf, bytes, "%s", local);
    else if (map_find(&s->ports, row->local.port, 0))
        snprintf(buf, bytes, "clients of :%u", row->local.port);
    else
        snprintf(buf, bytes, "%s", remote);
    return true;
}

static void describe_path(const char *path, size_t path_bytes, char *buf, size_t bytes)
{
    bool abstract = path_bytes && !*path; /* unix(7): shown as in /proc/net/unix */
    snprintf(buf, bytes, "%s%.*s", abstract ? "@" : "", (int)(path_bytes - abstract),
             path + abstract);
}

bool sockets_describe_address(const void *sockaddr, size_t addr_bytes, char *buf, size_t bytes)
{
    const size_t path_at = offsetof(struct sockaddr_un, sun_path);
    sa_family_t family = AF_UNSPEC;
    struct socket_end end = {.addr = {[10] = 0xff, 0xff}};
    char text[END_TEXT_BYTES];
    if (addr_bytes >= sizeof(family))
        memcpy(&family, sockaddr, sizeof(family));
    if (family == AF_INET && addr_bytes >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in in;
        memcpy(&in, sockaddr, sizeof(in));
        memcpy(end.addr + 12, &in.sin_addr, 4);
        end.port = ntohs(in.sin_port);
    } else if (family == AF_INET6 && addr_bytes >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 in;
        memcpy(&in, sockaddr, sizeof(in));
        memcpy(end.addr, &in.sin6_addr, 16);
        end.port = ntohs(in.sin6_port);
    } else if (family == AF_UNIX && addr_bytes > path_at) {
        describe_path((const char *)sockaddr + path_at, addr_bytes - path_at, buf, bytes);
        return true;
    } else {
        return false;
    }
    put_end(&end, text);
    snprintf(buf, bytes, "%s", text);
    return true;
}

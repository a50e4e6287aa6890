/* SPDX-License-Identifier: MIT */
#ifndef TARGET_SOCKETS_H
#define TARGET_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"

/*
 * The sockets of a network namespace by their inode numbers, as /proc/PID/net/{tcp,tcp6,udp,udp6,
 * unix} list them (proc(5)). Plain data and the parser of the lines. In the list of UNIX sockets
 * names come as they are, line breaks too: a program of the same namespace can make up lines.
 */
enum sockets_list { SOCKETS_TCP, SOCKETS_TCP6, SOCKETS_UDP, SOCKETS_UDP6, SOCKETS_UNIX };
enum { SOCKETS_LISTS = SOCKETS_UNIX + 1, SOCKETS_MAX = 1 << 17 };

struct socket_end {
    uint8_t addr[16]; /* of IPv6; IPv4 as ::ffff:a.b.c.d */
    uint16_t port;
};

struct socket_row {
    uint64_t inode;
    struct socket_end local, remote;
    char *path; /* owned; of a UNIX socket; NULL: none */
    uint8_t list;
    bool listens;
};

struct sockets {
    struct socket_row *items; /* owned */
    size_t n, cap;
    struct map by_inode; /* inode -> place in items */
    struct map ports;    /* on which TCP listens -> 1 */
    bool cut;            /* there were more than SOCKETS_MAX */
};

/* All zero is an empty one. */
void sockets_release(struct sockets *s);

/* Takes a line of the list, without its line break. False where it is none, as the heading. */
bool sockets_take(struct sockets *s, enum sockets_list list, const char *line, size_t bytes);

/* "tcp" and so on: the file in /proc/PID/net. */
const char *sockets_file(enum sockets_list list);

/*
 * What a socket leads to, as a person would call it; false where it is not known.
 *
 *     10.0.0.5:5432, [2001:db8::1]:443    a connection that was made from here
 *     clients of :6379                    one that was accepted: its own port is listened on
 *     :6379, 127.0.0.1:6379               one that listens
 *     udp 10.0.0.5:53, udp :53            connected; not connected
 *     clients of /run/app.sock            accepted there
 *     /run/app.sock                       listens there, or receives datagrams
 *     unix socket                         without a name of its own
 */
bool sockets_describe(const struct sockets *s, uint64_t inode, char *buf, size_t bytes);

/* An address of connect(2) or sendto(2) in the same words; false where it is of no known kind. */
bool sockets_describe_address(const void *sockaddr, size_t addr_bytes, char *buf, size_t bytes);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef TARGETS_CALLS_H
#define TARGETS_CALLS_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The calls that block, each in a seat: a thread of its own that computes, and then blocks in that
 * one call, again and again. Some calls end by a timeout. The others end because the main thread
 * feeds them after CALL_BLOCK_NS. What the thread sees differs from CALL_GOOD only if somebody else
 * has had a hand in it: no signal is sent but those that a call waits for.
 */

#define CALL_BLOCK_NS 2000000U
#define CALL_TIMEOUT_NS 4000000U
/* Sockets count in jiffies, which lag behind where a virtual machine's CPU is taken from it. */
#define CALL_SOCKET_NS 16000000U
#define CALL_SOCKET_GRAIN_NS 12000000U

/* What wait() says beside errno values. */
enum { CALL_GOOD = 0, CALL_SHORT = -1, CALL_WRONG = -2 };

struct seat {
    const struct call *call;
    int fd, peer, id;           /* the waiter's descriptor, the feeder's, or what the call likes */
    _Atomic uint32_t word;      /* a futex */
    atomic_bool held;           /* the feeder has the lock that is waited for */
    atomic_int tid;             /* of the waiter */
    atomic_uint_fast64_t since; /* it waits; 0 it does not */
    atomic_uint_fast64_t in, out; /* bytes written by the waiter, read by the feeder */
    void *own;                    /* of the call; lives as long as the process */
    bool skipped;                 /* set by open(): this kernel has no such call */
    uint64_t rounds, eintr, cut, early, late_max_ns, errors;
    int last_error;
    pthread_t thread;
};

struct call {
    const char *name;
    void (*open)(struct seat *s);    /* before any thread is made; may be NULL */
    bool (*prepare)(struct seat *s); /* false: not yet; may be NULL */
    int (*wait)(struct seat *s);     /* the call and what it says, nothing else */
    void (*feed)(struct seat *s);    /* it has blocked for a while; must not block; may be NULL */
    void (*tend)(struct seat *s);    /* the like of feed, every millisecond; may be NULL */
    void (*close)(struct seat *s);   /* all threads have ended; may be NULL */
    uint64_t timeout_ns;             /* what it is to take; 0 where it is fed */
    uint64_t grain_ns;               /* by so much less is not early */
};

extern const struct call calls_timed[], calls_streams[], calls_locks[], calls_events[];

/* For a call that reports success by 0 or more. */
static inline int call_good(long rc)
{
    return rc >= 0 ? CALL_GOOD : errno;
}

/* For a call whose timeout is an error. */
static inline int call_expired(long rc, int expected)
{
    if (rc >= 0)
        return CALL_WRONG;
    return errno == expected ? CALL_GOOD : errno;
}

/* For a call that gives so many bytes, or pieces. */
static inline int call_exactly(long rc, long expected)
{
    if (rc < 0)
        return errno;
    return rc == expected ? CALL_GOOD : CALL_SHORT;
}

/* A connected pair; the waiter's end is fd. type: SOCK_STREAM or SOCK_DGRAM. */
void calls_unix_pair(struct seat *s, int type);
void calls_inet_pair(struct seat *s, int type);

/* A listener that nobody else knows; fd is the listener. */
void calls_unix_listener(struct seat *s, int backlog);
void calls_inet_listener(struct seat *s, int backlog);

/* A connection to it: a new blocking socket; flags are of socket(2). */
int calls_socket(struct seat *s, int flags);
int calls_connect(struct seat *s, int fd);

/* optname: SO_RCVTIMEO or SO_SNDTIMEO */
void calls_set_timeout(int fd, int optname, uint64_t ns);

/* A file without a name, and another description of it. */
void calls_two_files(struct seat *s);

#endif

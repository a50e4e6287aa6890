/* SPDX-License-Identifier: MIT */
#ifndef SESSION_WAITS_H
#define SESSION_WAITS_H

#include "base/intern.h"
#include "base/map.h"
#include "target/locks.h"
#include "target/sockets.h"

/*
 * What threads wait for: the thing behind the system call that a sleeper is in. Read at the moment
 * of its sample and without stopping it; good if its run counter says that it has slept
 * throughout. What is not certain is not said.
 */
enum {
    WAIT_THING_BYTES = 200,        /* of a thing's text; longer ones are cut */
    WAIT_TEXTS_BYTES = 512 * 1024, /* of all: 4,000 to 8,000 of them, then "[other]" */
    WAIT_NETS_MAX = 64,            /* network namespaces, whose sockets are known by their ends */
};

/* The sockets of a network namespace, as last listed. */
struct wait_net {
    uint64_t ns; /* inode of /proc/PID/ns/net */
    struct sockets sockets;
    struct map unknown; /* inodes that were in no list */
    uint64_t first_ns;  /* when it was met */
    uint64_t spent_ns;  /* on listing them */
};

/* Of the session; all zero is an empty one. */
struct waits {
    struct intern *texts;  /* owned; "read: /var/lib/x.db" */
    uint64_t folded;       /* how often a text became "[other]" */
    struct wait_net *nets; /* owned */
    size_t n_nets, nets_cap;
    struct wait_functions *functions; /* owned; of each module that a thread waited in */
    size_t n_functions, functions_cap;
};

void waits_release(struct waits *waits);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_NAMER_CHILD_H
#define SYMBOLS_NAMER_CHILD_H

#include <sched.h>
#include <sys/types.h>

#include "symbols/heartbeat.h"
#include "symbols/namer.h"

/* What a namer's process is made of. */
struct namer_job {
    struct namer_options opt; /* debug_dir owned by the namer */
    const struct modules *modules;
    cpu_set_t cpus;
    int policy, nice;
    pid_t parent;
};

/* What it shares with the namer. */
struct namer_page {
    _Atomic uint64_t at; /* number of the question that it is at */
    struct heartbeat heartbeat;
};

/* The process itself, after fork(2): answers what comes from fd until its end. err_fd is where its
 * last words go. */
_Noreturn void namer_child_main(const struct namer_job *job, int fd, int err_fd,
                                struct namer_page *page);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_NAMER_PROCESS_H
#define SYMBOLS_NAMER_PROCESS_H

#include "symbols/namer_child.h"

/* A namer's process as its parent has it. */
struct namer_process {
    struct namer_page *page; /* shared with it; at: UINT64_MAX at first */
    pid_t pid;               /* 0: none */
    int pidfd;               /* its number may be another's once somebody has reaped it */
    int fd, err_fd;
    bool ended;                  /* somebody has reaped it: status */
    int status;                  /* of waitpid(2) */
    uint64_t cpu_ns, peak_bytes; /* of all so far; see namer_process_account() */
    uint64_t past_cpu_ns;        /* of those that are no more */
};

/* 0, or a negative errno: there is no process. */
int namer_process_start(struct namer_process *p, const struct namer_job *job);

/* Kills it if it lives, and gives up what belongs to it. Says how it had ended by itself, as what
 * follows "the reader of its symbols": "crashed (SIGSEGV)". */
void namer_process_end(struct namer_process *p, char *how, size_t how_bytes);

/* In a copy of us (fork): the process is our parent's. */
void namer_process_disown(struct namer_process *p);

/* Brings the figures up to date. */
void namer_process_account(struct namer_process *p);

/* Is it ready to run? */
bool namer_process_runs(const struct namer_process *p);
/* Running time of this one so far. */
uint64_t namer_process_cpu_ns(const struct namer_process *p);

#endif

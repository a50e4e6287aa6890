/* SPDX-License-Identifier: MIT */
#ifndef CAPTURE_LAUNCHER_H
#define CAPTURE_LAUNCHER_H

#include <signal.h>
#include <sys/types.h>

#include "base/error.h"

/*
 * Starts the command whose profile is wanted, as our own child: Yama lets a tracer trace its
 * descendants. It keeps our standard streams; launcher_start() leaves it waiting, launcher_go()
 * lets it exec, so that whatever must be ready is ready before its first instruction.
 */
struct launcher {
    pid_t pid;
    int go_fd;     /* owned; closing it without a byte makes the child exit */
    int failed_fd; /* owned; the child writes errno here if exec fails, exec closes it */
};

/* mask: the signal mask that the command shall have, as we inherited it. */
int launcher_start(struct launcher *l, char *const argv[], const sigset_t *mask, struct error *err);

/* Returns once the command runs: 0. -ENOENT: not found; another errno of execvp(3): it can't be
 * executed; the child has then been reaped. */
int launcher_go(struct launcher *l, const char *name, struct error *err);

void launcher_release(struct launcher *l);

#endif

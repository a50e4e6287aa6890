/* SPDX-License-Identifier: MIT */
#ifndef LIVE_LISTEN_H
#define LIVE_LISTEN_H

#include <stdbool.h>

#include "base/error.h"

/* Where a page is served: "127.0.0.1:0", "[::1]:8080", "localhost:80" or "unix:/run/me/oxprof". */
struct listening {
    int fd;            /* owned; -1 none */
    bool loopback;     /* or a socket in the file system */
    char host[300];    /* what a request's Host must be, with the port; "localhost" for unix */
    char also[2][300]; /* or this, e.g. localhost:PORT; "" none */
    char *unix_path;   /* owned; removed at the end */
};

/*
 * port 0 chooses a free one. A Unix socket is made with mode 0600; one that nobody serves any more
 * is replaced, anything else at its path is refused. remote_allowed: else addresses of other
 * machines are refused (-EPERM). name: under which the machine is asked for as well; may be NULL.
 */
int listening_open(struct listening *l, const char *where, bool remote_allowed, const char *name,
                   struct error *err);
void listening_close(struct listening *l);

/* Is this Host one of ours? NULL: there was none. */
bool listening_knows(const struct listening *l, const char *host);

#endif

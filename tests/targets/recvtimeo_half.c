/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "fixture.h"
#include "half.h"

/* Returns the receiving end; the sending end is the next descriptor. */
static int receiver(long timeout_us)
{
    int pair[2];
    struct timeval timeout = {0, timeout_us};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 || pair[1] != pair[0] + 1 ||
        setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) != 0)
        fixture_die("socketpair");
    return pair[0];
}

static void recv_open(struct half *h)
{
    h->event = receiver(900000);
    h->timeout = receiver(HALF_TIMEOUT_NS / 1000);
}

static void recv_drive(struct half *h)
{
    if (send(h->event + 1, "x", 1, 0) != 1)
        fixture_die("send");
}

static int recv_wait_event(struct half *h)
{
    char byte;
    return recv(h->event, &byte, 1, 0) == 1 ? 0 : errno;
}

static int recv_wait_timeout(struct half *h)
{
    char byte;
    if (recv(h->timeout, &byte, 1, 0) >= 0)
        return EPROTO;
    return errno == EAGAIN ? ETIMEDOUT : errno;
}

int main(void)
{
    static const struct half_ops ops = {recv_open, recv_drive, recv_wait_event, recv_wait_timeout,
                                        NULL};
    return half_main(&ops);
}

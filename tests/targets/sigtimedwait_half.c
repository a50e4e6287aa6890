/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "fixture.h"
#include "half.h"

static sigset_t only(int sig)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    return set;
}

static void sig_open(struct half *h)
{
    (void)h;
    fixture_block(SIGRTMIN);
    fixture_block(SIGRTMIN + 1);
}

static void sig_drive(struct half *h)
{
    pthread_kill(h->event_thread, SIGRTMIN);
}

static int sig_wait_event(struct half *h)
{
    (void)h;
    sigset_t set = only(SIGRTMIN);
    return sigwaitinfo(&set, NULL) == SIGRTMIN ? 0 : errno;
}

static int sig_wait_timeout(struct half *h)
{
    (void)h;
    sigset_t set = only(SIGRTMIN + 1);
    struct timespec timeout = {0, HALF_TIMEOUT_NS};
    if (sigtimedwait(&set, NULL, &timeout) >= 0)
        return EPROTO;
    return errno == EAGAIN ? ETIMEDOUT : errno;
}

int main(void)
{
    static const struct half_ops ops = {sig_open, sig_drive, sig_wait_event, sig_wait_timeout,
                                        NULL};
    return half_main(&ops);
}

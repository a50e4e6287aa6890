/* SPDX-License-Identifier: MIT */
/*
 * Every fifth event is a signal, let in by epoll_pwait alone: the call must say EINTR exactly when
 * the handler has run, profiler or not.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "fixture.h"
#include "half.h"

static volatile sig_atomic_t handled; /* a handler has no other place to count */

static void on_signal(int sig)
{
    (void)sig;
    handled++;
}

static int epoll_of(int fd)
{
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data = {.fd = fd}};
    if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) != 0)
        fixture_die("epoll");
    return ep;
}

static int new_eventfd(void)
{
    return eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC);
}

static void epoll_open(struct half *h)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGRTMIN, &action, NULL);
    fixture_block(SIGRTMIN);
    h->event = epoll_of(new_eventfd());
    h->timeout = epoll_of(new_eventfd());
}

/* The eventfd was made just before the epoll that holds it. */
static int event_fd(const struct half *h)
{
    return h->event - 1;
}

static void epoll_drive(struct half *h)
{
    if (h->drives % 5 == 0)
        pthread_kill(h->event_thread, SIGRTMIN);
    else
        eventfd_write(event_fd(h), 1);
}

static int epoll_wait_event(struct half *h)
{
    struct epoll_event ev;
    eventfd_t value;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    sigdelset(&mask, SIGRTMIN);
    sig_atomic_t before = handled;
    int n = epoll_pwait(h->event, &ev, 1, -1, &mask);
    int err = n < 0 ? errno : 0;
    if (handled != before)
        return err == EINTR ? 0 : EPROTO;
    if (n == 1)
        eventfd_read(ev.data.fd, &value);
    return err;
}

static int epoll_wait_timeout(struct half *h)
{
    struct epoll_event ev;
    int n = epoll_wait(h->timeout, &ev, 1, HALF_TIMEOUT_NS / 1000000);
    return n == 0 ? ETIMEDOUT : n < 0 ? errno : EPROTO;
}

int main(void)
{
    static const struct half_ops ops = {epoll_open, epoll_drive, epoll_wait_event,
                                        epoll_wait_timeout, NULL};
    return half_main(&ops);
}

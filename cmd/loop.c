/* SPDX-License-Identifier: MIT */
#include "cmd/loop.h"

#include <stddef.h>
#include <unistd.h>

#include "base/clock.h"

static const int handled[] = {SIGINT,  SIGTERM, SIGHUP,  SIGQUIT, SIGUSR1,
                              SIGUSR2, SIGTSTP, SIGTTIN, SIGTTOU};

void loop_begin(struct loop *l)
{
    sigset_t all;
    sigfillset(&all);
    /* Those that a fault of our own raises must act: blocked, they would kill without a trace. */
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    sigdelset(&all, SIGABRT);
    sigprocmask(SIG_SETMASK, &all, &l->inherited);
    sigemptyset(&l->awaited);
    for (size_t i = 0; i < sizeof(handled) / sizeof(*handled); i++) {
        struct sigaction old;
        if (sigaction(handled[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaddset(&l->awaited, handled[i]);
    }
    sigaddset(&l->awaited, SIGCHLD);
}

int loop_wait(const struct loop *l, uint64_t until_ns)
{
    uint64_t now = clock_now_ns();
    struct timespec wait = clock_timespec(until_ns > now ? until_ns - now : 0);
    int sig = sigtimedwait(&l->awaited, NULL, &wait);
    return sig > 0 ? sig : 0;
}

static void leave(int sig)
{
    _exit(128 + sig);
}

void loop_end(const struct loop *l)
{
    struct sigaction at_once = {.sa_handler = leave};
    struct sigaction ignored = {.sa_handler = SIG_IGN};
    sigset_t mask = l->inherited;
    /* they ask for what is being written already */
    sigaction(SIGUSR1, &ignored, NULL);
    sigaction(SIGUSR2, &ignored, NULL);
    if (sigismember(&l->awaited, SIGINT) == 1)
        sigaction(SIGINT, &at_once, NULL);
    sigprocmask(SIG_SETMASK, &mask, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * sleepers [THREADS] [COMPUTING]: the main thread and all but COMPUTING threads sleep in assorted
 * waits that nothing ends. A wait that returns was disturbed, and is counted.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>

#include "fixture.h"

struct dormitory {
    pthread_mutex_t mutex;
    pthread_cond_t never;
    int pipe, epoll;
    uint32_t futex;
    atomic_uint woken, asleep;
};

struct bed {
    struct dormitory *d;
    void (*wait)(struct dormitory *d);
};

static void wait_cond(struct dormitory *d)
{
    pthread_mutex_lock(&d->mutex);
    d->asleep++;
    pthread_cond_wait(&d->never, &d->mutex);
    pthread_mutex_unlock(&d->mutex);
}

static void wait_futex(struct dormitory *d)
{
    d->asleep++;
    syscall(SYS_futex, &d->futex, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static void wait_poll(struct dormitory *d)
{
    struct pollfd fd = {d->pipe, POLLIN, 0};
    d->asleep++;
    poll(&fd, 1, -1);
}

static void wait_nanosleep(struct dormitory *d)
{
    struct timespec hour = {3600, 0};
    d->asleep++;
    nanosleep(&hour, NULL);
}

static void wait_read(struct dormitory *d)
{
    char byte;
    d->asleep++;
    if (read(d->pipe, &byte, 1) > 0)
        fixture_die("a byte from nowhere");
}

static void wait_epoll(struct dormitory *d)
{
    struct epoll_event ev;
    d->asleep++;
    epoll_wait(d->epoll, &ev, 1, -1);
}

static void wait_select(struct dormitory *d)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(d->pipe, &set);
    d->asleep++;
    select(d->pipe + 1, &set, NULL, NULL, NULL);
}

static void wait_pause(struct dormitory *d)
{
    d->asleep++;
    pause();
}

static void *sleeper(void *arg)
{
    struct bed *bed = arg;
    for (;;) {
        bed->wait(bed->d);
        bed->d->woken++;
    }
    return NULL;
}

NOINLINE static uint64_t compute(uint64_t x)
{
    return fixture_steps(x + 1, 1000000);
}

static void *computer(void *arg)
{
    uint64_t x = (uintptr_t)arg;
    while (!fixture_stop_asked())
        x = compute(x);
    return (void *)(uintptr_t)x;
}

static void start(const char *name, void *(*run)(void *), void *arg)
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    if (pthread_create(&thread, &attr, run, arg) != 0)
        fixture_die("pthread_create");
    pthread_setname_np(thread, name); /* here: whoever hears that we are ready sees it */
    pthread_attr_destroy(&attr);
}

static void dormitory_open(struct dormitory *d)
{
    int pipes[2];
    if (pipe(pipes) != 0)
        fixture_die("pipe");
    struct epoll_event ev = {.events = EPOLLIN};
    d->pipe = pipes[0];
    d->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ctl(d->epoll, EPOLL_CTL_ADD, d->pipe, &ev) != 0)
        fixture_die("epoll");
}

static unsigned wait_for_stop(void)
{
    unsigned woken = 0;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    while (sigwaitinfo(&set, NULL) != SIGTERM)
        woken++;
    return woken;
}

int main(int argc, char **argv)
{
    static void (*const waits[])(struct dormitory *) = {wait_cond,      wait_futex, wait_poll,
                                                        wait_nanosleep, wait_read,  wait_epoll,
                                                        wait_select,    wait_pause};
    enum { WAITS = sizeof(waits) / sizeof(waits[0]) };
    struct dormitory d = {.mutex = PTHREAD_MUTEX_INITIALIZER, .never = PTHREAD_COND_INITIALIZER};
    struct bed beds[WAITS];
    long threads = fixture_arg(argc, argv, 1, 2000);
    long computing = fixture_arg(argc, argv, 2, 10);
    fixture_begin();
    dormitory_open(&d);
    for (int i = 0; i < WAITS; i++)
        beds[i] = (struct bed){&d, waits[i]};
    for (long i = 0; i < threads - 1 - computing; i++)
        start("sleeper", sleeper, &beds[i % WAITS]);
    for (long i = 0; i < computing; i++)
        start("computer", computer, (void *)(uintptr_t)(i + 1));
    while (d.asleep < threads - 1 - computing)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    fixture_ready();
    unsigned woken = wait_for_stop();
    printf("threads=%ld\ncomputing=%ld\nwoken=%u\n", threads, computing, woken + d.woken);
    fflush(stdout);
    _exit(0);
}

/* SPDX-License-Identifier: MIT */
/* Calls that nothing ends but their timeout. */
#include <linux/aio_abi.h>
#include <linux/futex.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <semaphore.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include "calls.h"
#include "fixture.h"

static const struct timespec RELATIVE = {0, CALL_TIMEOUT_NS};

static struct timespec deadline(clockid_t clock)
{
    uint64_t at = fixture_clock_ns(clock) + CALL_TIMEOUT_NS;
    return (struct timespec){(time_t)(at / 1000000000U), (long)(at % 1000000000U)};
}

/* A timeout that is told by 0. */
static int expired_by_zero(long rc)
{
    if (rc < 0)
        return errno;
    return rc == 0 ? CALL_GOOD : CALL_WRONG;
}

/* ---- epoll, poll, select */

static void open_epoll(struct seat *s)
{
    if ((s->fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
        fixture_die("epoll_create1");
}

static int wait_epoll(struct seat *s)
{
    struct epoll_event event;
    return expired_by_zero(epoll_wait(s->fd, &event, 1, CALL_TIMEOUT_NS / 1000000));
}

static int wait_epoll_pwait2(struct seat *s)
{
    struct epoll_event event;
    return expired_by_zero(syscall(SYS_epoll_pwait2, s->fd, &event, 1, &RELATIVE, NULL, 0));
}

static int wait_poll(struct seat *s)
{
    (void)s;
    return expired_by_zero(poll(NULL, 0, CALL_TIMEOUT_NS / 1000000));
}

static int wait_ppoll(struct seat *s)
{
    (void)s;
    return expired_by_zero(ppoll(NULL, 0, &RELATIVE, NULL));
}

static int wait_select(struct seat *s)
{
    struct timeval t = {0, CALL_TIMEOUT_NS / 1000};
    (void)s;
    return expired_by_zero(select(0, NULL, NULL, NULL, &t));
}

static int wait_pselect(struct seat *s)
{
    (void)s;
    return expired_by_zero(pselect(0, NULL, NULL, NULL, &RELATIVE, NULL));
}

/* ---- sockets */

static void time_receiving(struct seat *s)
{
    calls_set_timeout(s->fd, SO_RCVTIMEO, CALL_SOCKET_NS);
}

static void open_recv_tcp(struct seat *s)
{
    calls_inet_pair(s, SOCK_STREAM);
    time_receiving(s);
}

static void open_recv_udp(struct seat *s)
{
    calls_inet_pair(s, SOCK_DGRAM);
    time_receiving(s);
}

static void open_recv_unix(struct seat *s)
{
    calls_unix_pair(s, SOCK_STREAM);
    time_receiving(s);
}

static int wait_recv(struct seat *s)
{
    char byte;
    return call_expired(recv(s->fd, &byte, 1, 0), EAGAIN);
}

static int wait_read(struct seat *s)
{
    char byte;
    return call_expired(read(s->fd, &byte, 1), EAGAIN);
}

static void open_accept(struct seat *s)
{
    calls_inet_listener(s, 1);
    time_receiving(s);
}

static int wait_accept(struct seat *s)
{
    return call_expired(accept(s->fd, NULL, NULL), EAGAIN);
}

/* A backlog of 0 has room for one connection. */
static void open_connect_unix(struct seat *s)
{
    calls_unix_listener(s, 0);
    if (calls_connect(s, calls_socket(s, 0)) != 0)
        fixture_die("connect");
}

static void open_connect_tcp(struct seat *s)
{
    calls_inet_listener(s, 0);
    if (calls_connect(s, calls_socket(s, 0)) != 0)
        fixture_die("connect");
}

static bool prepare_connect(struct seat *s)
{
    if (s->peer > 0)
        close(s->peer);
    s->peer = calls_socket(s, 0);
    calls_set_timeout(s->peer, SO_SNDTIMEO, CALL_SOCKET_NS);
    return true;
}

static int wait_connect_unix(struct seat *s)
{
    return call_expired(calls_connect(s, s->peer), EAGAIN);
}

static int wait_connect_tcp(struct seat *s)
{
    return call_expired(calls_connect(s, s->peer), EINPROGRESS);
}

/* ---- semaphores, signals */

static void open_semtimedop(struct seat *s)
{
    if ((s->id = semget(IPC_PRIVATE, 1, 0600)) < 0)
        fixture_die("semget");
}

static int wait_semtimedop(struct seat *s)
{
    struct sembuf down = {0, -1, 0};
    return call_expired(semtimedop(s->id, &down, 1, &RELATIVE), EAGAIN);
}

static void close_semtimedop(struct seat *s)
{
    semctl(s->id, 0, IPC_RMID);
}

static int wait_sigtimedwait(struct seat *s)
{
    sigset_t set;
    (void)s;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    return call_expired(sigtimedwait(&set, NULL, &RELATIVE), EAGAIN);
}

static void open_sem(struct seat *s)
{
    s->own = calloc(1, sizeof(sem_t));
    if (!s->own || sem_init(s->own, 0, 0) != 0)
        fixture_die("sem_init");
}

static int wait_sem(struct seat *s)
{
    struct timespec at = deadline(CLOCK_REALTIME);
    return call_expired(sem_timedwait(s->own, &at), ETIMEDOUT);
}

/* ---- the kernel's queues */

static void open_aio(struct seat *s)
{
    aio_context_t *context = calloc(1, sizeof(*context));
    s->own = context;
    s->skipped = !context || syscall(SYS_io_setup, 8, context) != 0;
}

static int wait_aio(struct seat *s)
{
    struct timespec t = RELATIVE;
    struct io_event event;
    return expired_by_zero(syscall(SYS_io_getevents, *(aio_context_t *)s->own, 1, 1, &event, &t));
}

static void open_uring(struct seat *s)
{
    struct io_uring_params params = {0};
    s->fd = (int)syscall(SYS_io_uring_setup, 4, &params);
    s->skipped = s->fd < 0 || !(params.features & IORING_FEAT_EXT_ARG);
}

static int wait_uring(struct seat *s)
{
    struct __kernel_timespec t = {0, CALL_TIMEOUT_NS};
    struct io_uring_getevents_arg arg = {.ts = (uintptr_t)&t};
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;
    return call_expired(syscall(SYS_io_uring_enter, s->fd, 0, 1, flags, &arg, sizeof(arg)), ETIME);
}

/* ---- sleep */

static int wait_nanosleep(struct seat *s)
{
    (void)s;
    return call_good(nanosleep(&RELATIVE, NULL));
}

static int wait_clock_nanosleep(struct seat *s)
{
    (void)s;
    return clock_nanosleep(CLOCK_MONOTONIC, 0, &RELATIVE, NULL);
}

static int wait_clock_nanosleep_abs(struct seat *s)
{
    struct timespec at = deadline(CLOCK_MONOTONIC);
    (void)s;
    return clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static void open_timerfd(struct seat *s)
{
    if ((s->fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)) < 0)
        fixture_die("timerfd_create");
}

static int wait_timerfd(struct seat *s)
{
    struct itimerspec t = {.it_value = RELATIVE};
    uint64_t times;
    timerfd_settime(s->fd, 0, &t, NULL);
    return call_exactly(read(s->fd, &times, sizeof(times)), sizeof(times));
}

/* ---- futexes */

static int wait_futex(struct seat *s)
{
    return call_expired(syscall(SYS_futex, &s->word, FUTEX_WAIT, 0, &RELATIVE, NULL, 0), ETIMEDOUT);
}

static void open_futex_waitv(struct seat *s)
{
    s->skipped = syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0) != 0 && errno == ENOSYS;
}

static int wait_futex_waitv(struct seat *s)
{
    struct futex_waitv one = {.uaddr = (uintptr_t)&s->word, .flags = FUTEX_32};
    struct timespec at = deadline(CLOCK_MONOTONIC);
    return call_expired(syscall(SYS_futex_waitv, &one, 1, 0, &at, CLOCK_MONOTONIC), ETIMEDOUT);
}

struct condition {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
};

static void open_condition(struct seat *s)
{
    struct condition *c = calloc(1, sizeof(*c));
    if (!c || pthread_mutex_init(&c->mutex, NULL) != 0 || pthread_cond_init(&c->cond, NULL) != 0)
        fixture_die("condition");
    s->own = c;
}

static int wait_condition(struct seat *s)
{
    struct condition *c = s->own;
    struct timespec at = deadline(CLOCK_REALTIME);
    pthread_mutex_lock(&c->mutex);
    int rc = pthread_cond_timedwait(&c->cond, &c->mutex, &at);
    pthread_mutex_unlock(&c->mutex);
    return rc == ETIMEDOUT ? CALL_GOOD : rc == 0 ? CALL_WRONG : rc;
}

#define TIMED(NAME, OPEN, WAIT)                                                 \
    {                                                                           \
        .name = NAME, .open = OPEN, .wait = WAIT, .timeout_ns = CALL_TIMEOUT_NS \
    }
#define COARSE(NAME, OPEN, WAIT)                                                \
    {                                                                           \
        .name = NAME, .open = OPEN, .wait = WAIT, .timeout_ns = CALL_SOCKET_NS, \
        .grain_ns = CALL_SOCKET_GRAIN_NS                                        \
    }

const struct call calls_timed[] = {
    TIMED("epoll_wait_timeout", open_epoll, wait_epoll),
    TIMED("epoll_pwait2_timeout", open_epoll, wait_epoll_pwait2),
    COARSE("recv_tcp_timeout", open_recv_tcp, wait_recv),
    COARSE("recv_udp_timeout", open_recv_udp, wait_recv),
    COARSE("recv_unix_timeout", open_recv_unix, wait_recv),
    COARSE("read_tcp_timeout", open_recv_tcp, wait_read),
    COARSE("accept_timeout", open_accept, wait_accept),
    {.name = "connect_unix_timeout",
     .open = open_connect_unix,
     .prepare = prepare_connect,
     .wait = wait_connect_unix,
     .timeout_ns = CALL_SOCKET_NS,
     .grain_ns = CALL_SOCKET_GRAIN_NS},
    {.name = "connect_tcp_timeout",
     .open = open_connect_tcp,
     .prepare = prepare_connect,
     .wait = wait_connect_tcp,
     .timeout_ns = CALL_SOCKET_NS,
     .grain_ns = CALL_SOCKET_GRAIN_NS},
    {.name = "semtimedop",
     .open = open_semtimedop,
     .wait = wait_semtimedop,
     .close = close_semtimedop,
     .timeout_ns = CALL_TIMEOUT_NS},
    TIMED("sigtimedwait_timeout", NULL, wait_sigtimedwait),
    TIMED("io_getevents_timeout", open_aio, wait_aio),
    TIMED("io_uring_enter_timeout", open_uring, wait_uring),
    TIMED("poll", NULL, wait_poll),
    TIMED("nanosleep", NULL, wait_nanosleep),
    TIMED("clock_nanosleep", NULL, wait_clock_nanosleep),
    TIMED("futex_timeout", NULL, wait_futex),
    TIMED("sem_timedwait", open_sem, wait_sem),
    TIMED("cond_timedwait", open_condition, wait_condition),
    TIMED("select", NULL, wait_select),
    TIMED("pselect", NULL, wait_pselect),
    TIMED("ppoll", NULL, wait_ppoll),
    TIMED("clock_nanosleep_abs", NULL, wait_clock_nanosleep_abs),
    TIMED("futex_waitv", open_futex_waitv, wait_futex_waitv),
    TIMED("timerfd_read", open_timerfd, wait_timerfd),
    {0},
};

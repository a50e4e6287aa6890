/* SPDX-License-Identifier: MIT */
/* Calls that wait for events, signals and children. */
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "calls.h"
#include "fixture.h"

enum { KERNEL_SIGSET_BYTES = 8, CHILD_CODE = 7 };

static void signal_waiter(struct seat *s)
{
    syscall(SYS_tgkill, getpid(), s->tid, SIGUSR1);
}

static sigset_t usr1(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return set;
}

/* ---- epoll */

static void open_epoll(struct seat *s)
{
    struct epoll_event event = {.events = EPOLLIN};
    s->peer = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->peer < 0 || epoll_ctl(s->fd, EPOLL_CTL_ADD, s->peer, &event) != 0)
        fixture_die("epoll");
}

static void feed_eventfd(struct seat *s)
{
    uint64_t one = 1;
    if (write(s->peer, &one, sizeof(one)) != sizeof(one))
        fixture_die("eventfd");
}

static void empty_eventfd(struct seat *s)
{
    uint64_t count;
    if (read(s->peer, &count, sizeof(count)) != sizeof(count) && errno != EAGAIN)
        fixture_die("eventfd");
}

static int wait_epoll(struct seat *s)
{
    struct epoll_event event;
    int rc = call_exactly(epoll_wait(s->fd, &event, 1, -1), 1);
    empty_eventfd(s);
    return rc;
}

static int wait_epoll_pwait2(struct seat *s)
{
    struct epoll_event event;
    int rc = call_exactly(syscall(SYS_epoll_pwait2, s->fd, &event, 1, NULL, NULL, 0), 1);
    empty_eventfd(s);
    return rc;
}

/* ---- asynchronous input: the event is that an eventfd can be read */

static void open_aio(struct seat *s)
{
    aio_context_t *context = calloc(1, sizeof(*context));
    s->own = context;
    s->peer = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->skipped = !context || s->peer < 0 || syscall(SYS_io_setup, 8, context) != 0;
}

static bool prepare_aio(struct seat *s)
{
    struct iocb poll_in = {.aio_lio_opcode = IOCB_CMD_POLL, .aio_buf = POLLIN};
    struct iocb *list[] = {&poll_in};
    poll_in.aio_fildes = (uint32_t)s->peer;
    empty_eventfd(s);
    if (s->held) /* the last one is still asked for */
        return true;
    s->held = syscall(SYS_io_submit, *(aio_context_t *)s->own, 1, list) == 1;
    return s->held;
}

static int wait_aio(struct seat *s)
{
    struct io_event event;
    int rc =
        call_exactly(syscall(SYS_io_getevents, *(aio_context_t *)s->own, 1, 1, &event, NULL), 1);
    s->held = rc != CALL_GOOD;
    return rc;
}

/* ---- io_uring: the feeder submits what completes at once */

struct ring {
    uint8_t *queues;
    struct io_uring_params params;
};

static void open_uring(struct seat *s)
{
    struct ring *r = calloc(1, sizeof(*r));
    s->own = r;
    s->fd = r ? (int)syscall(SYS_io_uring_setup, 4, &r->params) : -1;
    s->skipped = s->fd < 0 || !(r->params.features & IORING_FEAT_SINGLE_MMAP);
    if (s->skipped)
        return;
    size_t bytes = r->params.cq_off.cqes + r->params.cq_entries * sizeof(struct io_uring_cqe);
    r->queues = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, s->fd,
                     IORING_OFF_SQ_RING);
    void *entries = mmap(NULL, r->params.sq_entries * sizeof(struct io_uring_sqe),
                         PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, s->fd, IORING_OFF_SQES);
    if (r->queues == MAP_FAILED || entries == MAP_FAILED)
        fixture_die("io_uring");
    ((struct io_uring_sqe *)entries)->opcode = IORING_OP_NOP; /* entry 0, every time */
}

static _Atomic uint32_t *ring_word(const struct ring *r, uint32_t off)
{
    return (_Atomic uint32_t *)(void *)(r->queues + off);
}

static void feed_uring(struct seat *s)
{
    struct ring *r = s->own;
    ++*ring_word(r, r->params.sq_off.tail);
    syscall(SYS_io_uring_enter, s->fd, 1, 0, 0, NULL, 0);
}

static int wait_uring(struct seat *s)
{
    struct ring *r = s->own;
    long rc = syscall(SYS_io_uring_enter, s->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
    uint32_t tail = *ring_word(r, r->params.cq_off.tail);
    uint32_t had = *ring_word(r, r->params.cq_off.head);
    *ring_word(r, r->params.cq_off.head) = tail;
    if (rc < 0)
        return errno;
    return tail != had ? CALL_GOOD : CALL_WRONG;
}

/* ---- signals: only those that are waited for */

static int wait_sigwait(struct seat *s)
{
    sigset_t set = usr1();
    (void)s;
    return call_good(syscall(SYS_rt_sigtimedwait, &set, NULL, NULL, KERNEL_SIGSET_BYTES));
}

static void open_signalfd(struct seat *s)
{
    sigset_t set = usr1();
    if ((s->fd = signalfd(-1, &set, SFD_CLOEXEC)) < 0)
        fixture_die("signalfd");
}

static int wait_signalfd(struct seat *s)
{
    struct signalfd_siginfo info;
    return call_exactly(read(s->fd, &info, sizeof(info)), sizeof(info));
}

static _Thread_local volatile sig_atomic_t handled;

static void count_signal(int sig)
{
    (void)sig;
    handled++;
}

static void open_handler(struct seat *s)
{
    struct sigaction action = {.sa_handler = count_signal};
    (void)s;
    if (sigaction(SIGUSR1, &action, NULL) != 0)
        fixture_die("sigaction");
}

static bool prepare_pause(struct seat *s)
{
    sigset_t set = usr1();
    (void)s;
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    return true;
}

/* Both calls end by EINTR and no other way: it is wrong where no handler has run. */
static int ended_by_handler(long rc, sig_atomic_t before)
{
    if (rc == -1 && errno == EINTR)
        return handled != before ? CALL_GOOD : EINTR;
    return rc == -1 ? errno : CALL_WRONG;
}

static int wait_pause(struct seat *s)
{
    sig_atomic_t before = handled;
    (void)s;
    return ended_by_handler(pause(), before);
}

static int wait_sigsuspend(struct seat *s)
{
    sig_atomic_t before = handled;
    sigset_t open;
    (void)s;
    pthread_sigmask(SIG_BLOCK, NULL, &open);
    sigdelset(&open, SIGUSR1);
    return ended_by_handler(sigsuspend(&open), before);
}

/* ---- children */

static bool prepare_child(struct seat *s)
{
    s->id = fork();
    if (s->id < 0)
        return false;
    if (s->id == 0) {
        struct timespec t = {0, CALL_BLOCK_NS};
        syscall(SYS_nanosleep, &t, NULL);
        _exit(CHILD_CODE);
    }
    return true;
}

static int wait_wait4(struct seat *s)
{
    int status;
    pid_t pid = wait4(s->id, &status, 0, NULL);
    if (pid < 0)
        return errno;
    return pid == s->id && WIFEXITED(status) && WEXITSTATUS(status) == CHILD_CODE ? CALL_GOOD
                                                                                  : CALL_WRONG;
}

static int wait_waitid(struct seat *s)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)s->id, &info, WEXITED) != 0)
        return errno;
    return info.si_pid == s->id && info.si_status == CHILD_CODE ? CALL_GOOD : CALL_WRONG;
}

#define FED(NAME, OPEN, WAIT, FEED)                            \
    {                                                          \
        .name = NAME, .open = OPEN, .wait = WAIT, .feed = FEED \
    }

const struct call calls_events[] = {
    FED("epoll_wait", open_epoll, wait_epoll, feed_eventfd),
    FED("epoll_pwait2", open_epoll, wait_epoll_pwait2, feed_eventfd),
    {.name = "io_getevents",
     .open = open_aio,
     .prepare = prepare_aio,
     .wait = wait_aio,
     .feed = feed_eventfd},
    FED("io_uring_enter", open_uring, wait_uring, feed_uring),
    FED("sigwait", NULL, wait_sigwait, signal_waiter),
    FED("read_signalfd", open_signalfd, wait_signalfd, signal_waiter),
    {.name = "pause",
     .open = open_handler,
     .prepare = prepare_pause,
     .wait = wait_pause,
     .feed = signal_waiter},
    FED("sigsuspend", open_handler, wait_sigsuspend, signal_waiter),
    {.name = "wait4", .prepare = prepare_child, .wait = wait_wait4},
    {.name = "waitid", .prepare = prepare_child, .wait = wait_waitid},
    {0},
};

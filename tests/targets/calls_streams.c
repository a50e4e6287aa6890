/* SPDX-License-Identifier: MIT */
/* Calls that wait for bytes, for room, or for somebody at the other end. */
#include <fcntl.h>
#include <mqueue.h>
#include <pty.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>

#include "calls.h"
#include "fixture.h"

enum { MESSAGE_BYTES = 32, PIECE_BYTES = 200 * 1024, DRAIN_BYTES = 64 * 1024 };

/* ---- one byte comes */

static void open_pipe(struct seat *s)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        fixture_die("pipe2");
    s->fd = ends[0];
    s->peer = ends[1];
}

static void open_socket(struct seat *s)
{
    calls_unix_pair(s, SOCK_STREAM);
}

static void open_datagrams(struct seat *s)
{
    calls_inet_pair(s, SOCK_DGRAM);
}

static void open_connection(struct seat *s)
{
    calls_inet_pair(s, SOCK_STREAM);
}

static void feed_byte(struct seat *s)
{
    if (write(s->peer, "x", 1) != 1)
        fixture_die("write");
}

static int wait_read_byte(struct seat *s)
{
    char byte;
    return call_exactly(read(s->fd, &byte, 1), 1);
}

static int wait_recv(struct seat *s)
{
    char byte;
    return call_exactly(recv(s->fd, &byte, 1, 0), 1);
}

static int wait_recvmsg(struct seat *s)
{
    char byte;
    struct iovec iov = {&byte, 1};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    return call_exactly(recvmsg(s->fd, &message, 0), 1);
}

static int wait_recvmmsg(struct seat *s)
{
    char byte;
    struct iovec iov = {&byte, 1};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = &iov, .msg_iovlen = 1}};
    return call_exactly(recvmmsg(s->fd, &message, 1, 0, NULL), 1);
}

/* ---- terminals: fd is the slave in "tty", the master in "pty" */

static void open_terminal(struct seat *s)
{
    struct termios raw;
    int master, slave;
    s->skipped = openpty(&master, &slave, NULL, NULL, NULL) != 0;
    if (s->skipped)
        return;
    tcgetattr(slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(slave, TCSANOW, &raw);
    s->fd = slave;
    s->peer = master;
}

static void open_pty(struct seat *s)
{
    open_terminal(s);
    int slave = s->fd;
    s->fd = s->peer;
    s->peer = slave;
}

/* ---- events as descriptors */

static void open_eventfd(struct seat *s)
{
    if ((s->fd = s->peer = eventfd(0, EFD_CLOEXEC)) < 0)
        fixture_die("eventfd");
}

static void feed_eventfd(struct seat *s)
{
    uint64_t one = 1;
    if (write(s->peer, &one, sizeof(one)) != sizeof(one))
        fixture_die("eventfd");
}

static int wait_eventfd(struct seat *s)
{
    uint64_t count;
    return call_exactly(read(s->fd, &count, sizeof(count)), sizeof(count));
}

static void open_inotify(struct seat *s)
{
    char path[64];
    calls_two_files(s);
    close(s->fd);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", s->peer);
    s->fd = inotify_init1(IN_CLOEXEC);
    if (s->fd < 0 || inotify_add_watch(s->fd, path, IN_MODIFY) < 0)
        fixture_die("inotify");
}

static void feed_inotify(struct seat *s)
{
    if (pwrite(s->peer, "x", 1, 0) != 1)
        fixture_die("pwrite");
}

static int wait_inotify(struct seat *s)
{
    struct inotify_event event;
    return call_exactly(read(s->fd, &event, sizeof(event)), sizeof(event));
}

/* ---- message queues */

struct message {
    long type;
    char text[MESSAGE_BYTES];
};

static void open_messages(struct seat *s)
{
    if ((s->id = msgget(IPC_PRIVATE, 0600)) < 0)
        fixture_die("msgget");
}

static void close_messages(struct seat *s)
{
    msgctl(s->id, IPC_RMID, NULL);
}

static void feed_msgrcv(struct seat *s)
{
    struct message m = {.type = 1};
    msgsnd(s->id, &m, sizeof(m.text), IPC_NOWAIT);
}

static int wait_msgrcv(struct seat *s)
{
    struct message m;
    return call_exactly(msgrcv(s->id, &m, sizeof(m.text), 0, 0), sizeof(m.text));
}

static void open_full_messages(struct seat *s)
{
    struct message m = {.type = 1};
    open_messages(s);
    while (msgsnd(s->id, &m, sizeof(m.text), IPC_NOWAIT) == 0)
        continue;
}

static void feed_msgsnd(struct seat *s)
{
    struct message m;
    msgrcv(s->id, &m, sizeof(m.text), 0, IPC_NOWAIT);
}

static int wait_msgsnd(struct seat *s)
{
    struct message m = {.type = 1};
    return call_good(msgsnd(s->id, &m, sizeof(m.text), 0));
}

static void open_mq(struct seat *s)
{
    struct mq_attr attr = {.mq_maxmsg = 8, .mq_msgsize = MESSAGE_BYTES};
    char name[64];
    snprintf(name, sizeof(name), "/calls_matrix-%d", getpid());
    s->id = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attr);
    s->skipped = s->id < 0;
    mq_unlink(name);
}

static void feed_mq(struct seat *s)
{
    char text[MESSAGE_BYTES] = "";
    struct timespec past = {0, 0};
    mq_timedsend(s->id, text, sizeof(text), 0, &past);
}

static int wait_mq(struct seat *s)
{
    char text[MESSAGE_BYTES];
    return call_exactly(mq_receive(s->id, text, sizeof(text), NULL), sizeof(text));
}

/* ---- somebody comes */

static void open_accept(struct seat *s)
{
    calls_unix_listener(s, 8);
}

static void feed_accept(struct seat *s)
{
    int fd = calls_socket(s, SOCK_NONBLOCK);
    calls_connect(s, fd);
    close(fd);
}

static int wait_accept(struct seat *s)
{
    int fd = accept(s->fd, NULL, NULL);
    if (fd < 0)
        return errno;
    close(fd);
    return CALL_GOOD;
}

/* A backlog of 0 has room for one connection, which the last round has left there. */
static void open_connect(struct seat *s)
{
    calls_unix_listener(s, 0);
    if (calls_connect(s, calls_socket(s, 0)) != 0 || fcntl(s->fd, F_SETFL, O_NONBLOCK) != 0)
        fixture_die("connect");
}

static bool prepare_connect(struct seat *s)
{
    s->peer = calls_socket(s, 0);
    return true;
}

static void feed_connect(struct seat *s)
{
    int fd = accept(s->fd, NULL, NULL);
    if (fd >= 0)
        close(fd);
}

static int wait_connect(struct seat *s)
{
    int rc = call_good(calls_connect(s, s->peer));
    close(s->peer);
    return rc;
}

/* The FIFO has lost its name: nothing is left behind, whatever happens. */
static void open_fifo(struct seat *s)
{
    char path[] = "/tmp/calls_matrix-XXXXXX", fifo[64];
    if (!mkdtemp(path))
        fixture_die(path);
    snprintf(fifo, sizeof(fifo), "%s/fifo", path);
    if (mkfifo(fifo, 0600) != 0 || (s->fd = open(fifo, O_PATH | O_CLOEXEC)) < 0)
        fixture_die(fifo);
    unlink(fifo);
    rmdir(path);
    char *again = calloc(1, 64);
    if (again)
        snprintf(again, 64, "/proc/self/fd/%d", s->fd);
    s->own = again;
}

static void feed_fifo(struct seat *s)
{
    int fd = open(s->own, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
}

static int wait_fifo(struct seat *s)
{
    int fd = open(s->own, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    close(fd);
    return CALL_GOOD;
}

/* ---- room for bytes: the waiter writes 200 KB at a time, which the feeder drains in portions */

static void *piece(void)
{
    void *p = calloc(1, PIECE_BYTES);
    if (!p)
        fixture_die("calloc");
    return p;
}

static void set_nonblocking(int fd)
{
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        fixture_die("fcntl");
}

static void open_write_pipe(struct seat *s)
{
    open_pipe(s);
    int reader = s->fd;
    s->fd = s->peer;
    s->peer = reader;
    set_nonblocking(s->peer);
    s->own = piece();
}

static void open_send_unix(struct seat *s)
{
    calls_unix_pair(s, SOCK_STREAM);
    set_nonblocking(s->peer);
    s->own = piece();
}

static void open_send_tcp(struct seat *s)
{
    int small = DRAIN_BYTES;
    calls_inet_pair(s, SOCK_STREAM);
    setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    setsockopt(s->peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    set_nonblocking(s->peer);
    s->own = piece();
}

static void open_send_timed(struct seat *s)
{
    open_send_unix(s);
    calls_set_timeout(s->fd, SO_SNDTIMEO, 20000000000U);
}

static ssize_t drain(struct seat *s)
{
    char portion[DRAIN_BYTES];
    ssize_t n = read(s->peer, portion, sizeof(portion));
    if (n > 0)
        s->out += (uint64_t)n;
    return n;
}

static void tend_drain(struct seat *s)
{
    drain(s);
}

static int whole(struct seat *s, ssize_t n)
{
    if (n > 0)
        s->in += (uint64_t)n;
    return call_exactly(n, PIECE_BYTES);
}

static int wait_write(struct seat *s)
{
    return whole(s, write(s->fd, s->own, PIECE_BYTES));
}

static int wait_send(struct seat *s)
{
    return whole(s, send(s->fd, s->own, PIECE_BYTES, 0));
}

/* What was said to be written has arrived, and no more. */
static void close_drained(struct seat *s)
{
    close(s->fd);
    for (;;) {
        ssize_t n = drain(s);
        if (n == 0)
            break;
        if (n < 0 && errno != EAGAIN)
            fixture_die("drain");
    }
    if (s->in != s->out)
        s->errors++;
}

#define FED(NAME, OPEN, WAIT, FEED)                            \
    {                                                          \
        .name = NAME, .open = OPEN, .wait = WAIT, .feed = FEED \
    }
#define DRAINED(NAME, OPEN, WAIT)                                                            \
    {                                                                                        \
        .name = NAME, .open = OPEN, .wait = WAIT, .tend = tend_drain, .close = close_drained \
    }

const struct call calls_streams[] = {
    FED("read_pipe", open_pipe, wait_read_byte, feed_byte),
    FED("read_socket", open_connection, wait_read_byte, feed_byte),
    FED("read_tty", open_terminal, wait_read_byte, feed_byte),
    FED("read_pty", open_pty, wait_read_byte, feed_byte),
    FED("read_eventfd", open_eventfd, wait_eventfd, feed_eventfd),
    FED("read_inotify", open_inotify, wait_inotify, feed_inotify),
    FED("recv", open_connection, wait_recv, feed_byte),
    FED("recvmsg", open_socket, wait_recvmsg, feed_byte),
    FED("recvmmsg", open_datagrams, wait_recvmmsg, feed_byte),
    FED("accept", open_accept, wait_accept, feed_accept),
    {.name = "connect_unix",
     .open = open_connect,
     .prepare = prepare_connect,
     .wait = wait_connect,
     .feed = feed_connect},
    FED("open_fifo", open_fifo, wait_fifo, feed_fifo),
    FED("mq_receive", open_mq, wait_mq, feed_mq),
    {.name = "msgrcv",
     .open = open_messages,
     .wait = wait_msgrcv,
     .feed = feed_msgrcv,
     .close = close_messages},
    {.name = "msgsnd",
     .open = open_full_messages,
     .wait = wait_msgsnd,
     .feed = feed_msgsnd,
     .close = close_messages},
    DRAINED("write_pipe", open_write_pipe, wait_write),
    DRAINED("send_timeout", open_send_timed, wait_send),
    DRAINED("send_unix", open_send_unix, wait_send),
    DRAINED("send_tcp", open_send_tcp, wait_send),
    {0},
};

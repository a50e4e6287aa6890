/* SPDX-License-Identifier: MIT */
/* Calls that wait for a lock, a semaphore or a word in memory. */
#include <fcntl.h>
#include <linux/futex.h>
#include <semaphore.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/syscall.h>

#include "calls.h"
#include "fixture.h"

/* A lock changes hands: the feeder takes it when nobody has it, and gives it when it is time. */
static bool prepare_held(struct seat *s)
{
    return s->held;
}

/* ---- System V semaphores */

static void open_semop(struct seat *s)
{
    if ((s->id = semget(IPC_PRIVATE, 1, 0600)) < 0)
        fixture_die("semget");
}

static void feed_semop(struct seat *s)
{
    struct sembuf up = {0, 1, 0};
    semop(s->id, &up, 1);
}

static int wait_semop(struct seat *s)
{
    struct sembuf down = {0, -1, 0};
    return call_good(semop(s->id, &down, 1));
}

static void close_semop(struct seat *s)
{
    semctl(s->id, 0, IPC_RMID);
}

/* ---- futexes */

static void feed_futex(struct seat *s)
{
    s->word++;
    syscall(SYS_futex, &s->word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static int wait_futex(struct seat *s)
{
    long rc = syscall(SYS_futex, &s->word, FUTEX_WAIT, s->word, NULL, NULL, 0);
    return rc == 0 || errno == EAGAIN ? CALL_GOOD : errno;
}

static void tend_lock_pi(struct seat *s)
{
    if (s->held)
        return;
    s->held = syscall(SYS_futex, &s->word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0) == 0;
}

static void feed_lock_pi(struct seat *s)
{
    if (!s->held)
        return;
    s->held = false;
    if (syscall(SYS_futex, &s->word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0) != 0)
        fixture_die("FUTEX_UNLOCK_PI");
}

static int wait_lock_pi(struct seat *s)
{
    if (syscall(SYS_futex, &s->word, FUTEX_LOCK_PI, 0, NULL, NULL, 0) != 0)
        return errno;
    return call_good(syscall(SYS_futex, &s->word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
}

static void open_sem(struct seat *s)
{
    s->own = calloc(1, sizeof(sem_t));
    if (!s->own || sem_init(s->own, 0, 0) != 0)
        fixture_die("sem_init");
}

static void feed_sem(struct seat *s)
{
    sem_post(s->own);
}

static int wait_sem(struct seat *s)
{
    return call_good(sem_wait(s->own));
}

struct condition {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    uint64_t fed, seen;
};

static void open_condition(struct seat *s)
{
    struct condition *c = calloc(1, sizeof(*c));
    if (!c || pthread_mutex_init(&c->mutex, NULL) != 0 || pthread_cond_init(&c->cond, NULL) != 0)
        fixture_die("condition");
    s->own = c;
}

static void feed_condition(struct seat *s)
{
    struct condition *c = s->own;
    pthread_mutex_lock(&c->mutex);
    c->fed++;
    pthread_cond_signal(&c->cond);
    pthread_mutex_unlock(&c->mutex);
}

static int wait_condition(struct seat *s)
{
    struct condition *c = s->own;
    int rc = 0;
    pthread_mutex_lock(&c->mutex);
    if (c->fed == c->seen)
        rc = pthread_cond_wait(&c->cond, &c->mutex);
    if (rc == 0 && c->fed == c->seen)
        rc = CALL_WRONG;
    c->seen = c->fed;
    pthread_mutex_unlock(&c->mutex);
    return rc;
}

/* ---- files */

static void tend_flock(struct seat *s)
{
    if (!s->held)
        s->held = flock(s->peer, LOCK_EX | LOCK_NB) == 0;
}

static void feed_flock(struct seat *s)
{
    s->held = false;
    flock(s->peer, LOCK_UN);
}

static int wait_flock(struct seat *s)
{
    if (flock(s->fd, LOCK_EX) != 0)
        return errno;
    return call_good(flock(s->fd, LOCK_UN));
}

static int lock_whole(int fd, int how, short type)
{
    struct flock whole = {.l_type = type, .l_whence = SEEK_SET};
    return fcntl(fd, how, &whole);
}

static void tend_ofd(struct seat *s)
{
    if (!s->held)
        s->held = lock_whole(s->peer, F_OFD_SETLK, F_WRLCK) == 0;
}

static void feed_ofd(struct seat *s)
{
    s->held = false;
    lock_whole(s->peer, F_OFD_SETLK, F_UNLCK);
}

static int wait_ofd(struct seat *s)
{
    if (lock_whole(s->fd, F_OFD_SETLKW, F_WRLCK) != 0)
        return errno;
    return call_good(lock_whole(s->fd, F_OFD_SETLK, F_UNLCK));
}

#define FED(NAME, OPEN, WAIT, FEED)                            \
    {                                                          \
        .name = NAME, .open = OPEN, .wait = WAIT, .feed = FEED \
    }
#define HELD(NAME, OPEN, WAIT, FEED, TEND)                                               \
    {                                                                                    \
        .name = NAME, .open = OPEN, .prepare = prepare_held, .wait = WAIT, .feed = FEED, \
        .tend = TEND                                                                     \
    }

const struct call calls_locks[] = {
    {.name = "semop",
     .open = open_semop,
     .wait = wait_semop,
     .feed = feed_semop,
     .close = close_semop},
    FED("futex", NULL, wait_futex, feed_futex),
    HELD("futex_lock_pi", NULL, wait_lock_pi, feed_lock_pi, tend_lock_pi),
    FED("sem_wait", open_sem, wait_sem, feed_sem),
    FED("cond_wait", open_condition, wait_condition, feed_condition),
    HELD("flock", calls_two_files, wait_flock, feed_flock, tend_flock),
    HELD("ofd_setlkw", calls_two_files, wait_ofd, feed_ofd, tend_ofd),
    {0},
};

/* SPDX-License-Identifier: MIT */
/*
 * locks held|convoy|deadlock|decoys: threads that wait for each other, each named after what it
 * waits in.
 *
 *   held      "holder" has every kind of lock, and sleeps; the others want them
 *   convoy    four threads take turns with one mutex: who has it computes
 *   deadlock  "first" waits for "second", that for "third", that for "first"; "self" for itself;
 *             "bystander" for "first"
 *   decoys    threads in futex(2) for what looks like a mutex that "holder" has, and is none
 */
#include <dirent.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>

#include "fixture.h"

enum { TURN_NS = 2000000 };

static pthread_mutex_t normal = PTHREAD_MUTEX_INITIALIZER, recursive, errorcheck, robust, inherit;
static pthread_mutex_t again = PTHREAD_MUTEX_INITIALIZER, third_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t written = PTHREAD_RWLOCK_INITIALIZER, read_by = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t begun, has_all;
static pthread_t holder_thread;
static pid_t holder_tid;
static atomic_bool signalled;
static atomic_uint turns;

static pid_t own_tid(void)
{
    return (pid_t)syscall(SYS_gettid);
}

static void sleep_for_ever(void)
{
    for (;;)
        pause();
}

static pthread_t start(const char *name, void *(*run)(void *), void *arg)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, arg) != 0)
        fixture_die("pthread_create");
    pthread_setname_np(thread, name);
    return thread;
}

static void init_mutex(pthread_mutex_t *m, int type, bool is_robust, bool inherits)
{
    pthread_mutexattr_t attr;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, type);
    if (is_robust)
        pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    if (inherits)
        pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
    if (pthread_mutex_init(m, &attr) != 0)
        fixture_die("pthread_mutex_init");
}

static void *want_mutex(void *arg)
{
    pthread_mutex_lock(arg);
    fixture_die("a mutex that another has");
    return NULL;
}

static void *want_mutex_in_an_hour(void *arg)
{
    struct timespec end;
    clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += 3600;
    pthread_mutex_timedlock(arg, &end);
    fixture_die("a mutex that another has");
    return NULL;
}

static void *want_to_read(void *arg)
{
    pthread_rwlock_rdlock(arg);
    fixture_die("a lock that another has");
    return NULL;
}

static void *want_to_write(void *arg)
{
    pthread_rwlock_wrlock(arg);
    fixture_die("a lock that another has");
    return NULL;
}

static void *join(void *arg)
{
    (void)arg;
    pthread_join(holder_thread, NULL);
    fixture_die("a thread that does not end");
    return NULL;
}

/* It is woken while the holder has the mutex: what it waits for then is no longer the condition. */
static void *wait_and_lock_again(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&again);
    pthread_barrier_wait(&begun);
    while (!signalled)
        pthread_cond_wait(&cond, &again);
    fixture_die("a mutex that another has");
    return NULL;
}

static void *hold(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&normal);
    pthread_mutex_lock(&recursive);
    pthread_mutex_lock(&recursive);
    pthread_mutex_lock(&errorcheck);
    pthread_mutex_lock(&robust);
    pthread_mutex_lock(&inherit);
    pthread_rwlock_wrlock(&written);
    pthread_rwlock_rdlock(&read_by);
    pthread_barrier_wait(&begun); /* the one that waits for the condition has its mutex */
    pthread_mutex_lock(&again);   /* now it waits */
    signalled = true;
    pthread_cond_signal(&cond);
    pthread_barrier_wait(&has_all);
    sleep_for_ever();
    return NULL;
}

static void held(void)
{
    init_mutex(&recursive, PTHREAD_MUTEX_RECURSIVE, false, false);
    init_mutex(&errorcheck, PTHREAD_MUTEX_ERRORCHECK, false, false);
    init_mutex(&robust, PTHREAD_MUTEX_NORMAL, true, false);
    init_mutex(&inherit, PTHREAD_MUTEX_NORMAL, false, true);
    pthread_barrier_init(&begun, NULL, 2);
    pthread_barrier_init(&has_all, NULL, 2);
    holder_thread = start("holder", hold, NULL);
    start("again", wait_and_lock_again, NULL);
    pthread_barrier_wait(&has_all);
    start("normal", want_mutex, &normal);
    start("recursive", want_mutex, &recursive);
    start("errorcheck", want_mutex, &errorcheck);
    start("timed", want_mutex_in_an_hour, &normal);
    start("robust", want_mutex, &robust);
    start("inherit", want_mutex, &inherit);
    start("reader", want_to_read, &written);
    start("writer", want_to_write, &written);
    start("writer-2", want_to_write, &read_by);
    start("joiner", join, NULL);
}

static void *take_turns(void *arg)
{
    uint64_t x = 1;
    (void)arg;
    for (;;) {
        pthread_mutex_lock(&normal);
        x = fixture_burn(x, TURN_NS);
        turns++;
        pthread_mutex_unlock(&normal);
    }
    return (void *)(uintptr_t)x;
}

static void convoy(void)
{
    for (int i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof(name), "turn-%d", i);
        start(name, take_turns, NULL);
    }
}

struct link {
    pthread_mutex_t *own, *others;
};

static void *hold_and_want(void *arg)
{
    struct link *l = arg;
    pthread_mutex_lock(l->own);
    pthread_barrier_wait(&begun);
    pthread_mutex_lock(l->others);
    fixture_die("a mutex that another has");
    return NULL;
}

static void *want_own(void *arg)
{
    pthread_mutex_lock(arg);
    pthread_mutex_lock(arg);
    fixture_die("a mutex that it has itself");
    return NULL;
}

static void deadlock(void)
{
    static struct link links[] = {
        {&normal, &again}, {&again, &third_mutex}, {&third_mutex, &normal}};
    static pthread_mutex_t self = PTHREAD_MUTEX_INITIALIZER;
    pthread_barrier_init(&begun, NULL, 4);
    start("first", hold_and_want, &links[0]);
    start("second", hold_and_want, &links[1]);
    start("third", hold_and_want, &links[2]);
    start("self", want_own, &self);
    pthread_barrier_wait(&begun);
    start("bystander", want_mutex, &normal);
}

/* As a contended mutex looks: lock, count, owner, users, kind. */
static uint32_t looks[4][8];

static void look_like_held(uint32_t words[8])
{
    const uint32_t held_mutex[8] = {2, 0, (uint32_t)holder_tid, 1, 0};
    memcpy(words, held_mutex, sizeof(held_mutex));
}

static void *wait_raw(void *arg)
{
    syscall(SYS_futex, arg, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
    fixture_die("a wait that nothing ends");
    return NULL;
}

/* Rust's mutex waits so. */
static void *wait_bitset(void *arg)
{
    syscall(SYS_futex, arg, FUTEX_WAIT_BITSET_PRIVATE, 2, NULL, NULL, -1);
    fixture_die("a wait that nothing ends");
    return NULL;
}

static void *wait_for_semaphore(void *arg)
{
    while (sem_wait(arg) == 0 || errno == EINTR)
        continue;
    return NULL;
}

static void *wait_for_cond(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&again);
    while (!signalled)
        pthread_cond_wait(&cond, &again);
    return NULL;
}

static void *idle(void *arg)
{
    (void)arg;
    holder_tid = own_tid();
    pthread_barrier_wait(&begun);
    sleep_for_ever();
    return NULL;
}

static void decoys(void)
{
    pthread_barrier_init(&begun, NULL, 2);
    holder_thread = start("holder", idle, NULL);
    pthread_barrier_wait(&begun);
    for (int i = 0; i < 4; i++)
        look_like_held(looks[i]);
    start("raw", wait_raw, looks[0]);
    start("bitset", wait_bitset, looks[1]);
    sem_init((sem_t *)(void *)looks[2], 0, 0);
    start("semaphore", wait_for_semaphore, looks[2]);
    start("condition", wait_for_cond, NULL);
}

static bool sleeps(const char *tid)
{
    char path[300], text[300] = "";
    snprintf(path, sizeof(path), "/proc/self/task/%s/stat", tid);
    FILE *stat = fopen(path, "re");
    if (!stat || !fgets(text, sizeof(text), stat))
        fixture_die(path);
    fclose(stat);
    const char *end = strrchr(text, ')');
    return end && end[1] == ' ' && end[2] == 'S';
}

/* All but this thread. */
static bool all_sleep(void)
{
    DIR *tasks = opendir("/proc/self/task");
    bool all = tasks != NULL;
    for (struct dirent *e; all && (e = readdir(tasks));)
        all = e->d_name[0] == '.' || atol(e->d_name) == getpid() || sleeps(e->d_name);
    closedir(tasks);
    return all;
}

/* Where each has come to its wait: those that wait for another's move sleep for a moment only. */
static void wait_until_all_sleep(void)
{
    for (int in_a_row = 0; in_a_row < 10; in_a_row = all_sleep() ? in_a_row + 1 : 0)
        nanosleep(&(struct timespec){0, 2000000}, NULL);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*begin)(void);
    } modes[] = {{"held", held}, {"convoy", convoy}, {"deadlock", deadlock}, {"decoys", decoys}};
    void (*begin)(void) = NULL;
    sigset_t set;
    fixture_begin();
    for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++)
        if (argc > 1 && !strcmp(argv[1], modes[i].name))
            begin = modes[i].begin;
    if (!begin)
        fixture_die("held, convoy, deadlock or decoys");
    begin();
    if (begin != convoy)
        wait_until_all_sleep();
    fixture_ready();
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    while (sigwaitinfo(&set, NULL) != SIGTERM)
        continue;
    printf("turns=%u\n", turns);
    fflush(stdout);
    _exit(0);
}

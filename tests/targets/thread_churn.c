/* SPDX-License-Identifier: MIT */
/*
 * thread_churn PAGE [CREATORS [PER_S]]: creators that make threads as fast as they can, or so many
 * a second, eight at a time: one batch is joined, the next detached. A creator that is late does
 * not hurry afterwards. PAGE is a file of `struct page`, shared with the test. While its `hold` is
 * set the creators make no new threads; `holding` counts those that wait.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "fixture.h"

enum {
    AT_ONCE = 8,
    DETACHED_MAX = 32,
    CREATORS_MAX = 16,
    WORK_STEPS = 10000,
    LATE_MAX_NS = 100000000
};

struct page {
    atomic_uint_fast64_t hold; /* the test's */
    atomic_uint_fast64_t holding;
    atomic_uint_fast64_t made, joined, detached, detached_ended;
    atomic_uint_fast64_t failed, last_errno, wrong_value;
};

struct creator {
    pthread_t thread;
    atomic_uint_fast64_t detached_ended;
    uint64_t detached;
};

static struct page *page;
static int64_t round_ns; /* that one creator's two batches should take; 0: no pace */

static struct page *map_page(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct page)) != 0)
        fixture_die(path);
    void *p = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        fixture_die("mmap");
    return p;
}

NOINLINE static uint64_t churned_work(uint64_t x)
{
    return fixture_steps(x, WORK_STEPS) | 1;
}

static void *brief(void *arg)
{
    uint64_t *x = arg;
    *x = churned_work(*x);
    return x;
}

static void *brief_detached(void *arg)
{
    struct creator *c = arg;
    if (churned_work((uint64_t)(uintptr_t)c) != 0)
        c->detached_ended++;
    page->detached_ended++;
    return NULL;
}

/* pthread functions return their errno. */
static bool went_well(int rc)
{
    if (rc == 0)
        return true;
    page->failed++;
    page->last_errno = (uint64_t)rc;
    return false;
}

static void join_batch(void)
{
    pthread_t threads[AT_ONCE];
    uint64_t x[AT_ONCE];
    int n = 0;
    for (; n < AT_ONCE; n++) {
        x[n] = (uint64_t)n + 1;
        if (!went_well(pthread_create(&threads[n], NULL, brief, &x[n])))
            break;
        page->made++;
    }
    while (n-- > 0) {
        void *value = NULL;
        if (went_well(pthread_join(threads[n], &value)))
            page->joined++;
        page->wrong_value += value != &x[n];
    }
}

/*
 * Detached from the start: pthread_detach() of a thread that may end at the same moment is a race
 * in glibc 2.36 (its bug 19951), which frees a stranger's thread if the caller is preempted in it.
 */
static void detach_batch(struct creator *c)
{
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (int n = 0; n < AT_ONCE; n++) {
        pthread_t thread;
        while (c->detached - c->detached_ended >= DETACHED_MAX)
            sched_yield();
        if (!went_well(pthread_create(&thread, &detached, brief_detached, c)))
            break;
        page->made++;
        page->detached++;
        c->detached++;
    }
    pthread_attr_destroy(&detached);
}

static void hold(void)
{
    page->holding++;
    while (page->hold && !fixture_stop_asked())
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    page->holding--;
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Waits until the next round is due. */
static int64_t keep_pace(int64_t due)
{
    int64_t now = now_ns();
    due += round_ns;
    if (due < now - LATE_MAX_NS)
        return now - LATE_MAX_NS;
    if (due <= now)
        return due;
    struct timespec t = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        ;
    return due;
}

static void *create(void *arg)
{
    struct creator *c = arg;
    int64_t due = now_ns();
    while (!fixture_stop_asked()) {
        if (page->hold)
            hold();
        join_batch();
        detach_batch(c);
        if (round_ns)
            due = keep_pace(due);
    }
    while (c->detached_ended < c->detached)
        sched_yield();
    return NULL;
}

static void report(void)
{
    printf("made=%" PRIu64 "\njoined=%" PRIu64 "\ndetached=%" PRIu64 "\ndetached_ended=%" PRIu64
           "\nfailed=%" PRIu64 "\nlast_errno=%" PRIu64 "\nwrong_value=%" PRIu64 "\n",
           page->made, page->joined, page->detached, page->detached_ended, page->failed,
           page->last_errno, page->wrong_value);
}

int main(int argc, char **argv)
{
    static struct creator creators[CREATORS_MAX];
    long n = fixture_arg(argc, argv, 2, 3), per_s = fixture_arg(argc, argv, 3, 0);
    if (argc < 2 || n < 1 || n > CREATORS_MAX || per_s < 0)
        return 2;
    if (per_s)
        round_ns = 2 * AT_ONCE * n * INT64_C(1000000000) / per_s;
    fixture_begin();
    page = map_page(argv[1]);
    for (long i = 0; i < n; i++)
        if (pthread_create(&creators[i].thread, NULL, create, &creators[i]) != 0)
            fixture_die("pthread_create");
    fixture_ready();
    for (long i = 0; i < n; i++)
        pthread_join(creators[i].thread, NULL);
    report();
    return 0;
}

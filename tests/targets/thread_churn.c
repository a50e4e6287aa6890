/* SPDX-License-Identifier: MIT */
/*
 * thread_churn PAGE [CREATORS]: creators that make threads as fast as they can, eight at a time:
 * one batch is joined, the next detached. PAGE is a file of `struct page`, shared with the test.
 * While its `hold` is set the creators make no new threads; `holding` counts those that wait.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "fixture.h"

enum { AT_ONCE = 8, DETACHED_MAX = 32, CREATORS_MAX = 16, WORK_STEPS = 10000 };

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

static void *create(void *arg)
{
    struct creator *c = arg;
    while (!fixture_stop_asked()) {
        if (page->hold)
            hold();
        join_batch();
        detach_batch(c);
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
    long n = fixture_arg(argc, argv, 2, 3);
    if (argc < 2 || n < 1 || n > CREATORS_MAX)
        return 2;
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

/* SPDX-License-Identifier: MIT */
#include "half.h"

#include <errno.h>
#include <inttypes.h>

#include "fixture.h"

enum { DRIVE_NS = 4000000, EVENT_BUSY_NS = 2000000, TIMEOUT_BUSY_NS = 7000000 };

struct worker {
    const struct half_ops *ops;
    struct half *half;
};

static void note_other(struct half *h, int err)
{
    h->other++;
    h->last_other = err;
}

static void *event_main(void *arg)
{
    struct worker *w = arg;
    struct half *h = w->half;
    uint64_t x = 1;
    while (!h->done || h->events < h->drives) {
        int err = w->ops->wait_event(h);
        if (err == EINTR) {
            h->event_eintr++;
            continue;
        }
        if (err != 0)
            note_other(h, err);
        h->events++;
        x = fixture_burn(x, EVENT_BUSY_NS);
    }
    return (void *)(uintptr_t)(x & 1);
}

static void note_timeout(struct half *h, uint64_t waited_ns)
{
    h->timeouts++;
    if (waited_ns < HALF_TIMEOUT_NS)
        h->early++;
    else if (waited_ns - HALF_TIMEOUT_NS > h->late_max_ns)
        h->late_max_ns = waited_ns - HALF_TIMEOUT_NS;
}

static void *timeout_main(void *arg)
{
    struct worker *w = arg;
    struct half *h = w->half;
    uint64_t x = 1;
    while (!h->done) {
        uint64_t start = fixture_now_ns();
        int err = w->ops->wait_timeout(h);
        if (err == EINTR) {
            h->timeout_eintr++;
            continue;
        }
        if (err == ETIMEDOUT)
            note_timeout(h, fixture_now_ns() - start);
        else
            note_other(h, err);
        x = fixture_burn(x, TIMEOUT_BUSY_NS);
    }
    return (void *)(uintptr_t)(x & 1);
}

static void drive_until_stopped(const struct half_ops *ops, struct half *h)
{
    uint64_t next = fixture_now_ns();
    while (!fixture_stop_asked()) {
        next += DRIVE_NS;
        struct timespec t = {(time_t)(next / 1000000000U), (long)(next % 1000000000U)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        h->drives++;
        ops->drive(h);
    }
    /* The last event is announced before the end is: the thread waits for it, and goes. */
    h->drives++;
    h->done = true;
    ops->drive(h);
}

static void report(const struct half *h, double seconds)
{
    printf("seconds=%.3f\ndrives=%" PRIuFAST64 "\nevents=%" PRIu64 "\ntimeouts=%" PRIu64 "\n",
           seconds, h->drives, h->events, h->timeouts);
    printf("eintr=%" PRIu64 "\nevent_eintr=%" PRIu64 "\ntimeout_eintr=%" PRIu64 "\n",
           h->event_eintr + h->timeout_eintr, h->event_eintr, h->timeout_eintr);
    printf("other=%" PRIu64 "\nlast_other=%d\nearly=%" PRIu64 "\nlate_max_us=%" PRIu64 "\n",
           h->other, h->last_other, h->early, h->late_max_ns / 1000);
}

int half_main(const struct half_ops *ops)
{
    struct half h = {.event = -1, .timeout = -1};
    struct worker w = {ops, &h};
    fixture_begin();
    ops->open(&h);
    if (pthread_create(&h.event_thread, NULL, event_main, &w) != 0 ||
        pthread_create(&h.timeout_thread, NULL, timeout_main, &w) != 0)
        fixture_die("pthread_create");
    uint64_t start = fixture_now_ns();
    fixture_ready();
    drive_until_stopped(ops, &h);
    pthread_join(h.event_thread, NULL);
    pthread_join(h.timeout_thread, NULL);
    report(&h, (double)(fixture_now_ns() - start) / 1e9);
    if (ops->close)
        ops->close(&h);
    return 0;
}

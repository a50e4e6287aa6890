/* SPDX-License-Identifier: MIT */
#ifndef TARGETS_HALF_H
#define TARGETS_HALF_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

/*
 * Servers that are half busy. One thread waits for events that the main thread sends every 4 ms,
 * and computes for 2 ms after each. Another waits 7 ms for what never comes, and computes for
 * 7 ms. No signal with a handler is sent to either, but where wait_event() itself says so: every
 * EINTR that they see is somebody else's doing.
 */

#define HALF_TIMEOUT_NS 7000000U

struct half {
    int event, timeout; /* descriptors or ids, as the file that fills them likes */
    pthread_t event_thread, timeout_thread;
    atomic_uint_fast64_t drives;
    atomic_bool done;
    uint64_t events, timeouts, event_eintr, timeout_eintr, other, early, late_max_ns;
    int last_other;
};

struct half_ops {
    void (*open)(struct half *h);
    void (*drive)(struct half *h);
    int (*wait_event)(struct half *h);   /* 0 or errno */
    int (*wait_timeout)(struct half *h); /* errno; ETIMEDOUT where it has expired */
    void (*close)(struct half *h);       /* may be NULL */
};

int half_main(const struct half_ops *ops);

#endif

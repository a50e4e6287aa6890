/* SPDX-License-Identifier: MIT */
#ifndef SYMBOLS_HEARTBEAT_H
#define SYMBOLS_HEARTBEAT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Signs of life of what may take its time, for whoever waits for it in another process. */
struct heartbeat {
    _Atomic uint64_t beats;
    _Atomic bool downloads; /* something from a server, which has its own limit of time */
};

/* p may be NULL. Only one thread beats. */
static inline void heartbeat_beat(struct heartbeat *p)
{
    if (!p)
        return;
    uint64_t beats = atomic_load_explicit(&p->beats, memory_order_relaxed);
    atomic_store_explicit(&p->beats, beats + 1, memory_order_relaxed);
}

static inline void heartbeat_download(struct heartbeat *p, bool downloads)
{
    if (p)
        atomic_store_explicit(&p->downloads, downloads, memory_order_relaxed);
    heartbeat_beat(p);
}

#endif

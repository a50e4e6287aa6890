/* SPDX-License-Identifier: MIT */
/* known_calls: calls functions that last 5, 50 and 500 ms and 2 s, in a thread each, most of the
 * time asleep in them, with some milliseconds between two calls. Prints how many ended, and their
 * mean in microseconds, as of SIGTERM. */
#include <inttypes.h>
#include <pthread.h>

#include "fixture.h"

struct caller {
    const char *name;
    uint64_t (*call)(uint64_t x, uint64_t ns);
    uint64_t ns, calls, sum_ns;
    pthread_t thread;
};

static volatile bool ended;

__attribute__((always_inline)) static inline uint64_t mostly_asleep(uint64_t x, uint64_t ns)
{
    uint64_t busy_ns = ns / 2 < 10000000U ? ns / 2 : 10000000U;
    struct timespec asleep = {.tv_sec = (time_t)((ns - busy_ns) / 1000000000U),
                              .tv_nsec = (long)((ns - busy_ns) % 1000000000U)};
    nanosleep(&asleep, NULL);
    return fixture_burn(x, busy_ns) + 1;
}

#define LASTING(name)                                      \
    NOINLINE static uint64_t name(uint64_t x, uint64_t ns) \
    {                                                      \
        x = mostly_asleep(x, ns);                          \
        return fixture_steps(x, 10);                       \
    }
LASTING(lasts_5ms)
LASTING(lasts_50ms)
LASTING(lasts_500ms)
LASTING(lasts_2s)

NOINLINE static uint64_t between_calls(uint64_t x)
{
    return fixture_burn(x, 6000000) + 1;
}

static void *caller_main(void *arg)
{
    struct caller *c = arg;
    uint64_t x = 1;
    while (!ended) {
        x = between_calls(x);
        uint64_t start = fixture_now_ns();
        x = c->call(x, c->ns);
        c->sum_ns += fixture_now_ns() - start;
        c->calls++;
    }
    return (void *)(uintptr_t)(x & 1);
}

int main(void)
{
    struct caller callers[] = {{"lasts_5ms", lasts_5ms, 5000000, 0, 0, 0},
                               {"lasts_50ms", lasts_50ms, 50000000, 0, 0, 0},
                               {"lasts_500ms", lasts_500ms, 500000000, 0, 0, 0},
                               {"lasts_2s", lasts_2s, 2000000000, 0, 0, 0}};
    enum { CALLERS = sizeof(callers) / sizeof(*callers) };
    fixture_begin();
    for (int i = 0; i < CALLERS; i++)
        pthread_create(&callers[i].thread, NULL, caller_main, &callers[i]);
    fixture_ready();
    while (!fixture_stop_asked())
        usleep(2000);
    for (int i = 0; i < CALLERS; i++)
        printf("%s_calls=%" PRIu64 "\n%s_mean_us=%" PRIu64 "\n", callers[i].name, callers[i].calls,
               callers[i].name, callers[i].calls ? callers[i].sum_ns / callers[i].calls / 1000 : 0);
    fflush(stdout);
    _exit(0);
}

/* SPDX-License-Identifier: MIT */
/*
 * stamped_stacks [THREADS] [SLOW] [MEAN_US] [STAGE_MS]: stacks that say which moment they are of.
 *
 * A walker goes down f0..f7 in an order that is a function of a counter of 64 moments: even steps
 * carry its low three bits, odd steps its high three, each plus the step, so that two neighbours
 * anywhere in a stack tell the moment, and a stack that mixes two moments contradicts itself. At
 * the bottom it sleeps very shortly, so that it often wakes while it is being copied.
 *
 * A slow thread sleeps at stage0 .. stage7 in turn, and says how long it was at each.
 */
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "fixture.h"

enum { MOMENTS = 64, STAGES = 8, THREADS_MAX = 1024 };

struct walker {
    uint64_t random;
    unsigned moment, depth;
    unsigned mean_us;
    int kind;
    int pipe[2];
    uint32_t futex;
    _Atomic uint64_t walks, wrong;
};

struct slow {
    unsigned stage, stage_ms;
    _Atomic uint64_t visits[STAGES], ns[STAGES];
};

static _Atomic bool stopping;

static unsigned next_random(uint64_t *state)
{
    *state = fixture_steps(*state, 1);
    return (unsigned)(*state >> 32);
}

static bool expected(long rc, int want_errno)
{
    return rc == 0 || (rc < 0 && errno == want_errno);
}

NOINLINE static bool leaf_nanosleep(struct walker *w, struct timespec *t)
{
    (void)w;
    return nanosleep(t, NULL) == 0;
}

NOINLINE static bool leaf_futex(struct walker *w, struct timespec *t)
{
    return expected(syscall(SYS_futex, &w->futex, FUTEX_WAIT, 0, t, NULL, 0), ETIMEDOUT);
}

NOINLINE static bool leaf_poll(struct walker *w, struct timespec *t)
{
    struct pollfd fd = {w->pipe[0], POLLIN, 0};
    return ppoll(&fd, 1, t, NULL) == 0;
}

/* Its partner writes when it likes. */
NOINLINE static bool leaf_read(struct walker *w, struct timespec *t)
{
    char byte;
    (void)t;
    return read(w->pipe[0], &byte, 1) == 1;
}

NOINLINE static bool leaf(struct walker *w)
{
    static bool (*const leaves[])(struct walker *, struct timespec *) = {leaf_nanosleep, leaf_futex,
                                                                         leaf_poll, leaf_read};
    struct timespec t = {0, 1000L * (next_random(&w->random) % (2 * w->mean_us)) + 1};
    bool fine = leaves[w->kind](w, &t);
    __asm__ volatile("" ::: "memory");
    return fine;
}

static bool step(struct walker *w, unsigned at);

/* All alike but for the marker: a torn copy then keeps the shape of a stack, and is seen. */
#define WALK(n)                                              \
    NOINLINE static bool f##n(struct walker *w, unsigned at) \
    {                                                        \
        __asm__ volatile("# walk " #n);                      \
        bool fine = step(w, at + 1);                         \
        __asm__ volatile("" ::: "memory");                   \
        return fine;                                         \
    }

WALK(0)
WALK(1)
WALK(2)
WALK(3)
WALK(4)
WALK(5)
WALK(6)
WALK(7)

__attribute__((always_inline)) static inline bool step(struct walker *w, unsigned at)
{
    static bool (*const walks[])(struct walker *, unsigned) = {f0, f1, f2, f3, f4, f5, f6, f7};
    if (at == w->depth)
        return leaf(w);
    unsigned bits = at % 2 ? w->moment >> 3 : w->moment;
    return walks[(bits + at) % 8](w, at);
}

static void *walker(void *arg)
{
    struct walker *w = arg;
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    pthread_setname_np(pthread_self(), "walker");
    while (!stopping) {
        w->moment = (w->moment + 1) % MOMENTS;
        w->depth = 6 + w->moment % 5 + w->moment / 8;
        if (!step(w, 0))
            w->wrong++;
        w->walks++;
    }
    return NULL;
}

static void *writer(void *arg)
{
    struct walker *w = arg;
    uint64_t random = w->random ^ 0x5555;
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    pthread_setname_np(pthread_self(), "writer");
    while (!stopping) {
        nanosleep(&(struct timespec){0, 1000L * (next_random(&random) % (2 * w->mean_us))}, NULL);
        if (write(w->pipe[1], "x", 1) != 1)
            fixture_die("write");
    }
    return NULL;
}

#define STAGE(n)                                      \
    NOINLINE static void stage##n(struct timespec *t) \
    {                                                 \
        nanosleep(t, NULL);                           \
        __asm__ volatile("# stage " #n ::: "memory"); \
    }

STAGE(0)
STAGE(1)
STAGE(2)
STAGE(3)
STAGE(4)
STAGE(5)
STAGE(6)
STAGE(7)

static void *slow(void *arg)
{
    static void (*const stages[])(struct timespec *) = {stage0, stage1, stage2, stage3,
                                                        stage4, stage5, stage6, stage7};
    struct slow *s = arg;
    uint64_t from = fixture_now_ns();
    pthread_setname_np(pthread_self(), "slow");
    while (!stopping) {
        unsigned at = s->stage;
        uint64_t ns = (at % 2 ? 1000000ull : 3000000ull) * s->stage_ms;
        stages[at](&(struct timespec){(long)(ns / 1000000000), (long)(ns % 1000000000)});
        uint64_t now = fixture_now_ns();
        s->ns[at] += now - from;
        s->visits[at]++;
        from = now;
        s->stage = (at + 1) % STAGES;
    }
    return NULL;
}

static void start(void *(*run)(void *), void *arg)
{
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 65536);
    if (pthread_create(&thread, &attr, run, arg) != 0)
        fixture_die("pthread_create");
    pthread_attr_destroy(&attr);
}

static void start_walker(struct walker *w, long i, unsigned mean_us)
{
    *w = (struct walker){.random = (uint64_t)i + 1, .mean_us = mean_us, .kind = (int)(i % 4)};
    if (pipe(w->pipe) != 0)
        fixture_die("pipe");
    start(walker, w);
    if (w->kind == 3)
        start(writer, w);
}

static void print_counters(const struct walker *walkers, long n, const struct slow *slows, long m)
{
    uint64_t walks = 0, wrong = 0;
    for (long i = 0; i < n; i++) {
        walks += walkers[i].walks;
        wrong += walkers[i].wrong;
    }
    printf("walks=%lu\nwrong=%lu\n", walks, wrong);
    for (int stage = 0; stage < STAGES; stage++) {
        uint64_t ns = 0, visits = 0;
        for (long i = 0; i < m; i++) {
            ns += slows[i].ns[stage];
            visits += slows[i].visits[stage];
        }
        printf("ns%d=%lu\nvisits%d=%lu\n", stage, ns, stage, visits);
    }
}

int main(int argc, char **argv)
{
    static struct walker walkers[THREADS_MAX];
    static struct slow slows[THREADS_MAX];
    long n = fixture_arg(argc, argv, 1, 16), m = fixture_arg(argc, argv, 2, 0);
    unsigned mean_us = (unsigned)fixture_arg(argc, argv, 3, 300);
    unsigned stage_ms = (unsigned)fixture_arg(argc, argv, 4, 100);
    if (n > THREADS_MAX || m > THREADS_MAX || !mean_us)
        return 2;
    fixture_begin();
    alarm(3600);
    for (long i = 0; i < n; i++)
        start_walker(&walkers[i], i, mean_us);
    for (long i = 0; i < m; i++) {
        slows[i] = (struct slow){.stage = (unsigned)i % STAGES, .stage_ms = stage_ms};
        start(slow, &slows[i]);
    }
    fixture_ready();
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    while (sigwaitinfo(&set, NULL) != SIGTERM)
        continue;
    stopping = true;
    print_counters(walkers, n, slows, m);
    fflush(stdout);
    _exit(0);
}

/* SPDX-License-Identifier: MIT */
/*
 * Too much of everything: many SLEEPERS CHURNERS MAPPERS HALVES [SECONDS]. Each sleeper sleeps at
 * the end of another stack each time, and has another name; churners make threads that end at once;
 * mappers sleep below code of a file that nobody has seen before; halves compute half of the time,
 * and do nothing new ever.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "fixture.h"

enum {
    FUNCTIONS = 32,
    SITES = 8,
    DEPTH_LEAST = 16,
    DEPTH_SPREAD = 32,
    THREADS_MAX = 2048,
    STACK_BYTES = 128 << 10,
    SLEEP_US = 10000,
    NAME_BYTES = 16,
};

struct path {
    uint64_t random;
    unsigned left; /* calls to the end of the stack */
};

static atomic_bool stopping;
static _Atomic uint64_t stacks, threads, modules, failed;

static uint64_t draw(struct path *p)
{
    return p->random = fixture_steps(p->random, 3);
}

NOINLINE static uint64_t end_of_stack(struct path *p)
{
    uint64_t us = SLEEP_US / 2 + draw(p) % SLEEP_US;
    const struct timespec wait = {.tv_nsec = (long)us * 1000};
    nanosleep(&wait, NULL);
    return us;
}

typedef uint64_t function(struct path *p);
static function *const functions[FUNCTIONS];

static function *next(struct path *p)
{
    return p->left-- ? functions[draw(p) % FUNCTIONS] : end_of_stack;
}

/* The operands keep the compiler from making one of functions, or of calls, that look alike. */
#define SITE(n)                                  \
    case n:                                      \
        x = next(p)(p);                          \
        __asm__ volatile("" : "+r"(x) : "i"(n)); \
        break;
#define FUNCTION(n)                                                         \
    NOINLINE static uint64_t f_##n(struct path *p)                          \
    {                                                                       \
        uint64_t x = 1##n;                                                  \
        __asm__ volatile("" : "+r"(x) : "i"(1##n));                         \
        switch (draw(p) % SITES) {                                          \
            SITE(0) SITE(1) SITE(2) SITE(3) SITE(4) SITE(5) SITE(6) SITE(7) \
        }                                                                   \
        return x + 1##n;                                                    \
    }
#define ENTRY(n) f_##n,
/* DO(a0), DO(a1), ... */
#define EIGHT(DO, a) DO(a##0) DO(a##1) DO(a##2) DO(a##3) DO(a##4) DO(a##5) DO(a##6) DO(a##7)
#define ALL(DO) EIGHT(DO, 0) EIGHT(DO, 1) EIGHT(DO, 2) EIGHT(DO, 3)

ALL(FUNCTION)

static function *const functions[FUNCTIONS] = {ALL(ENTRY)};

static void rename_self(struct path *p)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof(name), "n%" PRIx64, draw(p));
    prctl(PR_SET_NAME, name);
}

static void begin_path(struct path *p)
{
    p->left = DEPTH_LEAST + (unsigned)(draw(p) % DEPTH_SPREAD);
    atomic_fetch_add(&stacks, 1);
}

static void *sleeper(void *arg)
{
    struct path p = {.random = (uintptr_t)arg};
    while (!atomic_load(&stopping)) {
        rename_self(&p);
        begin_path(&p);
        functions[0](&p);
    }
    return NULL;
}

static void *brief(void *arg)
{
    struct path p = {.random = (uintptr_t)arg};
    rename_self(&p);
    return (void *)(uintptr_t)end_of_stack(&p);
}

static bool start(pthread_t *thread, void *(*run)(void *), uintptr_t seed)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    bool good = pthread_create(thread, &attr, run, (void *)seed) == 0;
    pthread_attr_destroy(&attr);
    atomic_fetch_add(good ? &threads : &failed, 1);
    return good;
}

static void *churner(void *arg)
{
    struct path p = {.random = (uintptr_t)arg};
    while (!atomic_load(&stopping)) {
        pthread_t thread;
        if (start(&thread, brief, (uintptr_t)draw(&p)))
            pthread_join(thread, NULL);
    }
    return NULL;
}

/* sub $8,%rsp; call *%rdi; add $8,%rsp; ret */
static const uint8_t code[] = {0x48, 0x83, 0xec, 8, 0xff, 0xd7, 0x48, 0x83, 0xc4, 8, 0xc3};
typedef uint64_t calls_first(uint64_t (*first)(void *, struct path *), struct path *p);

NOINLINE static uint64_t below_module(void *first, struct path *p)
{
    return first ? end_of_stack(p) + 1 : 0;
}

static void call_through(void *mapped, struct path *p)
{
    calls_first *call;
    memcpy(&call, &mapped, sizeof(call));
    call(below_module, p);
}

static void *mapper(void *arg)
{
    struct path p = {.random = (uintptr_t)arg};
    while (!atomic_load(&stopping)) {
        int fd = memfd_create("module", MFD_CLOEXEC);
        bool good = fd >= 0 && write(fd, code, sizeof(code)) == (ssize_t)sizeof(code);
        void *at =
            good ? mmap(NULL, sizeof(code), PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) : MAP_FAILED;
        atomic_fetch_add(at != MAP_FAILED ? &modules : &failed, 1);
        if (at != MAP_FAILED) {
            call_through(at, &p);
            munmap(at, sizeof(code));
        }
        close(fd);
    }
    return NULL;
}

NOINLINE static uint64_t half_work(uint64_t x)
{
    return fixture_burn(x, SLEEP_US / 2 * 1000);
}

static void *half(void *arg)
{
    const struct timespec wait = {.tv_nsec = SLEEP_US / 2 * 1000};
    uint64_t x = (uintptr_t)arg;
    while (!atomic_load(&stopping)) {
        x = half_work(x);
        nanosleep(&wait, NULL);
    }
    return (void *)(uintptr_t)x;
}

int main(int argc, char **argv)
{
    static void *(*const runs[])(void *) = {sleeper, churner, mapper, half};
    enum { KINDS = sizeof(runs) / sizeof(*runs) };
    static pthread_t all[THREADS_MAX];
    const struct timespec moment = {.tv_nsec = 20000000};
    unsigned n = 0;
    fixture_begin();
    alarm((unsigned)fixture_arg(argc, argv, KINDS + 1, 120));
    for (int kind = 0; kind < KINDS; kind++)
        for (long i = fixture_arg(argc, argv, kind + 1, 0); i > 0 && n < THREADS_MAX; i--)
            n += start(&all[n], runs[kind], 2 * n + 1);
    fixture_ready();
    while (!fixture_stop_asked())
        nanosleep(&moment, NULL);
    atomic_store(&stopping, true);
    while (n > 0)
        pthread_join(all[--n], NULL);
    printf("stacks=%" PRIu64 "\nthreads=%" PRIu64 "\nmodules=%" PRIu64 "\nfailed=%" PRIu64 "\n",
           stacks, threads, modules, failed);
    return 0;
}

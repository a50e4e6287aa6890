/* SPDX-License-Identifier: MIT */
/*
 * calls_matrix BUSY_US [CALL...]: each of the calls (all of them, if none is named) in a thread of
 * its own, which computes for about BUSY_US before each. At the end a line for each call:
 *
 *     NAME=ROUNDS,EINTR,SHORT,EARLY,LATE_MAX_US,ERRORS,LAST_ERROR
 *
 * or NAME=skipped. `calls_matrix` alone lists the names.
 */
#include <inttypes.h>
#include <string.h>
#include <sys/syscall.h>

#include "calls.h"
#include "fixture.h"

enum { SEATS_MAX = 96, TEND_NS = 500000, STACK_BYTES = 256 * 1024 };

static const struct call *const tables[] = {calls_timed, calls_streams, calls_locks, calls_events};

struct room {
    struct seat seats[SEATS_MAX];
    size_t n;
    uint64_t busy_ns;
    atomic_bool ending;
    atomic_size_t working;
};

static struct room room;

/* ---- a waiter */

static void note_timeout(struct seat *s, uint64_t ns)
{
    uint64_t timeout = s->call->timeout_ns;
    if (ns + s->call->grain_ns < timeout)
        s->early++;
    else if (ns > timeout && ns - timeout > s->late_max_ns)
        s->late_max_ns = ns - timeout;
}

static void note(struct seat *s, int outcome, uint64_t ns)
{
    s->rounds++;
    if (outcome == EINTR) {
        s->eintr++;
    } else if (outcome == CALL_SHORT) {
        s->cut++;
    } else if (outcome != CALL_GOOD) {
        s->errors++;
        s->last_error = outcome;
    } else if (s->call->timeout_ns) {
        note_timeout(s, ns);
    }
}

static void wait_once(struct seat *s)
{
    uint64_t start = fixture_now_ns();
    s->since = start;
    int outcome = s->call->wait(s);
    s->since = 0;
    note(s, outcome, fixture_now_ns() - start);
}

static void yield_ms(void)
{
    struct timespec t = {0, 1000000};
    clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL);
}

static void *sit(void *arg)
{
    struct seat *s = arg;
    uint64_t x = (uintptr_t)s | 1;
    s->tid = (int)syscall(SYS_gettid);
    while (!room.ending) {
        /* Between a half and one and a half, so that no rhythm hides anything. */
        x = fixture_burn(x, room.busy_ns / 2 + x % (room.busy_ns + 1));
        if (s->call->prepare && !s->call->prepare(s))
            yield_ms();
        else
            wait_once(s);
    }
    room.working--;
    return NULL;
}

/* ---- the feeder */

static void serve(struct seat *s, uint64_t now)
{
    uint64_t since = s->since;
    if (s->call->tend)
        s->call->tend(s);
    if (!s->call->feed || !since || since + CALL_BLOCK_NS > now)
        return;
    /* Should it still wait after that time again, it gets more: it may have been late. */
    atomic_compare_exchange_strong(&s->since, &since, now);
    s->call->feed(s);
}

static void serve_all(void)
{
    uint64_t next = fixture_now_ns();
    while (room.working) {
        next += TEND_NS;
        struct timespec t = {(time_t)(next / 1000000000U), (long)(next % 1000000000U)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        uint64_t now = fixture_now_ns();
        if (now > next)
            next = now;
        for (size_t i = 0; i < room.n; i++)
            if (!room.seats[i].skipped)
                serve(&room.seats[i], now);
        if (fixture_stop_asked())
            room.ending = true;
    }
}

/* ---- the room */

static bool is_named(const char *name, int argc, char **argv)
{
    for (int i = 2; i < argc; i++)
        if (strcmp(name, argv[i]) == 0)
            return true;
    return argc <= 2;
}

static void add(const struct call *call)
{
    if (room.n == SEATS_MAX)
        fixture_die("too many calls");
    struct seat *s = &room.seats[room.n++];
    s->call = call;
    if (call->open)
        call->open(s);
}

static void each_call(void (*act)(const struct call *call), int argc, char **argv)
{
    for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
        for (const struct call *call = tables[t]; call->name; call++)
            if (is_named(call->name, argc, argv))
                act(call);
}

static void print_name(const struct call *call)
{
    puts(call->name);
}

static void take_seats(void)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    for (size_t i = 0; i < room.n; i++) {
        struct seat *s = &room.seats[i];
        if (s->skipped)
            continue;
        room.working++;
        if (pthread_create(&s->thread, &attr, sit, s) != 0)
            fixture_die("pthread_create");
        pthread_setname_np(s->thread, s->call->name); /* too long a name is none */
    }
}

static void leave(struct seat *s)
{
    if (s->skipped) {
        printf("%s=skipped\n", s->call->name);
        return;
    }
    pthread_join(s->thread, NULL);
    if (s->call->close)
        s->call->close(s);
    printf("%s=%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%d\n",
           s->call->name, s->rounds, s->eintr, s->cut, s->early, s->late_max_ns / 1000, s->errors,
           s->last_error);
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        each_call(print_name, argc, argv);
        return 0;
    }
    fixture_begin();
    fixture_block(SIGUSR1);
    fixture_block(SIGUSR2);
    /* Of an ignored signal that comes while its thread is traced the kernel wakes another thread,
     * whose call then fails (sig_ignored() and complete_signal() in kernel/signal.c). No profiler
     * can mend that, and it is not what is asked here. */
    fixture_block(SIGCHLD);
    room.busy_ns = (uint64_t)fixture_arg(argc, argv, 1, 100) * 1000;
    each_call(add, argc, argv);
    take_seats();
    fixture_ready();
    serve_all();
    for (size_t i = 0; i < room.n; i++)
        leave(&room.seats[i]);
    return 0;
}

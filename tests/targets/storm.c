/* SPDX-License-Identifier: MIT */
/*
 * storm WITNESS_FILE: until the stop a child queues real-time signals with sequence numbers, and
 * two timers tick a thousand times a second. Each signal number has one receiver: the first of both
 * kinds come into handlers over a computing thread, the others are fetched with sigwaitinfo. The
 * file holds numbers of 64 bits which grow while it runs: the progress of each receiver, and how
 * many signals were queued for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "fixture.h"

enum {
    RECEIVERS = 3,
    BURST = 30,
    BURST_NS = 2000000,
    AHEAD_MAX = 3000,
    TICKERS = 2,
    TICK_NS = 1000000
};

struct receiver {
    uint64_t disordered, foreign, eintr;
    int number;
};

/*
 * A delivery stands for itself and its overruns: for all expirations until the kernel dequeued it.
 * That was after the receiver had done with the one before.
 */
struct ticker {
    timer_t timer;
    uint64_t first_ns, last_ns;
    uint64_t missing, surplus; /* expirations, at the worst moment */
    uint64_t foreign;
    atomic_uint_fast64_t deliveries, expirations;
};

struct witness {
    atomic_uint_fast64_t progress[RECEIVERS], sent[RECEIVERS], received[RECEIVERS];
};

/* A handler has no other place to count. */
static struct receiver receivers[RECEIVERS];
static struct ticker tickers[TICKERS];
static pid_t sender_pid;
static struct witness *witness;

static void receive(struct receiver *r, const siginfo_t *info)
{
    if (info->si_code != SI_QUEUE || info->si_pid != sender_pid)
        r->foreign++;
    if (info->si_value.sival_int != (int)witness->received[r->number])
        r->disordered++;
    witness->received[r->number]++;
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    receive(&receivers[0], info);
}

static uint64_t expired_until(const struct ticker *t, uint64_t now)
{
    return now < t->first_ns ? 0 : (now - t->first_ns) / TICK_NS + 1;
}

static void tick(struct ticker *t, const siginfo_t *info)
{
    if (info->si_code != SI_TIMER || info->si_value.sival_ptr != t)
        t->foreign++;
    t->expirations += 1 + (uint64_t)info->si_overrun;
    uint64_t least = expired_until(t, t->last_ns);
    t->last_ns = fixture_now_ns();
    uint64_t most = expired_until(t, t->last_ns), counted = t->expirations;
    if (counted < least && least - counted > t->missing)
        t->missing = least - counted;
    if (counted > most && counted - most > t->surplus)
        t->surplus = counted - most;
    t->deliveries++;
}

static void on_tick(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    tick(&tickers[0], info);
}

static int tick_signal(int k)
{
    return SIGRTMIN + RECEIVERS + k;
}

static void *fetch_ticks(void *arg)
{
    struct ticker *t = arg;
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, tick_signal((int)(t - tickers)));
    for (;;) {
        if (sigwaitinfo(&set, &info) < 0)
            receivers[1].eintr++;
        else
            tick(t, &info);
    }
    return NULL;
}

static void *fetch(void *arg)
{
    struct receiver *r = arg;
    uint64_t x = 1;
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGRTMIN + r->number);
    for (;;) {
        if (sigwaitinfo(&set, &info) < 0)
            r->eintr++;
        else
            receive(r, &info);
        x = fixture_steps(x, 2000);
        witness->progress[r->number] += 1 + (x == 0);
    }
    return NULL;
}

static void send_one(pid_t to, int k)
{
    union sigval value = {.sival_int = (int)witness->sent[k]};
    while (sigqueue(to, SIGRTMIN + k, value) != 0) {
        if (errno != EAGAIN)
            _exit(1);
        nanosleep(&(struct timespec){0, 100000}, NULL);
    }
    witness->sent[k]++;
}

static struct timespec timespec_of(uint64_t ns)
{
    return (struct timespec){(time_t)(ns / 1000000000U), (long)(ns % 1000000000U)};
}

static uint64_t ahead(void)
{
    uint64_t n = 0;
    for (int k = 0; k < RECEIVERS; k++)
        n += witness->sent[k] - witness->received[k];
    return n;
}

/* Receivers that hardly get a CPU are not buried. Nor are they waited for for ever: those ahead may
 * be lost. */
static void wait_for_receivers(void)
{
    for (int i = 0; i < 100 && ahead() > AHEAD_MAX; i++)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}

static _Noreturn void sender(pid_t to)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    uint64_t next = fixture_now_ns();
    while (!fixture_stop_asked()) {
        for (int i = 0; i < BURST; i++)
            send_one(to, i % RECEIVERS);
        wait_for_receivers();
        next += BURST_NS;
        struct timespec t = timespec_of(next);
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
    }
    _exit(0);
}

static void open_witness(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(*witness)) != 0)
        fixture_die(path);
    void *p = mmap(NULL, sizeof(*witness), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        fixture_die("mmap");
    witness = p;
}

static void handle(int sig, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigset_t set;
    sigaction(sig, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, sig);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void start_thread(void *(*run)(void *), void *arg)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, arg) != 0)
        fixture_die("pthread_create");
}

static void start_receivers(void)
{
    for (int k = 1; k < RECEIVERS; k++) {
        receivers[k].number = k;
        start_thread(fetch, &receivers[k]);
    }
    start_thread(fetch_ticks, &tickers[1]);
    handle(SIGRTMIN, on_signal);
    handle(tick_signal(0), on_tick);
}

static void start_ticker(int k)
{
    struct ticker *t = &tickers[k];
    struct sigevent event = {
        .sigev_notify = SIGEV_SIGNAL, .sigev_signo = tick_signal(k), .sigev_value.sival_ptr = t};
    if (timer_create(CLOCK_MONOTONIC, &event, &t->timer) != 0)
        fixture_die("timer_create");
    t->first_ns = fixture_now_ns() + TICK_NS;
    struct itimerspec when = {.it_value = timespec_of(t->first_ns),
                              .it_interval = timespec_of(TICK_NS)};
    if (timer_settime(t->timer, TIMER_ABSTIME, &when, NULL) != 0)
        fixture_die("timer_settime");
}

NOINLINE static uint64_t compute_under_fire(uint64_t x)
{
    while (!fixture_stop_asked()) {
        x = fixture_steps(x, 20000);
        witness->progress[0]++;
    }
    return x;
}

static void wait_for_the_rest(void)
{
    uint64_t deadline = fixture_now_ns() + 5000000000U;
    for (int k = 0; k < RECEIVERS; k++)
        while (witness->received[k] < witness->sent[k] && fixture_now_ns() < deadline)
            sched_yield();
    /* The second from now is compared with a moment that has been. */
    for (int k = 0; k < TICKERS; k++) {
        uint64_t wanted = tickers[k].deliveries + 2;
        while (tickers[k].deliveries < wanted && fixture_now_ns() < deadline)
            sched_yield();
        if (tickers[k].deliveries < wanted)
            tickers[k].missing++;
    }
}

static void say(const char *key, uint64_t value)
{
    printf("%s=%" PRIu64 "\n", key, value);
}

static void report_signals(void)
{
    struct receiver sum = {0};
    uint64_t sent = 0, received = 0;
    for (int k = 0; k < RECEIVERS; k++) {
        sent += witness->sent[k];
        received += witness->received[k];
        sum.disordered += receivers[k].disordered;
        sum.foreign += receivers[k].foreign;
        sum.eintr += receivers[k].eintr;
    }
    say("sent", sent);
    say("received", received);
    say("disordered", sum.disordered);
    say("foreign", sum.foreign);
    say("eintr", sum.eintr);
}

static void report_ticks(void)
{
    struct ticker sum = {0};
    for (int k = 0; k < TICKERS; k++) {
        sum.expirations += tickers[k].expirations;
        sum.deliveries += tickers[k].deliveries;
        sum.missing += tickers[k].missing;
        sum.surplus += tickers[k].surplus;
        sum.foreign += tickers[k].foreign;
    }
    say("expirations", sum.expirations);
    say("ticks", sum.deliveries);
    say("ticks_missing", sum.missing);
    say("ticks_surplus", sum.surplus);
    say("ticks_foreign", sum.foreign);
}

int main(int argc, char **argv)
{
    int status;
    if (argc < 2)
        return 2;
    fixture_begin();
    open_witness(argv[1]);
    for (int k = 0; k < RECEIVERS + TICKERS; k++)
        fixture_block(SIGRTMIN + k);
    pid_t self = getpid();
    sender_pid = fork();
    if (sender_pid < 0)
        fixture_die("fork");
    if (sender_pid == 0)
        sender(self);
    start_receivers();
    for (int k = 0; k < TICKERS; k++)
        start_ticker(k);
    fixture_ready();
    uint64_t x = compute_under_fire(1);
    kill(sender_pid, SIGTERM);
    while (waitpid(sender_pid, &status, 0) < 0 && errno == EINTR)
        continue;
    wait_for_the_rest();
    report_signals();
    report_ticks();
    fflush(stdout);
    _exit(status != 0 || x == 0);
}

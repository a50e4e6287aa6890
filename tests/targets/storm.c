/* SPDX-License-Identifier: MIT */
/*
 * storm PROGRESS_FILE [COUNT]: a child queues real-time signals with sequence numbers, at least
 * COUNT and until the stop. Each number has one receiver: the first comes into a handler over a
 * computing thread, the others are fetched with sigwaitinfo. The file holds a counter for each
 * receiver, 64 bits, which grows while it runs.
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

enum { RECEIVERS = 3, BURST = 30, BURST_NS = 2000000 };

struct receiver {
    atomic_uint_fast64_t received;
    uint64_t disordered, foreign, eintr;
    int number;
};

struct shared {
    atomic_bool finish;
    atomic_uint_fast64_t sent[RECEIVERS];
};

static struct receiver receivers[RECEIVERS]; /* a handler has no other place to count */
static pid_t sender_pid;
static atomic_uint_fast64_t *progress;

static void receive(struct receiver *r, const siginfo_t *info)
{
    if (info->si_code != SI_QUEUE || info->si_pid != sender_pid)
        r->foreign++;
    if (info->si_value.sival_int != (int)r->received)
        r->disordered++;
    r->received++;
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    receive(&receivers[0], info);
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
        progress[r->number] += 1 + (x == 0);
    }
    return NULL;
}

static void send_one(pid_t to, int k, struct shared *shared)
{
    union sigval value = {.sival_int = (int)shared->sent[k]};
    while (sigqueue(to, SIGRTMIN + k, value) != 0) {
        if (errno != EAGAIN)
            _exit(1);
        nanosleep(&(struct timespec){0, 100000}, NULL);
    }
    shared->sent[k]++;
}

static _Noreturn void sender(pid_t to, struct shared *shared, uint64_t count)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    uint64_t next = fixture_now_ns();
    for (uint64_t i = 0; i < count || !shared->finish; i++) {
        send_one(to, (int)(i % RECEIVERS), shared);
        if (i % BURST != 0 || shared->finish)
            continue;
        next += BURST_NS;
        struct timespec t = {(time_t)(next / 1000000000U), (long)(next % 1000000000U)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
    }
    _exit(0);
}

static void *map_shared(int fd, size_t size)
{
    void *p =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
    if (p == MAP_FAILED)
        fixture_die("mmap");
    return p;
}

static void open_progress(const char *path)
{
    size_t size = RECEIVERS * sizeof(progress[0]);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size) != 0)
        fixture_die(path);
    progress = map_shared(fd, size);
}

static void start_receivers(void)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigset_t first;
    pthread_t thread;
    for (int k = 1; k < RECEIVERS; k++) {
        receivers[k].number = k;
        if (pthread_create(&thread, NULL, fetch, &receivers[k]) != 0)
            fixture_die("pthread_create");
    }
    sigaction(SIGRTMIN, &action, NULL);
    sigemptyset(&first);
    sigaddset(&first, SIGRTMIN);
    pthread_sigmask(SIG_UNBLOCK, &first, NULL);
}

NOINLINE static uint64_t compute_under_fire(uint64_t x)
{
    while (!fixture_stop_asked()) {
        x = fixture_steps(x, 20000);
        progress[0]++;
    }
    return x;
}

static void wait_for_the_rest(const struct shared *shared)
{
    uint64_t deadline = fixture_now_ns() + 5000000000U;
    for (int k = 0; k < RECEIVERS; k++)
        while (receivers[k].received < shared->sent[k] && fixture_now_ns() < deadline)
            sched_yield();
}

static void report(const struct shared *shared)
{
    uint64_t sent = 0, received = 0, disordered = 0, foreign = 0, eintr = 0;
    for (int k = 0; k < RECEIVERS; k++) {
        sent += shared->sent[k];
        received += receivers[k].received;
        disordered += receivers[k].disordered;
        foreign += receivers[k].foreign;
        eintr += receivers[k].eintr;
    }
    printf("sent=%" PRIu64 "\nreceived=%" PRIu64 "\ndisordered=%" PRIu64 "\nforeign=%" PRIu64
           "\neintr=%" PRIu64 "\n",
           sent, received, disordered, foreign, eintr);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    uint64_t count = (uint64_t)fixture_arg(argc, argv, 2, 100000);
    int status;
    if (argc < 2)
        return 2;
    fixture_begin();
    open_progress(argv[1]);
    for (int k = 0; k < RECEIVERS; k++)
        fixture_block(SIGRTMIN + k);
    struct shared *shared = map_shared(-1, sizeof(*shared));
    pid_t self = getpid();
    sender_pid = fork();
    if (sender_pid < 0)
        fixture_die("fork");
    if (sender_pid == 0)
        sender(self, shared, count);
    start_receivers();
    fixture_ready();
    uint64_t x = compute_under_fire(1);
    shared->finish = true;
    while (waitpid(sender_pid, &status, 0) < 0 && errno == EINTR)
        continue;
    wait_for_the_rest(shared);
    report(shared);
    _exit(status != 0 || x == 0);
}

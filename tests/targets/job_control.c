/* SPDX-License-Identifier: MIT */
/*
 * job_control PAGE ROUNDS: a parent that stops and continues its child ROUNDS times, waits for each
 * event as a shell does, and notes them. The child is what is profiled; it has a process group of
 * its own, which the terminal's stop signals can stop because its parent is in another one. It
 * counts in PAGE, a file of `struct page`, which the test may read too.
 *
 * The rounds begin when the test sets `go`. A line "events: ..." holds what the parent was told, by
 * SIGCHLD and by waitid alike: s19 stopped by signal 19, c18 continued, ? nothing in time.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "fixture.h"

enum {
    COMPUTING = 2,
    WORKERS = COMPUTING + 1, /* and one that sleeps again and again */
    CONTINUED = WORKERS,     /* SIGCONTs that were handled, from 1 */
    COUNTERS,
    STOPPED_US = 3000,
    RUNNING_US = 4000,
    AIM_NS = 4000000,
    PATIENCE_S = 5,
};

struct page {
    atomic_uint_fast64_t go; /* the test's */
    atomic_uint_fast64_t child, rounds;
    atomic_uint_fast64_t tids[COMPUTING];
    atomic_uint_fast64_t progress[COUNTERS];
    atomic_uint_fast64_t sleep_errors, handled;
};

enum kind { SENT_STOP, AIMED_STOP, TERMINAL_STOP, HANDLED_TSTP, KINDS };

struct judge {
    pid_t child;
    uint64_t moved, stuck, unlike, aimed, eintr;
};

static struct page *page; /* handlers count in it */

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

static void nap_us(long us)
{
    nanosleep(&(struct timespec){0, us * 1000}, NULL);
}

/* ---- the child */

NOINLINE static uint64_t stoppable_work(uint64_t x)
{
    return fixture_steps(x, 2000);
}

static void *compute(void *arg)
{
    atomic_uint_fast64_t *progress = arg;
    uint64_t x = 1;
    page->tids[progress - page->progress] = (uint64_t)syscall(SYS_gettid);
    for (;;) {
        x = stoppable_work(x);
        *progress += 1 + (x == 0);
    }
    return NULL;
}

/* nanosleep goes on by itself after a stop: only a handler may end it early, and has no place here
 * (sigprocmask below). */
static void *doze(void *arg)
{
    atomic_uint_fast64_t *progress = arg;
    for (;;) {
        page->sleep_errors += nanosleep(&(struct timespec){0, 500000}, NULL) != 0;
        *progress += 1;
    }
    return NULL;
}

/* As an editor does: puts its own house in order, then stops as it was asked to. */
static void on_tstp(int sig)
{
    page->handled++;
    raise(SIGSTOP);
    (void)sig;
}

static void on_cont(int sig)
{
    (void)sig;
    page->progress[CONTINUED]++;
}

static void handle(int sig, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigaction(sig, &action, NULL);
}

static _Noreturn void child_main(void)
{
    pthread_t thread;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    setpgid(0, 0);
    page->progress[CONTINUED] = 1;
    handle(SIGTSTP, on_tstp);
    handle(SIGCONT, on_cont);
    fixture_block(SIGTSTP);
    fixture_block(SIGCONT);
    for (int i = 0; i < WORKERS; i++)
        if (pthread_create(&thread, NULL, i < COMPUTING ? compute : doze, &page->progress[i]) != 0)
            fixture_die("pthread_create");
    sigset_t handled;
    sigemptyset(&handled);
    sigaddset(&handled, SIGTSTP);
    sigaddset(&handled, SIGCONT);
    pthread_sigmask(SIG_UNBLOCK, &handled, NULL);
    for (;;)
        pause();
}

/* ---- its parent */

static void read_progress(uint64_t *ret)
{
    for (int i = 0; i < COUNTERS; i++)
        ret[i] = page->progress[i];
}

static bool all_beyond(const uint64_t *before)
{
    for (int i = 0; i < COUNTERS; i++)
        if (page->progress[i] <= before[i])
            return false;
    return true;
}

static bool wait_progress(const uint64_t *before)
{
    uint64_t deadline = fixture_now_ns() + PATIENCE_S * 1000000000ULL;
    while (!all_beyond(before)) {
        if (fixture_now_ns() > deadline)
            return false;
        nap_us(50);
    }
    return true;
}

static bool same_event(const siginfo_t *told, const siginfo_t *got)
{
    return told->si_code == got->si_code && told->si_status == got->si_status &&
           told->si_pid == got->si_pid;
}

/* What waitid has to say now, if anything: written down, and returned. */
static bool take_event(struct judge *j, const siginfo_t *told)
{
    siginfo_t got = {0};
    if (waitid(P_PID, (id_t)j->child, &got, WSTOPPED | WCONTINUED | WEXITED | WNOHANG) != 0 ||
        !got.si_pid)
        return false;
    char code = got.si_code == CLD_STOPPED ? 's' : got.si_code == CLD_CONTINUED ? 'c' : 'x';
    printf(" %c%d", code, got.si_status);
    j->unlike += told && !same_event(told, &got);
    return true;
}

static void expect_event(struct judge *j)
{
    uint64_t deadline = fixture_now_ns() + PATIENCE_S * 1000000000ULL;
    sigset_t set;
    siginfo_t told;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    while (fixture_now_ns() < deadline) {
        if (sigtimedwait(&set, &told, &(struct timespec){PATIENCE_S, 0}) > 0)
            break;
        j->eintr += errno == EINTR;
    }
    if (!take_event(j, fixture_now_ns() < deadline ? &told : NULL))
        printf(" ?");
}

/* The state letter of a task; '?' where it can't be read. */
static char state_of(int stat_fd)
{
    char text[512];
    ssize_t n = pread(stat_fd, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    const char *end = strrchr(text, ')');
    return end && end[1] ? end[2] : '?';
}

/* Waits, not for long, until a computing thread stands still under a tracer. */
static void aim(struct judge *j, int stat_fd)
{
    uint64_t deadline = fixture_now_ns() + AIM_NS;
    while (fixture_now_ns() < deadline)
        if (state_of(stat_fd) == 't') {
            j->aimed++;
            return;
        }
}

static void stop_child(struct judge *j, enum kind kind, int stat_fd)
{
    static const int signals[KINDS] = {SIGSTOP, SIGSTOP, SIGTTIN, SIGTSTP};
    if (kind == AIMED_STOP)
        aim(j, stat_fd);
    kill(j->child, signals[kind]);
    expect_event(j);
}

static void one_round(struct judge *j, enum kind kind, int stat_fd)
{
    uint64_t before[COUNTERS], after[COUNTERS];
    stop_child(j, kind, stat_fd);
    read_progress(before);
    nap_us(STOPPED_US);
    read_progress(after);
    j->moved += memcmp(before, after, sizeof(before)) != 0;
    if (take_event(j, NULL))
        printf("!");
    kill(j->child, SIGCONT);
    expect_event(j);
    j->stuck += !wait_progress(after);
    nap_us(RUNNING_US);
    page->rounds++;
}

static int open_stat(struct judge *j)
{
    char path[64];
    uint64_t none[COUNTERS] = {0};
    if (!wait_progress(none))
        fixture_die("the child");
    snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", j->child, (int)page->tids[0]);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fixture_die(path);
    return fd;
}

static void judge_child(struct judge *j, long rounds, int stat_fd)
{
    printf("events:");
    for (long i = 0; i < rounds && j->stuck < 3; i++)
        one_round(j, (enum kind)(i % KINDS), stat_fd);
    printf("\nmoved=%" PRIu64 "\nstuck=%" PRIu64 "\nunlike=%" PRIu64 "\naimed=%" PRIu64
           "\neintr=%" PRIu64 "\nhandled=%" PRIu64 "\ncontinued=%" PRIu64 "\nsleep_errors=%" PRIu64
           "\nrounds=%" PRIu64 "\n",
           j->moved, j->stuck, j->unlike, j->aimed, j->eintr, page->handled,
           page->progress[CONTINUED] - 1, page->sleep_errors, page->rounds);
    printf("done\n");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct judge j = {0};
    if (argc < 3)
        return 2;
    fixture_begin();
    fixture_block(SIGCHLD);
    page = map_page(argv[1]);
    j.child = fork();
    if (j.child < 0)
        fixture_die("fork");
    if (j.child == 0)
        child_main();
    page->child = (uint64_t)j.child;
    int stat_fd = open_stat(&j);
    fixture_ready();
    while (!page->go && !fixture_stop_asked())
        nap_us(1000);
    judge_child(&j, fixture_arg(argc, argv, 2, 100), stat_fd);
    while (!fixture_stop_asked())
        nap_us(1000);
    kill(j.child, SIGKILL);
    return waitpid(j.child, NULL, 0) == j.child ? 0 : 1;
}

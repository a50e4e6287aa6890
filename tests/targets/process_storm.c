/* SPDX-License-Identifier: MIT */
/*
 * Processes that begin and end, beside threads that compute. PAGE is a file of `struct page`,
 * shared with the test and with all images of this program; it begins when the test sets `go`.
 *
 * process_storm spawn PAGE N KINDS HZ: N children, HZ a second, of these kinds in turn; each ends
 * with a code of its own, and is waited for.
 *   f fork, and exit       v vfork, and exit         w fork, and compute for 15 ms
 *   e fork and exec        p posix_spawn             l fork and exec; the leader ends, others work
 * process_storm chain PAGE N THREADS: of so many threads that compute, one that is not the leader
 * executes this program again, N times.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "fixture.h"

enum { RECORDS = 50000, SPAWNERS = 2, WORK_NS = 15000000, LEADERLESS_NS = 30000000 };
enum { CHAIN_NS = 4000000, OWN_CODES = 100 };

/* One child, or one link of the chain: CLOCK_MONOTONIC is the same for all processes. */
struct record {
    atomic_uint_fast64_t before_exec_ns, started_ns; /* 0 both: no exec */
    atomic_uint_fast64_t exited_ns, noticed_ns;
};

struct page {
    atomic_uint_fast64_t go; /* the test's */
    atomic_uint_fast64_t done, ended;
    atomic_uint_fast64_t failed, wrong, twice, eintr, left;
    struct record records[RECORDS];
};

struct storm {
    const char *path, *kinds;
    uint64_t n, interval_ns, begun_ns;
    atomic_uint_fast64_t next;
};

static struct page *page; /* of every thread and image */

static void map_page(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct page)) != 0)
        fixture_die(path);
    page = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        fixture_die("mmap");
    close(fd);
}

static void await_go(void)
{
    while (!page->go && !fixture_stop_asked())
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}

NOINLINE static uint64_t storm_work(uint64_t x, uint64_t ns)
{
    return fixture_burn(x, ns);
}

static void *compute(void *arg)
{
    uint64_t x = 1;
    (void)arg;
    while (!fixture_stop_asked())
        x = storm_work(x, 1000000);
    return x ? NULL : &page->failed;
}

static void start(void *(*body)(void *), void *arg)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, arg) != 0)
        fixture_die("pthread_create");
}

/* ---- the children */

static int code_of(uint64_t i)
{
    return (int)(i % OWN_CODES) + 1;
}

static _Noreturn void leave(struct record *r, int code)
{
    r->exited_ns = fixture_now_ns();
    _exit(code);
}

static _Noreturn void image_main(uint64_t i)
{
    leave(&page->records[i], code_of(i));
}

static void *work_without_leader(void *arg)
{
    const uint64_t *i = arg;
    if (storm_work(1, LEADERLESS_NS) != 0)
        image_main(*i);
    return NULL;
}

static _Noreturn void leaderless_main(uint64_t i)
{
    static uint64_t own;
    own = i;
    start(compute, NULL);
    start(work_without_leader, &own);
    pthread_exit(NULL);
}

/* ---- their parent */

static pid_t spawn(char *const argv[])
{
    pid_t pid = -1;
    errno = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, NULL);
    return errno ? -1 : pid;
}

/* No other locals than the arguments: the child shares our stack. */
NOINLINE static pid_t vfork_and_leave(struct record *r, int code)
{
    pid_t pid = vfork();
    if (pid == 0)
        leave(r, code);
    return pid;
}

static _Noreturn void fork_child(struct record *r, char kind, int code, char *const argv[])
{
    if (kind == 'w')
        storm_work(1, WORK_NS);
    if (kind == 'f' || kind == 'w')
        leave(r, code);
    r->before_exec_ns = fixture_now_ns();
    execv("/proc/self/exe", argv);
    _exit(127);
}

static pid_t begin_child(const struct storm *s, uint64_t i)
{
    char number[24];
    struct record *r = &page->records[i];
    char kind = s->kinds[i % strlen(s->kinds)];
    char *argv[] = {"process_storm", kind == 'l' ? "leaderless" : "image", (char *)s->path, number,
                    NULL};
    snprintf(number, sizeof(number), "%" PRIu64, i);
    if (kind == 'v')
        return vfork_and_leave(r, code_of(i));
    if (kind == 'p') {
        r->before_exec_ns = fixture_now_ns();
        return spawn(argv);
    }
    pid_t pid = fork();
    if (pid == 0)
        fork_child(r, kind, code_of(i), argv);
    return pid;
}

static void one_child(const struct storm *s, uint64_t i)
{
    int status = 0;
    pid_t pid = begin_child(s, i);
    if (pid < 0) {
        page->failed++;
        return;
    }
    pid_t got;
    while ((got = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
        page->eintr++;
    page->records[i].noticed_ns = fixture_now_ns();
    page->wrong += got != pid || !WIFEXITED(status) || WEXITSTATUS(status) != code_of(i);
    page->twice += waitpid(pid, &status, WNOHANG) >= 0 || errno != ECHILD;
    page->ended++;
}

static void sleep_until(uint64_t ns)
{
    struct timespec t = {(time_t)(ns / 1000000000U), (long)(ns % 1000000000U)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
        page->eintr++;
}

static void *spawner(void *arg)
{
    struct storm *s = arg;
    for (uint64_t i; (i = s->next++) < s->n && !fixture_stop_asked();) {
        sleep_until(s->begun_ns + i * s->interval_ns);
        one_child(s, i);
    }
    return NULL;
}

static void spawn_all(struct storm *s)
{
    pthread_t threads[SPAWNERS];
    start(compute, NULL);
    fixture_ready();
    await_go();
    s->begun_ns = fixture_now_ns();
    for (int i = 0; i < SPAWNERS; i++)
        if (pthread_create(&threads[i], NULL, spawner, s) != 0)
            fixture_die("pthread_create");
    for (int i = 0; i < SPAWNERS; i++)
        pthread_join(threads[i], NULL);
    siginfo_t info;
    page->left = waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 || errno != ECHILD;
}

/* ---- the chain */

static void *exec_next(void *arg)
{
    char **argv = arg;
    storm_work(1, CHAIN_NS);
    page->records[page->ended].before_exec_ns = fixture_now_ns();
    execv("/proc/self/exe", argv);
    page->failed++;
    return NULL;
}

/* False: it is not at its end, and another thread will replace us. */
static bool chain(char **argv, uint64_t n, long threads)
{
    uint64_t now = fixture_now_ns();
    if (!page->go) {
        fixture_ready();
        await_go();
    } else {
        page->records[page->ended++].started_ns = now;
    }
    for (long i = 0; i < threads; i++)
        start(compute, NULL);
    if (page->ended < n)
        start(exec_next, argv);
    return page->ended >= n;
}

static void report(void)
{
    printf("ended=%" PRIu64 "\nfailed=%" PRIu64 "\nwrong=%" PRIu64 "\ntwice=%" PRIu64
           "\neintr=%" PRIu64 "\nleft=%" PRIu64 "\n",
           page->ended, page->failed, page->wrong, page->twice, page->eintr, page->left);
    fflush(stdout);
}

static int storm_main(char **argv)
{
    uint64_t n = strtoull(argv[3], NULL, 10);
    if (n > RECORDS)
        return 2;
    fixture_begin();
    if (strcmp(argv[1], "spawn") == 0) {
        uint64_t hz = strtoull(argv[5], NULL, 10);
        struct storm s = {
            .path = argv[2], .kinds = argv[4], .n = n, .interval_ns = 1000000000U / hz};
        spawn_all(&s);
        page->done = 1;
    } else {
        page->done = chain(argv, n, strtol(argv[4], NULL, 10));
    }
    while (!fixture_stop_asked())
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    report();
    _exit(0);
}

int main(int argc, char **argv)
{
    uint64_t now = fixture_now_ns();
    if (argc < 4)
        return 2;
    map_page(argv[2]);
    if (argc > 4)
        return storm_main(argv);
    uint64_t i = strtoull(argv[3], NULL, 10);
    if (i >= RECORDS)
        return 2;
    page->records[i].started_ns = now;
    alarm(30);
    if (strcmp(argv[1], "leaderless") == 0)
        leaderless_main(i);
    image_main(i);
}

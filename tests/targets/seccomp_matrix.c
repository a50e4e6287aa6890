/* SPDX-License-Identifier: MIT */
/*
 * seccomp_matrix FILTER [THREADS [BUSY_US]]: short timed waits and computing, half of the time
 * each, under a filter. `kill`, `kill_thread`, `trap` and `errno` are what it does on
 * restart_syscall, as containers' older filters do; `list` kills on everything but the calls that
 * this program makes. TRAP ends it too, and ERRNO makes its wait fail.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>

#include "fixture.h"

enum { THREADS_MAX = 64, BRIEF_NS = 200000 };

struct tally {
    atomic_uint_fast64_t waits, eintr, wrong, early, ended;
    uint64_t busy_ns;
    pthread_barrier_t all_here;
};

struct filter {
    const char *name;
    uint32_t action;
};

static const struct filter filters[] = {
    {"kill", SECCOMP_RET_KILL_PROCESS},
    {"kill_thread", SECCOMP_RET_KILL_THREAD},
    {"trap", SECCOMP_RET_TRAP},
    {"errno", SECCOMP_RET_ERRNO | EPERM},
};

/* What the waits and their end need; the C library's own among them. */
static const uint32_t needed[] = {
    SYS_nanosleep,     SYS_clock_nanosleep, SYS_poll,    SYS_futex,  SYS_clock_gettime,
    SYS_rt_sigpending, SYS_rt_sigprocmask,  SYS_madvise, SYS_munmap, SYS_exit,
    SYS_exit_group,    SYS_write,
};

static void install(struct sock_filter *code, size_t n)
{
    struct sock_fprog program = {(unsigned short)n, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
        fixture_die("seccomp");
}

static void forbid_restart(uint32_t action)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_restart_syscall, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    install(code, sizeof(code) / sizeof(code[0]));
}

static void allow_needed(void)
{
    enum { N = sizeof(needed) / sizeof(needed[0]) };
    struct sock_filter code[N + 3] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    };
    for (size_t i = 0; i < N; i++) /* over those that follow, and the killing, to the end */
        code[1 + i] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, needed[i], (uint8_t)(N - i), 0);
    code[N + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    code[N + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    install(code, N + 3);
}

static void install_named(const char *name)
{
    if (strcmp(name, "list") == 0) {
        allow_needed();
        return;
    }
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
        if (strcmp(name, filters[i].name) == 0) {
            forbid_restart(filters[i].action);
            return;
        }
    }
    fprintf(stderr, "no filter %s\n", name);
    exit(2);
}

/* failed: the errno of a wait that should have run out with `expected`. */
static void note(struct tally *t, int failed, int expected, uint64_t start_ns, uint64_t timeout_ns)
{
    t->waits++;
    if (failed == EINTR)
        t->eintr++;
    else if (failed != expected)
        t->wrong++;
    else if (fixture_now_ns() - start_ns < timeout_ns)
        t->early++;
}

static void wait_in_turn(struct tally *t, uint64_t turn)
{
    struct timespec brief = {0, BRIEF_NS};
    uint32_t word = 0;
    uint64_t start = fixture_now_ns();
    switch (turn % 4) {
    case 0:
        note(t, syscall(SYS_nanosleep, &brief, NULL) == 0 ? 0 : errno, 0, start, BRIEF_NS);
        break;
    case 1:
        note(t, syscall(SYS_futex, &word, FUTEX_WAIT, 0, &brief, NULL, 0) == 0 ? 0 : errno,
             ETIMEDOUT, start, BRIEF_NS);
        break;
    case 2:
        note(t, clock_nanosleep(CLOCK_MONOTONIC, 0, &brief, NULL), 0, start, BRIEF_NS);
        break;
    default:
        note(t, syscall(SYS_poll, NULL, 0, 1) == 0 ? 0 : errno, 0, start, 1000000);
    }
}

static void *loop(void *arg)
{
    struct tally *t = arg;
    uint64_t x = 1;
    pthread_barrier_wait(&t->all_here);
    for (uint64_t turn = 0; !fixture_stop_asked(); turn++) {
        wait_in_turn(t, turn);
        x = fixture_burn(x, t->busy_ns);
    }
    t->ended++;
    return (void *)(uintptr_t)(x & 1);
}

/* Into a buffer of ours, so that stdio asks the kernel for nothing but the write. */
static void print(const struct tally *t)
{
    char text[256];
    int n = snprintf(text, sizeof(text),
                     "waits=%" PRIuFAST64 "\neintr=%" PRIuFAST64 "\nwrong=%" PRIuFAST64
                     "\nearly=%" PRIuFAST64 "\nended=%" PRIuFAST64 "\n",
                     t->waits, t->eintr, t->wrong, t->early, t->ended);
    if (n < 0 || write(STDOUT_FILENO, text, (size_t)n) != n)
        _exit(1);
}

int main(int argc, char **argv)
{
    struct tally t = {0};
    pthread_t threads[THREADS_MAX];
    long n = fixture_arg(argc, argv, 2, 2);
    if (argc < 2 || n < 1 || n > THREADS_MAX)
        return 2;
    t.busy_ns = (uint64_t)fixture_arg(argc, argv, 3, 200) * 1000;
    fixture_begin();
    pthread_barrier_init(&t.all_here, NULL, (unsigned)n + 1);
    for (long i = 0; i < n; i++)
        if (pthread_create(&threads[i], NULL, loop, &t) != 0)
            fixture_die("pthread_create");
    /* Only now: what starts a thread is not on the list. */
    pthread_barrier_wait(&t.all_here);
    install_named(argv[1]);
    fixture_ready();
    for (long i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    print(&t);
    _exit(0);
}

/* SPDX-License-Identifier: MIT */
/*
 * seccomp_norestart [THREADS]: short timed waits and computing under a filter that kills on
 * restart_syscall, as containers' older filters do.
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
#include <sys/syscall.h>

#include "fixture.h"

enum { THREADS_MAX = 64 };

struct tally {
    atomic_uint_fast64_t waits, eintr, wrong;
};

static void forbid_restart(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_restart_syscall, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
        fixture_die("seccomp");
}

/* failed: the errno of a wait that should have run out with `expected`. */
static void note(struct tally *t, int failed, int expected)
{
    t->waits++;
    if (failed == EINTR)
        t->eintr++;
    else if (failed != expected)
        t->wrong++;
}

static void wait_in_turn(struct tally *t, uint64_t turn)
{
    struct timespec brief = {0, 50000 + (long)(turn % 4) * 50000};
    uint32_t word = 0;
    switch (turn % 3) {
    case 0:
        note(t, nanosleep(&brief, NULL) == 0 ? 0 : errno, 0);
        break;
    case 1:
        note(t, syscall(SYS_futex, &word, FUTEX_WAIT, 0, &brief, NULL, 0) == 0 ? 0 : errno,
             ETIMEDOUT);
        break;
    default:
        note(t, poll(NULL, 0, 1) == 0 ? 0 : errno, 0);
    }
}

static void *loop(void *arg)
{
    struct tally *t = arg;
    uint64_t x = 1;
    for (uint64_t turn = 0; !fixture_stop_asked(); turn++) {
        wait_in_turn(t, turn);
        x = fixture_burn(x, 100000);
    }
    return (void *)(uintptr_t)(x & 1);
}

int main(int argc, char **argv)
{
    struct tally t = {0, 0, 0};
    pthread_t threads[THREADS_MAX];
    long n = fixture_arg(argc, argv, 1, 2);
    fixture_begin();
    forbid_restart();
    for (long i = 0; i < n && i < THREADS_MAX; i++)
        if (pthread_create(&threads[i], NULL, loop, &t) != 0)
            fixture_die("pthread_create");
    fixture_ready();
    for (long i = 0; i < n && i < THREADS_MAX; i++)
        pthread_join(threads[i], NULL);
    printf("waits=%" PRIuFAST64 "\neintr=%" PRIuFAST64 "\nwrong=%" PRIuFAST64 "\n", t.waits,
           t.eintr, t.wrong);
    return 0;
}

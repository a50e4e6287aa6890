/* SPDX-License-Identifier: MIT */
#include "capture/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "capture/visit.h"
#include "target/proctext.h"

enum {
    LOOK_MS = 20,
    PATIENCE_NS = 100 * 1000 * 1000, /* how long a stop may last */
    STUCK_LOOKS = 50, /* without a heartbeat, while a stop is open; we may be suspended as well */
};

/* The guardian's own view; it lives in the guardian process only. */
struct guard {
    struct guardian_page *page;
    pid_t sampler; /* our parent, as long as sampler_fd is not readable */
    int sampler_fd, stat_fd;
    int ready[2];                 /* a pipe, until it watches */
    uint64_t looked_ns, awake_ns; /* the last look; the first after a suspension of our own */
    uint64_t continued_ns, heartbeat;
    int silent_looks;
};

static void say(const char *text)
{
    if (write(STDERR_FILENO, text, strlen(text)) < 0)
        return; /* nobody listens */
}

static char sampler_state(const struct guard *g)
{
    char text[1024];
    struct proc_stat stat;
    ssize_t n = pread(g->stat_fd, text, sizeof(text), 0);
    return n > 0 && proctext_stat(text, (size_t)n, &stat) == 0 ? stat.state : '?';
}

static void kill_sampler(struct guard *g, const char *why)
{
    char text[256];
    if (atomic_exchange(&g->page->killed, true))
        return;
    syscall(SYS_pidfd_send_signal, g->sampler_fd, SIGKILL, NULL, 0);
    snprintf(
        text, sizeof(text),
        "oxprof: the sampler %s while it held a thread of the target; it was killed so that the "
        "target runs on; %llu samples are lost\n",
        why, (unsigned long long)atomic_load(&g->page->samples));
    say(text);
}

static void open_too_long(struct guard *g, uint64_t now)
{
    char state = sampler_state(g);
    bool stopped = state == 'T' || state == 't';
    if (stopped && !g->continued_ns) {
        g->continued_ns = now;
        atomic_store(&g->page->stop_again, true);
        syscall(SYS_pidfd_send_signal, g->sampler_fd, SIGCONT, NULL, 0);
    } else if (stopped && now - g->continued_ns > PATIENCE_NS) {
        kill_sampler(g, "was stopped (SIGSTOP or a debugger)");
    } else if (state == 'S' && g->silent_looks <= STUCK_LOOKS) {
        syscall(SYS_pidfd_send_signal, g->sampler_fd, SIGCHLD, NULL, 0); /* see seize.h */
    } else if (g->silent_looks > STUCK_LOOKS) {
        kill_sampler(g, state == 'D'   ? "hung in the kernel"
                        : state == 'R' ? "got no CPU"
                                       : "made no progress");
    } else if (state == 'R') {
        visit_rescue(g->sampler);
    }
}

static void look(struct guard *g)
{
    uint64_t now = clock_now_ns(), since = atomic_load(&g->page->open_since_ns);
    uint64_t heartbeat = atomic_load(&g->page->heartbeat);
    if (heartbeat != g->heartbeat || !since) {
        g->heartbeat = heartbeat;
        g->silent_looks = 0;
    }
    g->silent_looks++;
    /* Suspended together, both are continued together: give the sampler its time. */
    if (now - g->looked_ns > PATIENCE_NS)
        g->awake_ns = now;
    g->looked_ns = now;
    if (since && since < g->awake_ns)
        since = g->awake_ns;
    if (since && now > since && now - since > PATIENCE_NS)
        open_too_long(g, now);
    else
        g->continued_ns = 0;
}

static void last_words(const struct guard *g)
{
    char text[200];
    unsigned long long samples = atomic_load(&g->page->samples);
    if (atomic_load(&g->page->goodbye) || atomic_load(&g->page->killed))
        return;
    snprintf(text, sizeof(text),
             "oxprof: the sampler died unexpectedly; %llu samples that it had not reported are "
             "lost. The "
             "target runs on: the kernel ended any stop\n",
             samples);
    say(text);
}

static _Noreturn void guard_main(struct guard *g)
{
    struct pollfd pfd = {.fd = g->sampler_fd, .events = POLLIN};
    while (poll(&pfd, 1, LOOK_MS) <= 0 && !atomic_load(&g->page->goodbye))
        look(g);
    last_words(g);
    _exit(0);
}

/*
 * Nothing that is meant for the sampler may reach the guardian, least of all what is sent to its
 * process group. Not setsid(): that makes a scheduling group of its own (sched_autogroup), and on
 * Linux 6.18 such a new group was left without a CPU for over 20 s beside a busy one.
 */
static _Noreturn void become_guardian(struct guard *g)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    setpgid(0, 0);
    prctl(PR_SET_NAME, "oxprof-guardian");
    /* Only stderr is needed: a pipe whose other end we held would never end for its reader. */
    dup2(STDERR_FILENO, STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    if (write(g->ready[1], "", 1) != 1)
        _exit(1);
    close(g->ready[0]);
    close(g->ready[1]);
    guard_main(g);
}

/* What the guardian needs, before there is one: a guardian that can't work is not to be had. */
static int open_sampler(struct guard *ret, pid_t sampler)
{
    char path[64];
    struct guard g = {.sampler = sampler, .stat_fd = -1};
    snprintf(path, sizeof(path), "/proc/%d/stat", sampler);
    g.sampler_fd = (int)syscall(SYS_pidfd_open, sampler, 0);
    if (g.sampler_fd >= 0)
        g.stat_fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = g.stat_fd < 0 ? -errno : 0;
    if (rc < 0 && g.sampler_fd >= 0)
        close(g.sampler_fd);
    if (rc == 0)
        *ret = g;
    return rc;
}

/* Nothing is sampled before it watches: on a busy machine a new process may have to wait long. */
static int await_ready(int ready[2])
{
    char byte;
    ssize_t n;
    close(ready[1]);
    ready[1] = -1;
    do
        n = read(ready[0], &byte, 1);
    while (n < 0 && errno == EINTR);
    return n == 1 ? 0 : -ECHILD;
}

int guardian_start(struct guardian *g)
{
    pid_t sampler = getpid();
    struct guard guard = {.sampler_fd = -1, .stat_fd = -1};
    *g = (struct guardian){0};
    int rc = open_sampler(&guard, sampler);
    if (rc < 0)
        return rc;
    if (pipe2(guard.ready, O_CLOEXEC) < 0) {
        rc = -errno;
        close(guard.sampler_fd);
        close(guard.stat_fd);
        return rc;
    }
    void *page =
        mmap(NULL, sizeof(*g->page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    rc = page == MAP_FAILED ? -errno : 0;
    guard.page = page;
    g->pid = rc < 0 ? -1 : fork();
    if (g->pid == 0)
        become_guardian(&guard);
    if (rc == 0)
        rc = g->pid < 0 ? -errno : await_ready(guard.ready);
    if (rc < 0 && page != MAP_FAILED)
        munmap(page, sizeof(*g->page));
    close(guard.ready[0]);
    if (guard.ready[1] >= 0)
        close(guard.ready[1]);
    close(guard.sampler_fd);
    close(guard.stat_fd);
    if (rc == 0)
        g->page = page;
    return rc;
}

void guardian_end(struct guardian *g)
{
    if (!g->page)
        return;
    atomic_store(&g->page->goodbye, true);
    if (g->pid > 0) {
        kill(g->pid, SIGKILL);
        while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    munmap(g->page, sizeof(*g->page));
    *g = (struct guardian){0};
}

/*
 * Has the user continued us as well? SIGCONT is blocked, and so stays pending (sig_ignored() in
 * kernel/signal.c); any stop signal takes it away.
 */
static bool continued_by_user(const struct guardian *g)
{
    struct timespec at_once = {0};
    bool by_user = false;
    sigset_t set;
    siginfo_t si;
    sigemptyset(&set);
    sigaddset(&set, SIGCONT);
    while (sigtimedwait(&set, &si, &at_once) == SIGCONT)
        by_user |= si.si_pid != g->pid;
    return by_user;
}

void guardian_honour(struct guardian *g, bool stops_ended)
{
    if (!g->page || !atomic_load(&g->page->stop_again))
        return;
    if (continued_by_user(g)) {
        atomic_store(&g->page->stop_again, false);
    } else if (stops_ended) {
        atomic_store(&g->page->stop_again, false);
        raise(SIGSTOP);
    }
}

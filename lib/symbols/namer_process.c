/* SPDX-License-Identifier: MIT */
#include "symbols/namer_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
    END_MS = 1000
}; /* how long an end is awaited, be it of one that dies or one that is killed */
enum { NS_PER_MS = 1000 * 1000 };

static int take_fd(int *fd)
{
    int taken = *fd;
    *fd = -1;
    return taken;
}

static int fork_it(struct namer_process *p, const struct namer_job *job)
{
    int sv[2], err[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
        return -errno;
    int OX_CLOSE ours = sv[0];
    int OX_CLOSE theirs = sv[1];
    if (pipe2(err, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    int OX_CLOSE err_ours = err[0];
    int OX_CLOSE err_theirs = err[1];
    pid_t pid = fork();
    if (pid == 0)
        namer_child_main(job, theirs, err_theirs, p->page);
    if (pid < 0)
        return -errno;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        int rc = -errno;
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            continue;
        return rc;
    }
    p->pid = pid;
    p->pidfd = pidfd;
    p->ended = false;
    p->fd = take_fd(&ours);
    p->err_fd = take_fd(&err_ours);
    return 0;
}

int namer_process_start(struct namer_process *p, const struct namer_job *job)
{
    void *page =
        mmap(NULL, sizeof(*p->page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return -errno;
    p->page = page;
    atomic_store(&p->page->at, UINT64_MAX);
    int rc = fork_it(p, job);
    if (rc < 0)
        munmap(page, sizeof(*p->page));
    return rc;
}

void namer_process_disown(struct namer_process *p)
{
    if (!p->pid)
        return;
    close(p->fd);
    close(p->err_fd);
    close(p->pidfd);
    munmap(p->page, sizeof(*p->page));
    p->fd = p->err_fd = p->pidfd = -1;
    p->pid = 0;
}

uint64_t namer_process_cpu_ns(const struct namer_process *p)
{
    clockid_t clock;
    struct timespec t;
    if (!p->pid || p->ended || clock_getcpuclockid(p->pid, &clock) != 0 ||
        clock_gettime(clock, &t) < 0)
        return 0;
    return (uint64_t)t.tv_sec * OX_NS_PER_S + (uint64_t)t.tv_nsec;
}

static FILE *open_proc(const struct namer_process *p, const char *name)
{
    char path[64];
    if (!p->pid || p->ended)
        return NULL;
    snprintf(path, sizeof(path), "/proc/%d/%s", p->pid, name);
    return fopen(path, "re");
}

static uint64_t peak_bytes(const struct namer_process *p)
{
    static const char field[] = "VmHWM:";
    char line[256];
    uint64_t kib = 0;
    FILE *f = open_proc(p, "status");
    while (f && !kib && fgets(line, sizeof(line), f))
        if (!strncmp(line, field, strlen(field)))
            kib = strtoull(line + strlen(field), NULL, 10);
    if (f)
        fclose(f);
    return kib * 1024;
}

void namer_process_account(struct namer_process *p)
{
    uint64_t cpu_ns = p->past_cpu_ns + namer_process_cpu_ns(p), peak = peak_bytes(p);
    p->cpu_ns = cpu_ns > p->cpu_ns ? cpu_ns : p->cpu_ns;
    p->peak_bytes = peak > p->peak_bytes ? peak : p->peak_bytes;
}

bool namer_process_runs(const struct namer_process *p)
{
    char line[256] = "";
    FILE *f = open_proc(p, "stat");
    if (f && !fgets(line, sizeof(line), f))
        line[0] = '\0';
    if (f)
        fclose(f);
    const char *end = strrchr(line, ')'); /* "123 (oxprof-names) R ..." (proc(5)) */
    return end && !strncmp(end, ") R", 3);
}

static void name_end(int status, const char *words, char *how, size_t how_bytes)
{
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    const char *name = sig ? sigabbrev_np(sig) : NULL;
    if (strstr(words, "out of memory") || strstr(words, "Cannot allocate memory"))
        snprintf(how, how_bytes, "needed over %d MiB", NAMER_DATA_MAX_MIB);
    else if (sig == SIGKILL)
        snprintf(how, how_bytes, "was killed (SIGKILL)");
    else if (name)
        snprintf(how, how_bytes, "crashed (SIG%s)", name);
    else
        snprintf(how, how_bytes, "ended without an answer");
}

/* Says where it has ended, and reaps it. */
static bool reap(struct namer_process *p, uint64_t until_ns)
{
    struct pollfd pfd = {.fd = p->pidfd, .events = POLLIN};
    siginfo_t si = {0};
    if (p->ended)
        return true;
    uint64_t now = clock_now_ns();
    int left_ms = until_ns > now ? (int)((until_ns - now) / NS_PER_MS) : 0, ready;
    do
        ready = poll(&pfd, 1, left_ms);
    while (ready < 0 && errno == EINTR && clock_now_ns() < until_ns);
    if (ready <= 0)
        return false;
    namer_process_account(p); /* the last chance */
    if (waitid(P_PIDFD, (id_t)p->pidfd, &si, WEXITED | WNOHANG) == 0 && si.si_pid == p->pid) {
        p->ended = true;
        p->status = si.si_code == CLD_EXITED ? si.si_status << 8 : si.si_status;
    }
    return p->ended;
}

void namer_process_end(struct namer_process *p, char *how, size_t how_bytes)
{
    char words[512];
    if (!p->pid)
        return;
    namer_process_account(p);
    /* It shuts its socket a moment before it can be reaped. */
    struct pollfd shut = {.fd = p->fd, .events = POLLRDHUP};
    bool ending = poll(&shut, 1, 0) > 0 && shut.revents & (POLLHUP | POLLRDHUP);
    uint64_t until_ns = clock_now_ns() + (uint64_t)END_MS * NS_PER_MS;
    if (!reap(p, ending ? until_ns - (uint64_t)END_MS * NS_PER_MS / 2 : 0)) {
        syscall(SYS_pidfd_send_signal, p->pidfd, SIGKILL, NULL, 0);
        reap(p, until_ns);
    }
    ssize_t n = read(p->err_fd, words, sizeof(words) - 1);
    words[n > 0 ? n : 0] = '\0';
    name_end(p->ended ? p->status : 0, words, how, how_bytes);
    p->past_cpu_ns = p->cpu_ns;
    namer_process_disown(p);
}

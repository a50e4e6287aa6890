/* SPDX-License-Identifier: MIT */
/*
 * Runs a command and writes what it used, with the descendants that it waited for: one line, CPU
 * seconds, the largest one's peak memory in KiB, seconds of wall clock. SIGINT and SIGTERM are
 * passed on to it. This process is small, and forks: what the caller has in memory is not counted.
 * usage: usage FILE COMMAND [ARG...]
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static pid_t start(char *const argv[], const sigset_t *ours)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGINT, SIG_DFL); /* a shell's background job inherits that it is ignored */
    sigprocmask(SIG_UNBLOCK, ours, NULL);
    execvp(argv[0], argv);
    perror(argv[0]);
    _exit(127);
}

/* Until it has ended: its status. */
static int wait_for(pid_t pid, const sigset_t *ours, struct rusage *ret)
{
    int status;
    for (;;) {
        int sig = sigwaitinfo(ours, NULL);
        if (sig == SIGINT || sig == SIGTERM)
            kill(pid, sig);
        else if (sig == SIGCHLD && wait4(pid, &status, WNOHANG, ret) == pid)
            return status;
    }
}

int main(int argc, char **argv)
{
    sigset_t ours;
    struct rusage used;
    FILE *file = argc > 2 ? fopen(argv[1], "we") : NULL;
    if (!file)
        return 127;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    sigemptyset(&ours);
    sigaddset(&ours, SIGINT);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGCHLD);
    sigprocmask(SIG_BLOCK, &ours, NULL);
    double begin = now_s();
    pid_t pid = start(argv + 2, &ours);
    if (pid < 0)
        return 127;
    int status = wait_for(pid, &ours, &used);
    fprintf(file, "%.6f %ld %.6f\n", seconds(used.ru_utime) + seconds(used.ru_stime),
            used.ru_maxrss, now_s() - begin);
    fclose(file);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* SPDX-License-Identifier: MIT */
/* tracer PID: traces every thread of PID, as a debugger would, and lets it run. SIGTERM ends it. */
#include <dirent.h>
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "fixture.h"

static void seize_all(const char *pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%s/task", pid);
    DIR *dir = opendir(path);
    if (!dir)
        fixture_die(path);
    for (struct dirent *e = readdir(dir); e; e = readdir(dir))
        if (e->d_name[0] != '.' &&
            ptrace(PTRACE_SEIZE, (pid_t)strtol(e->d_name, NULL, 10), NULL, NULL) != 0)
            fixture_die("PTRACE_SEIZE");
    closedir(dir);
}

static void let_go_on(pid_t tid, int status)
{
    bool event = status >> 16 != 0;
    int sig = event ? 0 : WSTOPSIG(status);
    ptrace(event && WSTOPSIG(status) != SIGTRAP ? PTRACE_LISTEN : PTRACE_CONT, tid, NULL,
           (void *)(intptr_t)sig);
}

int main(int argc, char **argv)
{
    int status;
    if (argc < 2)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    alarm(120);
    seize_all(argv[1]);
    fixture_ready();
    for (;;) {
        pid_t tid = waitpid(-1, &status, __WALL);
        if (tid < 0 && errno == ECHILD)
            return 0;
        if (tid > 0 && WIFSTOPPED(status))
            let_go_on(tid, status);
    }
}

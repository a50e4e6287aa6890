/* SPDX-License-Identifier: MIT */
/* Leaves a zombie child and prints its pid. */
#include <sys/wait.h>

#include "fixture.h"

int main(void)
{
    siginfo_t info;
    sigset_t set;
    int sig;
    fixture_begin();
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    if (pid < 0 || waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) != 0)
        fixture_die("zombie");
    printf("zombie=%d\n", (int)pid);
    fflush(stdout);
    fixture_ready();
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigwait(&set, &sig);
    return 0;
}

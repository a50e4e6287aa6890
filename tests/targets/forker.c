/* SPDX-License-Identifier: MIT */
/* Children that compute for 30 ms each, one after the other; the parent waits for them. */
#include <errno.h>
#include <inttypes.h>
#include <sys/wait.h>

#include "fixture.h"

NOINLINE static uint64_t child_work(uint64_t x)
{
    return fixture_burn(x, 30000000);
}

int main(void)
{
    uint64_t children = 0, eintr = 0, wrong = 0;
    fixture_begin();
    fixture_ready();
    while (!fixture_stop_asked()) {
        int code = (int)(children % 100);
        pid_t pid = fork();
        if (pid < 0)
            fixture_die("fork");
        if (pid == 0)
            _exit(child_work(1) != 0 ? code : 127);
        int status = 0;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
            eintr++;
        wrong += !WIFEXITED(status) || WEXITSTATUS(status) != code;
        children++;
    }
    printf("children=%" PRIu64 "\neintr=%" PRIu64 "\nwrong=%" PRIu64 "\n", children, eintr, wrong);
    return 0;
}

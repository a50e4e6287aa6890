/* SPDX-License-Identifier: MIT */
/*
 * exec_chain leader|thread MS PROGRAM [ARG...]: computes in before_exec until it is sent SIGUSR1
 * and MS more; then the leader, or another thread, executes PROGRAM.
 */
#include <pthread.h>
#include <string.h>

#include "fixture.h"

struct plan {
    uint64_t ns;
    char **command;
};

NOINLINE static uint64_t before_exec(uint64_t x, uint64_t ns)
{
    while (!fixture_asked(SIGUSR1))
        x = fixture_steps(x, 100000);
    return fixture_burn(x, ns);
}

static void *compute_and_exec(void *arg)
{
    struct plan *plan = arg;
    if (before_exec(1, plan->ns) != 0)
        execv(plan->command[0], plan->command);
    fixture_die("execv");
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    if (argc < 4)
        return 2;
    struct plan plan = {(uint64_t)fixture_arg(argc, argv, 2, 0) * 1000000U, argv + 3};
    fixture_begin();
    fixture_block(SIGUSR1);
    fixture_ready();
    if (strcmp(argv[1], "leader") == 0)
        compute_and_exec(&plan);
    if (pthread_create(&thread, NULL, compute_and_exec, &plan) != 0)
        fixture_die("pthread_create");
    pthread_join(thread, NULL);
    return 1;
}

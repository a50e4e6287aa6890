/* SPDX-License-Identifier: MIT */
/* Names that mean something to a terminal, to a reader of /proc and to every output format. */
#include <pthread.h>

#include "fixture.h"

/* The test writes worse over this name in a copy of the file. */
NOINLINE static uint64_t placeholder_for_a_hostile_name(uint64_t x)
{
    return fixture_steps(x + 1, 1000000);
}

static void *idler(void *arg)
{
    (void)arg;
    prctl(PR_SET_NAME, "\xff\xc3)\n)S 1 2 3", 0, 0, 0);
    for (;;)
        pause();
    return NULL;
}

int main(void)
{
    uint64_t x = 1;
    pthread_t thread;
    fixture_begin();
    prctl(PR_SET_NAME, "x\033]0;pwn\a\n)S 1", 0, 0, 0);
    if (pthread_create(&thread, NULL, idler, NULL) != 0)
        fixture_die("pthread_create");
    fixture_ready();
    while (!fixture_stop_asked())
        x = placeholder_for_a_hostile_name(x);
    printf("done=%d\n", x != 0);
    return 0;
}

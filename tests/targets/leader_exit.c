/* SPDX-License-Identifier: MIT */
/* The first thread is gone, the others work on: /proc/PID/maps is empty and SEIZE of PID fails. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "fixture.h"

static bool leader_is_gone(void)
{
    char stat[512];
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)getpid());
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(stat, 1, sizeof(stat) - 1, f) : 0;
    if (f)
        fclose(f);
    stat[n] = '\0';
    const char *end = strrchr(stat, ')');
    return end && strncmp(end, ") Z", 3) == 0;
}

NOINLINE static uint64_t orphan_work(uint64_t x)
{
    return fixture_steps(x + 1, 1000000);
}

static void *orphan(void *arg)
{
    uint64_t x = 1;
    (void)arg;
    while (!leader_is_gone())
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    fixture_ready();
    while (!fixture_stop_asked())
        x = orphan_work(x);
    printf("alive=%d\n", x != 0);
    fflush(stdout);
    _exit(0);
}

static void *idler(void *arg)
{
    (void)arg;
    for (;;)
        pause();
    return NULL;
}

int main(void)
{
    pthread_t thread;
    fixture_begin();
    if (pthread_create(&thread, NULL, idler, NULL) != 0 ||
        pthread_create(&thread, NULL, orphan, NULL) != 0)
        fixture_die("pthread_create");
    pthread_exit(NULL);
}

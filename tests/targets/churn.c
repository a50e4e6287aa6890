/* SPDX-License-Identifier: MIT */
/* Threads that live for a tenth of a millisecond, eight at a time. */
#include <inttypes.h>
#include <pthread.h>

#include "fixture.h"

enum { AT_ONCE = 8, WORK_NS = 100000 };

NOINLINE static uint64_t brief_work(uint64_t x)
{
    return fixture_burn(x, WORK_NS);
}

static void *brief(void *arg)
{
    uint64_t *x = arg;
    *x = brief_work(*x);
    return NULL;
}

int main(void)
{
    pthread_t threads[AT_ONCE];
    uint64_t x[AT_ONCE];
    uint64_t made = 0, failed = 0;
    fixture_begin();
    fixture_ready();
    while (!fixture_stop_asked()) {
        int n = 0;
        for (x[0] = 1; n < AT_ONCE && pthread_create(&threads[n], NULL, brief, &x[n]) == 0; n++)
            x[(n + 1) % AT_ONCE] = (uint64_t)n + 2;
        made += (uint64_t)n;
        failed += (uint64_t)(AT_ONCE - n);
        while (n > 0)
            failed += pthread_join(threads[--n], NULL) != 0;
    }
    printf("made=%" PRIu64 "\nfailed=%" PRIu64 "\n", made, failed);
    return 0;
}

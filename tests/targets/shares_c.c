/* SPDX-License-Identifier: MIT */
/* Known shares of one thread's CPU time; what each part really took is printed at the end. */
#include <inttypes.h>

#include "fixture.h"
#include "libshares.h"

enum { UNIT_STEPS = 50000, RECURSIONS = 20, VALUES = 64, COMPARE_STEPS = 1600 };

struct part {
    const char *name;
    uint64_t (*run)(uint64_t x);
    uint64_t cpu_ns;
};

NOINLINE static uint64_t share_50(uint64_t x)
{
    return fixture_steps(x + 1, 50 * UNIT_STEPS);
}

NOINLINE static uint64_t share_20(uint64_t x)
{
    return fixture_steps(x + 2, 20 * UNIT_STEPS);
}

NOINLINE static uint64_t recurse(uint64_t x, unsigned depth)
{
    x = fixture_steps(x + 3, 10 * UNIT_STEPS / RECURSIONS);
    return depth == 0 ? x : recurse(x, depth - 1) + 3;
}

NOINLINE static uint64_t share_recursion(uint64_t x)
{
    return recurse(x, RECURSIONS - 1) + 1;
}

NOINLINE static uint64_t share_library(uint64_t x)
{
    return library_work(x, 10 * UNIT_STEPS) + 1;
}

NOINLINE static int compare_values(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;
    int never = fixture_steps(*x | 1, COMPARE_STEPS) == 0;
    return (*x > *y) - (*x < *y) + never;
}

NOINLINE static uint64_t share_sort(uint64_t x)
{
    uint64_t values[VALUES];
    for (int i = 0; i < VALUES; i++)
        values[i] = x = fixture_steps(x + 4, 1);
    qsort(values, VALUES, sizeof(values[0]), compare_values);
    return values[0];
}

static uint64_t timed(struct part *part, uint64_t x)
{
    uint64_t start = fixture_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    x = part->run(x);
    part->cpu_ns += fixture_clock_ns(CLOCK_THREAD_CPUTIME_ID) - start;
    return x;
}

int main(void)
{
    struct part parts[] = {{"share_50", share_50, 0},
                           {"share_20", share_20, 0},
                           {"share_recursion", share_recursion, 0},
                           {"share_library", share_library, 0},
                           {"share_sort", share_sort, 0}};
    size_t n = sizeof(parts) / sizeof(parts[0]);
    uint64_t x = 1;
    uint64_t sum = 0;
    fixture_begin();
    fixture_ready();
    while (!fixture_stop_asked())
        for (size_t i = 0; i < n; i++)
            x = timed(&parts[i], x);
    for (size_t i = 0; i < n; i++)
        sum += parts[i].cpu_ns;
    for (size_t i = 0; i < n; i++)
        printf("%s=%.5f\n", parts[i].name, (double)parts[i].cpu_ns / (double)sum);
    printf("result=%" PRIu64 "\n", x);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* spin [MS]: computes in spin_here for so long, or until it is stopped. */
#include <inttypes.h>

#include "fixture.h"

NOINLINE static uint64_t spin_here(uint64_t x)
{
    return fixture_steps(x + 1, 1000000);
}

int main(int argc, char **argv)
{
    long ms = fixture_arg(argc, argv, 1, 100000);
    uint64_t x = 1;
    uint64_t loops = 0;
    fixture_begin();
    fixture_ready();
    uint64_t end = fixture_now_ns() + (uint64_t)ms * 1000000U;
    while (!fixture_stop_asked() && fixture_now_ns() < end) {
        x = spin_here(x);
        loops++;
    }
    printf("loops=%" PRIu64 "\nresult=%" PRIu64 "\n", loops, x);
    return 0;
}

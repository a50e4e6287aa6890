/* SPDX-License-Identifier: MIT */
#include "libshares.h"

#include "fixture.h"

uint64_t library_work(uint64_t x, uint64_t steps)
{
    return fixture_steps(x + 5, steps);
}

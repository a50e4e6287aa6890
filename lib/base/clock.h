/* SPDX-License-Identifier: MIT */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define OX_NS_PER_S UINT64_C(1000000000)

/* CLOCK_MONOTONIC. */
uint64_t clock_now_ns(void);

/* Since 1970, as the system has it. */
uint64_t clock_wall_ns(void);

/* CPU time of this process so far, user and system, without its children. */
uint64_t clock_own_cpu_ns(void);

struct timespec clock_timespec(uint64_t ns);

/* A xorshift generator: cheap, not for secrets. Seed it with clock_random_seed(). */
uint64_t clock_random_seed(void);
uint64_t clock_random_next(uint64_t *state);

#endif

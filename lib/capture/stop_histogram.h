/* SPDX-License-Identifier: MIT */
#ifndef CAPTURE_STOP_HISTOGRAM_H
#define CAPTURE_STOP_HISTOGRAM_H

#include <stdint.h>

/* How long stops have lasted: for each bound, and for those above the last, how many did not last
 * longer and longer than the bound before. */
enum { STOP_BOUNDS = 9 };
static const uint64_t stop_bounds_ns[STOP_BOUNDS] = {
    10 * 1000,  20 * 1000,       50 * 1000,        100 * 1000,       200 * 1000,
    500 * 1000, 1 * 1000 * 1000, 10 * 1000 * 1000, 100 * 1000 * 1000};

struct stop_histogram {
    uint64_t counts[STOP_BOUNDS + 1];
    uint64_t ns_sum;
};

#endif

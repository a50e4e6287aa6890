/* SPDX-License-Identifier: MIT */
#ifndef REPORT_INTERVAL_H
#define REPORT_INTERVAL_H

#include <stdint.h>

#include "report/number.h"

/*
 * What a share of samples says about the share of time, where the samples are independent of each
 * other: Wilson's score interval (Wilson 1927), which also holds for shares of 0 and 1 and for few
 * samples. Of 0 samples: 0 to 1.
 */
struct interval {
    double low, high; /* from 0 to 1 */
};

/* z: how many standard deviations; OX_Z_95 for 95 of 100 such intervals to hold the true share. */
#define OX_Z_95 1.959964
struct interval interval_of(uint64_t hits, uint64_t samples, double z);

/* The error of a difference between two shares, up and down: Newcombe's hybrid score interval
 * (Newcombe 1998, method 10). */
struct interval interval_difference(uint64_t hits_a, uint64_t samples_a, uint64_t hits_b,
                                    uint64_t samples_b, double z);

/* The z for which n such intervals all hold in 95 of 100 cases (Bonferroni). */
double interval_z_of(uint64_t n);

/* In percent with two digits after the point; -1 to 1. */
struct number interval_percent(double share);

#endif

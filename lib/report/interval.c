/* SPDX-License-Identifier: MIT */
#include "report/interval.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

static double clamp(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

struct interval interval_of(uint64_t hits, uint64_t samples, double z)
{
    if (!samples)
        return (struct interval){.low = 0, .high = 1};
    double n = (double)samples, p = (double)hits / n, zz = z * z;
    double middle = (p + zz / (2 * n)) / (1 + zz / n);
    double half = z * sqrt(p * (1 - p) / n + zz / (4 * n * n)) / (1 + zz / n);
    return (struct interval){.low = hits ? clamp(middle - half) : 0,
                             .high = hits < samples ? clamp(middle + half) : 1};
}

static double share(uint64_t hits, uint64_t samples)
{
    return samples ? (double)hits / (double)samples : 0;
}

struct interval interval_difference(uint64_t hits_a, uint64_t samples_a, uint64_t hits_b,
                                    uint64_t samples_b, double z)
{
    struct interval a = interval_of(hits_a, samples_a, z), b = interval_of(hits_b, samples_b, z);
    double pa = share(hits_a, samples_a), pb = share(hits_b, samples_b), d = pb - pa;
    return (struct interval){.low = d - hypot(pb - b.low, a.high - pa),
                             .high = d + hypot(b.high - pb, pa - a.low)};
}

double interval_z_of(uint64_t n)
{
    double alpha = 0.05 / (n ? (double)n : 1), low = 0, high = 40;
    for (int i = 0; i < 60; i++) {
        double z = (low + high) / 2;
        *(erfc(z / M_SQRT2) > alpha ? &low : &high) = z;
    }
    return low;
}

struct number interval_percent(double part)
{
    const uint64_t unit = 1000000;
    bool negative = part < 0;
    uint64_t parts = (uint64_t)((negative ? -part : part) * (double)unit + 0.5);
    struct number n = number_fixed(100, parts, unit, 2), signed_n;
    if (!negative)
        return n;
    snprintf(signed_n.text, sizeof(signed_n.text), "-%.60s", n.text);
    return signed_n;
}

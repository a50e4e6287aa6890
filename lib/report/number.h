/* SPDX-License-Identifier: MIT */
#ifndef REPORT_NUMBER_H
#define REPORT_NUMBER_H

#include <stdint.h>

/*
 * factor * num / den as a decimal number, rounded half up. With a point in every locale, which
 * printf's %f would not give. "0" or "0.00" where num is 0 whatever den is; "?" where only den is
 * 0.
 */
struct number {
    char text[64];
};

/* Always this many digits after the point, up to 9: "43.09". */
struct number number_fixed(uint64_t factor, uint64_t num, uint64_t den, unsigned decimals);

/*
 * As many digits after the point as make up this many significant ones, without trailing zeros; the
 * part before the point is never rounded away. With two: "0.14", "0.9", "3.4", "17", "413".
 */
struct number number_significant(uint64_t factor, uint64_t num, uint64_t den, unsigned digits);

#endif

/* SPDX-License-Identifier: MIT */
#include "report/number.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { DECIMALS_MAX = 9 };

__extension__ typedef unsigned __int128 wide;

static const uint64_t power_of_ten[DECIMALS_MAX + 1] = {
    1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};

struct number number_fixed(uint64_t factor, uint64_t num, uint64_t den, unsigned decimals)
{
    struct number n = {.text = "?"};
    uint64_t unit = power_of_ten[decimals];
    if (!den && num && factor)
        return n;
    wide scaled = den ? ((wide)factor * num * unit + den / 2) / den : 0;
    if (scaled > UINT64_MAX)
        scaled = UINT64_MAX;
    uint64_t value = (uint64_t)scaled;
    if (decimals)
        snprintf(n.text, sizeof(n.text), "%" PRIu64 ".%0*" PRIu64, value / unit, (int)decimals,
                 value % unit);
    else
        snprintf(n.text, sizeof(n.text), "%" PRIu64, value);
    return n;
}

static unsigned decimals_for(wide num, uint64_t den, unsigned digits)
{
    unsigned decimals = digits - 1;
    for (wide v = num / den; v >= 10 && decimals; v /= 10)
        decimals--;
    while (num && num < den && decimals < DECIMALS_MAX) {
        num *= 10;
        decimals++;
    }
    return decimals < DECIMALS_MAX ? decimals : DECIMALS_MAX;
}

struct number number_significant(uint64_t factor, uint64_t num, uint64_t den, unsigned digits)
{
    unsigned decimals = den ? decimals_for((wide)factor * num, den, digits) : 0;
    struct number n = number_fixed(factor, num, den, decimals);
    if (!strchr(n.text, '.'))
        return n;
    size_t len = strlen(n.text);
    while (n.text[len - 1] == '0')
        len--;
    if (n.text[len - 1] == '.')
        len--;
    n.text[len] = '\0';
    return n;
}

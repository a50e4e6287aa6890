/* SPDX-License-Identifier: MIT */
#include "base/parse.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/clock.h"

static int digit_of(char c, unsigned base)
{
    int d = c >= '0' && c <= '9'   ? c - '0'
            : c >= 'a' && c <= 'f' ? c - 'a' + 10
            : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                   : 99;
    return d < (int)base ? d : -1;
}

bool parse_number_at(const char **p, const char *end, unsigned base, uint64_t *ret_value)
{
    const char *s = *p;
    while (s < end && (*s == ' ' || *s == '\t'))
        s++;
    if (s == end || digit_of(*s, base) < 0)
        return false;
    uint64_t v = 0;
    for (int d; s < end && (d = digit_of(*s, base)) >= 0; s++)
        if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
            __builtin_add_overflow(v, (uint64_t)d, &v))
            return false;
    *p = s;
    *ret_value = v;
    return true;
}

int parse_u64(const char *s, uint64_t *ret_value)
{
    const char *p = s, *end = s + strlen(s);
    uint64_t v;
    if (digit_of(*s, 10) < 0)
        return -EINVAL;
    if (!parse_number_at(&p, end, 10, &v))
        return -ERANGE;
    if (p != end)
        return -EINVAL;
    *ret_value = v;
    return 0;
}

/* "12.345" -> 12 and 345000000 billionths. Moves *p behind the number. */
static int decimal_at(const char **p, const char *end, uint64_t *ret_whole, uint64_t *ret_nano)
{
    uint64_t whole = 0, nano = 0;
    const char *s = *p;
    if (s == end || (digit_of(*s, 10) < 0 && *s != '.'))
        return -EINVAL;
    if (*s != '.' && !parse_number_at(&s, end, 10, &whole))
        return -ERANGE;
    if (s < end && *s == '.') {
        uint64_t unit = 100000000;
        const char *first = ++s;
        for (int d; s < end && (d = digit_of(*s, 10)) >= 0; s++, unit /= 10) {
            if (!unit)
                return -EINVAL;
            nano += unit * (uint64_t)d;
        }
        if (s == first)
            return -EINVAL;
    }
    *p = s;
    *ret_whole = whole;
    *ret_nano = nano;
    return 0;
}

int parse_duration_ns(const char *s, uint64_t *ret_ns)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"", OX_NS_PER_S}, {"s", OX_NS_PER_S},      {"ms", 1000000},          {"us", 1000},
                 {"ns", 1},         {"m", 60 * OX_NS_PER_S}, {"h", 3600 * OX_NS_PER_S}};
    const char *p = s, *end = s + strlen(s);
    uint64_t whole, nano;
    int rc = decimal_at(&p, end, &whole, &nano);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
        if (strcmp(p, units[i].name))
            continue;
        __extension__ unsigned __int128 ns = (unsigned __int128)whole * units[i].ns +
                                             (unsigned __int128)nano * units[i].ns / OX_NS_PER_S;
        if (ns > INT64_MAX)
            return -ERANGE;
        *ret_ns = (uint64_t)ns;
        return 0;
    }
    return -EINVAL;
}

int parse_decimal(const char *s, double *ret_value)
{
    const char *p = s, *end = s + strlen(s);
    uint64_t whole, nano;
    int rc = decimal_at(&p, end, &whole, &nano);
    if (rc < 0)
        return rc;
    if (p != end)
        return -EINVAL;
    *ret_value = (double)whole + (double)nano / 1e9;
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "stepped.h"

#include <stdarg.h>

long far_add(long a, long b)
{
    return a + b;
}

long far_apply(long (*f)(long), long x)
{
    return f(x) + f(x + 1);
}

/* Vector arguments, which the lazy resolver has to save. */
double far_mix(double a, long b, float c)
{
    return a * (double)b + (double)c;
}

/* Through the library's own linkage table. */
long far_chain(long depth)
{
    return depth ? far_add(far_chain(depth - 1), depth) : 1;
}

long far_variadic(int n, ...)
{
    long sum = 0;
    va_list list;
    va_start(list, n);
    for (int i = 0; i < n; i++)
        sum += va_arg(list, long);
    va_end(list);
    return sum;
}

static __thread long own[100];

/* Through __tls_get_addr. */
long far_own(long x)
{
    own[x] += x;
    return own[x];
}

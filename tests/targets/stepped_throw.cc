// SPDX-License-Identifier: MIT
#include "stepped.h"

#include <cstdlib>

namespace
{

#define NOINLINE __attribute__((noinline))

struct Trouble {
    long depth;
};

long destroyed;

struct Owner {
    long volatile value;
    NOINLINE ~Owner()
    {
        destroyed += value;
    }
};

NOINLINE long dive(long depth)
{
    Owner owner{depth};
    if (depth == 0)
        throw Trouble{owner.value};
    return dive(depth - 1) + owner.value;
}

NOINLINE long rethrow(long depth)
{
    try {
        return dive(depth);
    } catch (const Trouble &) {
        throw;
    }
}

} // namespace

long throw_and_catch(long depth)
{
    try {
        return dive(depth);
    } catch (const Trouble &trouble) {
        return trouble.depth + 1;
    }
}

long throw_rethrown(long depth)
{
    try {
        return rethrow(depth);
    } catch (...) {
        return 2;
    }
}

long throw_cleanups(long depth)
{
    destroyed = 0;
    throw_and_catch(depth);
    return destroyed;
}

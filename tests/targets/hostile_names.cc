// SPDX-License-Identifier: MIT
// hostile_names: computes in a function whose name is to be made hostile, in a template, and in two
// that call each other; and waits in a thread of a hostile name.
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <pthread.h>
#include <unistd.h>

#include "fixture.h"

// Its name is as long as the one that tests/readers writes over it in the symbol table: what a
// linker takes, an assembler may not.
extern "C" NOINLINE uint64_t hostile_function_____________(uint64_t x)
{
    return fixture_steps(x, 200000);
}

namespace
{
std::atomic<bool> ended;

template <class T> NOINLINE uint64_t fold(const std::map<std::string, std::vector<T>> &m, T x)
{
    return fixture_steps(x + m.size(), 100000);
}

NOINLINE uint64_t odd(unsigned depth, uint64_t x);

NOINLINE uint64_t even(unsigned depth, uint64_t x)
{
    return (depth ? odd(depth - 1, x) : fixture_steps(x, 100000)) + 1;
}

NOINLINE uint64_t odd(unsigned depth, uint64_t x)
{
    return (depth ? even(depth - 1, x) : fixture_steps(x, 100000)) + 1;
}

void idle()
{
    pthread_setname_np(pthread_self(), "w <1>;\"\\ 2");
    while (!ended)
        usleep(50000);
}
} // namespace

int main()
{
    std::map<std::string, std::vector<int>> m;
    fixture_begin();
    std::thread idler(idle);
    fixture_ready();
    uint64_t x = 1;
    while (!fixture_stop_asked())
        x += hostile_function_____________(x) + fold(m, 3) + even(9, x);
    ended = true;
    idler.join();
    printf("result=%d\n", static_cast<int>(x & 1));
    return 0;
}

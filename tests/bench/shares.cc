// SPDX-License-Identifier: MIT
// Spends known shares of its time in four functions, in turns of random length, and measures them.
// usage: shares PROGRESS-FILE SECONDS SLEEP-PERCENT
#include <cstdint>
#include <cstdlib>
#include <unistd.h>

#include "progress.h"

#ifdef __clang__
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noipa))
#endif

namespace shop
{

constexpr int unit_rounds = 1500;
constexpr std::uint64_t cycle_ns = 2000000; // one turn of each, on average

struct State {
    progress *page = nullptr;
    std::uint64_t last_ns = 0; // when the last unit was done
    std::uint64_t seed = 88172645463325252U;
};

NOINLINE std::uint64_t mix(std::uint64_t seed)
{
    for (int i = 0; i < unit_rounds; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
    }
    return seed;
}

NOINLINE void work_until(State &s, std::uint64_t end_ns)
{
    while (s.last_ns < end_ns) {
        s.seed = mix(s.seed);
        progress_unit(s.page, &s.last_ns);
    }
}

struct Shelf {
    virtual ~Shelf() = default;
    virtual void turn(State &s, std::uint64_t ns) = 0;
};

struct Alpha : Shelf {
    NOINLINE void turn(State &s, std::uint64_t ns) override
    {
        work_until(s, s.last_ns + ns);
        asm volatile("" ::: "memory");
    }
};

struct Beta : Shelf {
    NOINLINE void turn(State &s, std::uint64_t ns) override
    {
        work_until(s, s.last_ns + ns);
        asm volatile("" ::: "memory");
    }
};

struct Gamma : Shelf {
    NOINLINE void turn(State &s, std::uint64_t ns) override
    {
        work_until(s, s.last_ns + ns);
        asm volatile("" ::: "memory");
    }
};

struct Rest : Shelf {
    NOINLINE void turn(State &s, std::uint64_t ns) override
    {
        timespec t = {0, static_cast<long>(ns)};
        if (ns)
            nanosleep(&t, nullptr);
        s.last_ns = progress_clock_ns(CLOCK_MONOTONIC);
        asm volatile("" ::: "memory");
    }
};

NOINLINE void descend(State &s, Shelf &shelf, std::uint64_t ns, int depth)
{
    if (depth)
        descend(s, shelf, ns, depth - 1);
    else
        shelf.turn(s, ns);
    asm volatile("" ::: "memory");
}

void timed(State &s, Shelf &shelf, int nth, std::uint64_t ns)
{
    std::uint64_t wall = progress_clock_ns(CLOCK_MONOTONIC);
    std::uint64_t cpu = progress_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    s.last_ns = wall;
    __atomic_store_n(&s.page->since_ns, wall, __ATOMIC_RELAXED);
    __atomic_store_n(&s.page->current, nth + 1, __ATOMIC_RELEASE);
    descend(s, shelf, ns, static_cast<int>(s.seed % 20));
    auto &function = s.page->functions[nth];
    __atomic_store_n(&s.page->current, 0, __ATOMIC_RELAXED);
    __atomic_add_fetch(&function.cpu_ns, progress_clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu,
                       __ATOMIC_RELAXED);
    __atomic_add_fetch(&function.wall_ns, progress_clock_ns(CLOCK_MONOTONIC) - wall,
                       __ATOMIC_RELAXED);
}

// 7/10 to 13/10 of the cycle: sampling at any rate meets it at any place.
std::uint64_t random_cycle_ns(State &s)
{
    s.seed = mix(s.seed);
    return cycle_ns / 10 * 7 + s.seed % (cycle_ns / 10 * 6);
}

[[noreturn]] void run(State &s, std::uint64_t sleep_percent)
{
    Alpha alpha;
    Beta beta;
    Gamma gamma;
    Rest rest;
    for (;;) {
        std::uint64_t ns = random_cycle_ns(s);
        std::uint64_t busy_ns = ns * (100 - sleep_percent) / 100;
        timed(s, alpha, 0, busy_ns / 100 * 50);
        timed(s, beta, 1, busy_ns / 100 * 30);
        timed(s, gamma, 2, busy_ns / 100 * 20);
        if (sleep_percent)
            timed(s, rest, 3, ns - busy_ns);
    }
}

} // namespace shop

int main(int argc, char **argv)
{
    shop::State s;
    s.page = argc == 4 ? progress_open(argv[1]) : nullptr;
    if (!s.page)
        return 2;
    alarm(static_cast<unsigned>(std::strtoul(argv[2], nullptr, 10)));
    shop::run(s, std::strtoul(argv[3], nullptr, 10));
}

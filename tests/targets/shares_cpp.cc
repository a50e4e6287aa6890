/* SPDX-License-Identifier: MIT */
/* As shares_c, in C++: a method, a template, a virtual recursion; and a thread that only waits. */
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

#include "fixture.h"

namespace shop
{

constexpr std::uint64_t unit_steps = 50000;

class Engine
{
  public:
    NOINLINE std::uint64_t crunch(std::vector<std::uint64_t> const &seeds)
    {
        std::uint64_t x = last;
        for (auto seed : seeds)
            x = fixture_steps(x + seed, 50 * unit_steps / seeds.size());
        last = x;
        return x;
    }

  private:
    std::uint64_t last = 1;
};

template <typename T> NOINLINE T fold(T x)
{
    return fixture_steps(x + 7, 30 * unit_steps);
}

struct Node {
    virtual ~Node() = default;
    virtual std::uint64_t visit(std::uint64_t x, int depth) = 0;
};

struct Tree : Node {
    NOINLINE std::uint64_t visit(std::uint64_t x, int depth) override
    {
        x = fixture_steps(x + 3, unit_steps);
        Node *self = this;
        return depth == 0 ? x : self->visit(x, depth - 1) + 1;
    }
};

class Idler
{
  public:
    NOINLINE void wait_for_end()
    {
        std::unique_lock<std::mutex> lock(mutex);
        while (!ended)
            wake.wait(lock);
    }
    void end()
    {
        std::lock_guard<std::mutex> lock(mutex);
        ended = true;
        wake.notify_all();
    }

  private:
    std::mutex mutex;
    std::condition_variable wake;
    bool ended = false;
};

template <typename F> std::uint64_t timed(std::uint64_t &cpu_ns, F part)
{
    std::uint64_t start = fixture_clock_ns(CLOCK_THREAD_CPUTIME_ID);
    std::uint64_t x = part();
    cpu_ns += fixture_clock_ns(CLOCK_THREAD_CPUTIME_ID) - start;
    return x;
}

} // namespace shop

int main()
{
    fixture_begin();
    std::vector<std::uint64_t> seeds{1, 2, 3, 4, 5};
    shop::Engine engine;
    shop::Tree tree;
    shop::Idler idler;
    std::thread waiter([&idler] { idler.wait_for_end(); });
    std::uint64_t crunch_ns = 0, fold_ns = 0, visit_ns = 0, x = 0;
    fixture_ready();
    while (!fixture_stop_asked()) {
        x += shop::timed(crunch_ns, [&] { return engine.crunch(seeds); });
        x += shop::timed(fold_ns, [&] { return shop::fold<std::uint64_t>(x); });
        x += shop::timed(visit_ns, [&] { return tree.visit(x, 19); });
    }
    idler.end();
    waiter.join();
    double sum = static_cast<double>(crunch_ns + fold_ns + visit_ns);
    std::printf("crunch=%.5f\nfold=%.5f\nvisit=%.5f\nresult=%llu\n",
                static_cast<double>(crunch_ns) / sum, static_cast<double>(fold_ns) / sum,
                static_cast<double>(visit_ns) / sum, static_cast<unsigned long long>(x));
    return 0;
}

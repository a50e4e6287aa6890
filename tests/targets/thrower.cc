// SPDX-License-Identifier: MIT
// Two threads that throw through several frames and catch, again and again, and two that mostly
// sleep; until SIGTERM.
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace
{

std::atomic<bool> ending;
std::atomic<unsigned long> caught, answers;

__attribute__((noinline)) int dive(int depth, const std::string &text)
{
    std::vector<std::string> owned(2, text);
    if (depth == 0)
        throw std::runtime_error(owned[0] + owned[1]);
    return dive(depth - 1, text) + static_cast<int>(owned.size());
}

__attribute__((noinline)) int middle(int depth)
{
    try {
        return dive(depth, "a text that is not short");
    } catch (const std::logic_error &) {
        return 1;
    }
}

void throw_all_the_time()
{
    for (int depth = 0; !ending; depth = (depth + 1) % 12) {
        try {
            middle(depth);
        } catch (const std::exception &) {
            caught++;
        }
    }
}

std::mutex guard;
std::condition_variable news;
std::map<int, std::string> shared;

void sleep_mostly(int number)
{
    std::unique_lock<std::mutex> lock(guard);
    while (!ending) {
        news.wait_for(lock, std::chrono::milliseconds(2 + number));
        shared[static_cast<int>(answers++ % 100)] = std::to_string(number);
    }
}

void end(int)
{
    ending = true;
}

} // namespace

int main()
{
    std::signal(SIGTERM, end);
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; i++) {
        threads.emplace_back(throw_all_the_time);
        threads.emplace_back(sleep_mostly, i);
    }
    std::puts("ready");
    std::fflush(stdout);
    for (auto &thread : threads)
        thread.join();
    std::printf("caught=%lu\n", caught.load());
    return caught == 0;
}

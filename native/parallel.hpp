// A loop over indices on several threads that a caller can stop: whichever thread is free takes the next index.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

namespace calibrig {

// Asked by the calling thread between pieces of work; true ends the loop early.
using StopRequest = std::function<bool()>;

// Thrown by work that was told to stop before its end.
struct Stopped {};

// Call work(index) for every index below `count`. False if a stop was asked for. What work throws is thrown again.
template <class Work>
bool for_each_index(std::size_t count, int threads, const StopRequest& stop, const Work& work) {
    std::atomic<std::size_t> next{0};
    std::atomic<bool> stopped{false};
    std::exception_ptr failure;
    std::atomic<bool> failed{false};
    const auto take = [&](bool main_thread) {
        auto asked = std::chrono::steady_clock::now();
        try {
            for (std::size_t index = next++; index < count && !stopped; index = next++) {
                work(index);
                if (!main_thread || !stop) continue;
                const auto now = std::chrono::steady_clock::now();
                if (now - asked < std::chrono::milliseconds(20)) continue;
                asked = now;
                if (stop()) stopped = true;
            }
        } catch (const Stopped&) {
            stopped = true;
        } catch (...) {
            if (!failed.exchange(true)) failure = std::current_exception();
            stopped = true;
        }
    };
    const auto extra = std::min<std::size_t>(count, static_cast<std::size_t>(std::max(1, threads)));
    std::vector<std::thread> pool;
    for (std::size_t i = 1; i < extra; ++i) pool.emplace_back([&] { take(false); });
    take(true);
    for (std::thread& thread : pool) thread.join();
    if (failure) std::rethrow_exception(failure);
    return !stopped;
}

}  // namespace calibrig

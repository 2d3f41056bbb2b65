// Time of a call: rdtsc .. rdtscp with its own cost taken out, or the steady clock where the counter is not invariant.
#pragma once

#include <time.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#if defined(__x86_64__)
#include <cpuid.h>
#include <x86intrin.h>
#endif

namespace calibrig {

inline std::int64_t read_clock_ns(clockid_t id) noexcept {
    timespec now{};
    clock_gettime(id, &now);
    return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

inline std::int64_t utc_ns() noexcept { return read_clock_ns(CLOCK_REALTIME); }
inline std::int64_t monotonic_ns() noexcept { return read_clock_ns(CLOCK_MONOTONIC); }

// A counter that runs at one rate in every power state: CPUID 0x80000007, EDX bit 8; and rdtscp to read its end.
inline bool has_invariant_tsc() noexcept {
#if defined(__x86_64__)
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid(0x80000007, &a, &b, &c, &d) == 0 || (d & (1u << 8)) == 0) return false;
    return __get_cpuid(0x80000001, &a, &b, &c, &d) != 0 && (d & (1u << 27)) != 0;
#else
    return false;
#endif
}

class Clock {
   public:
    // Calibrated once per process, in about 5 ms. CALIBRIG_CLOCK=steady forces the fallback.
    static const Clock& get() noexcept {
        static const Clock clock;
        return clock;
    }

    bool uses_tsc() const noexcept { return tsc_; }
    double ticks_per_ns() const noexcept { return ticks_per_ns_; }
    std::int64_t overhead_ns() const noexcept { return to_ns(overhead_); }

    // Before the timed work: nothing of it can have started earlier by more than the out-of-order window.
    std::uint64_t start() const noexcept {
#if defined(__x86_64__)
        if (tsc_) [[likely]] return __rdtsc();
#endif
        return static_cast<std::uint64_t>(monotonic_ns());
    }
    // After the timed work: rdtscp waits until every instruction before it has finished.
    std::uint64_t stop() const noexcept {
#if defined(__x86_64__)
        if (tsc_) [[likely]] {
            unsigned processor = 0;
            return __rdtscp(&processor);
        }
#endif
        return static_cast<std::uint64_t>(monotonic_ns());
    }
    // Nanoseconds between start and stop, the cost of reading the clock taken out.
    std::int64_t elapsed_ns(std::uint64_t from, std::uint64_t to) const noexcept {
        const std::uint64_t ticks = to - from;
        return static_cast<std::int64_t>(ticks) > static_cast<std::int64_t>(overhead_) ? to_ns(ticks - overhead_) : 0;
    }
    std::int64_t to_ns(std::uint64_t ticks) const noexcept {
        __extension__ using wide = unsigned __int128;
        return static_cast<std::int64_t>((static_cast<wide>(ticks) * multiplier_) >> 32);
    }
    std::uint64_t to_ticks(std::int64_t ns) const noexcept {
        return ns <= 0 ? 0 : static_cast<std::uint64_t>(static_cast<double>(ns) * ticks_per_ns_);
    }

   private:
    Clock() noexcept {
        const char* wanted = std::getenv("CALIBRIG_CLOCK");
        tsc_ = has_invariant_tsc() && (wanted == nullptr || std::strcmp(wanted, "steady") != 0);
        if (tsc_) ticks_per_ns_ = measure_rate();
        multiplier_ = static_cast<std::uint64_t>(4294967296.0 / ticks_per_ns_);
        overhead_ = measure_overhead();
    }
    // Median of five stretches of 1 ms against the monotonic clock.
    double measure_rate() const noexcept {
        std::array<double, 5> rates{};
        for (double& rate : rates) {
            const std::int64_t from_ns = monotonic_ns();
            const std::uint64_t from = start();
            std::int64_t to_ns_now = from_ns;
            while (to_ns_now - from_ns < 1'000'000) to_ns_now = monotonic_ns();
            rate = static_cast<double>(start() - from) / static_cast<double>(to_ns_now - from_ns);
        }
        std::sort(rates.begin(), rates.end());
        return rates[2];
    }
    // Median of an empty pair.
    std::uint64_t measure_overhead() const noexcept {
        std::array<std::uint64_t, 501> pairs{};
        for (std::uint64_t& pair : pairs) {
            const std::uint64_t from = start();
            pair = stop() - from;
        }
        std::nth_element(pairs.begin(), pairs.begin() + 250, pairs.end());
        return pairs[250];
    }

    bool tsc_ = false;
    double ticks_per_ns_ = 1.0;
    std::uint64_t multiplier_ = std::uint64_t{1} << 32;
    std::uint64_t overhead_ = 0;
};

}  // namespace calibrig

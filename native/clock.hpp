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
    // Calibrated once per process, in about 7 ms. CALIBRIG_CLOCK=steady forces the fallback.
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
        const auto ticks = static_cast<std::int64_t>(to - from - overhead_);
        return ticks > 0 ? to_ns(static_cast<std::uint64_t>(ticks)) : 0;
    }
    std::int64_t to_ns(std::uint64_t ticks) const noexcept {
        if (ticks < std::uint64_t{1} << 32) [[likely]]
            return static_cast<std::int64_t>(ticks * multiplier_ >> multiplier_bits);
        __extension__ using wide = unsigned __int128;
        return static_cast<std::int64_t>((static_cast<wide>(ticks) * multiplier_) >> multiplier_bits);
    }
    std::uint64_t to_ticks(std::int64_t ns) const noexcept {
        return ns <= 0 ? 0 : static_cast<std::uint64_t>(static_cast<double>(ns) * ticks_per_ns_);
    }

   private:
    // Counters tick at 1 GHz or faster, so the product of a time below 2^32 ticks fits 64 bits.
    static constexpr int multiplier_bits = 31;

    Clock() noexcept {
        const char* wanted = std::getenv("CALIBRIG_CLOCK");
        tsc_ = has_invariant_tsc() && (wanted == nullptr || std::strcmp(wanted, "steady") != 0);
        if (tsc_) ticks_per_ns_ = measure_rate();
        if (ticks_per_ns_ < 1.0) {
            tsc_ = false;
            ticks_per_ns_ = 1.0;
        }
        multiplier_ = static_cast<std::uint64_t>(static_cast<double>(std::uint64_t{1} << multiplier_bits) / ticks_per_ns_);
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
    // What a pair of readings adds to the work between them. Not the length of an empty pair: work of some length runs
    // beside the first reading. So a piece of work like a small model is timed both ways, each piece waiting for the one
    // before: with a pair around each, and many between two readings. Medians of many rounds: a
    // counter that moves in steps may keep in step with one of them.
    std::uint64_t measure_overhead() const noexcept {
        constexpr int rounds = 75, repeats = 200;
        std::array<std::uint64_t, rounds> paired{}, alone{};
        const std::array<double, 32> features{};
        double (*volatile work)(const double*) noexcept = &work_on;  // a call, as to a kernel
        std::size_t never = 0;
        for (int round = 0; round < rounds; ++round) {
            for (int repeat = 0; repeat < repeats; ++repeat) {
                const std::uint64_t from = start();
                const double value = work(features.data() + (repeat & 15) + never);
                paired[round] += stop() - from;
                never = value > 1.0 ? 1 : 0;
            }
            const std::uint64_t from = start();
            for (int repeat = 0; repeat < repeats; ++repeat)
                never = work(features.data() + (repeat & 15) + never) > 1.0 ? 1 : 0;
            alone[round] = stop() - from;
        }
        std::sort(paired.begin(), paired.end());
        std::sort(alone.begin(), alone.end());
        const std::uint64_t with = paired[rounds / 2], without = alone[rounds / 2];
        return with > without ? (with - without) / repeats : 0;
    }
    // Sixteen features and as many steps more, one after the other.
    static double work_on(const double* features) noexcept {
        double sum = 0.0;
        for (int i = 0; i < 16; ++i) sum += features[i] * 0.5;
        for (int i = 0; i < 16; ++i) sum *= 0.5;
        return sum;
    }

    bool tsc_ = false;
    double ticks_per_ns_ = 1.0;
    std::uint64_t multiplier_ = std::uint64_t{1} << multiplier_bits;
    std::uint64_t overhead_ = 0;
};

}  // namespace calibrig

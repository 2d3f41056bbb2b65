// Latencies in log buckets: one writer, any number of readers while it runs, also from another process.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <vector>

namespace calibrig {

// Exact below 1,024 ns, then 512 buckets per octave (0.2 %), up to 2^40 ns (18 minutes).
inline constexpr int histogram_sub_bits = 9;
inline constexpr int histogram_buckets = (40 - histogram_sub_bits + 1) << histogram_sub_bits;

[[gnu::always_inline]] inline constexpr int bucket_of(std::uint64_t ns) noexcept {
    if (ns < (2u << histogram_sub_bits)) [[likely]] return static_cast<int>(ns);
    const int octave = 63 - std::countl_zero(ns) - histogram_sub_bits;
    const int bucket = ((octave + 1) << histogram_sub_bits) +
                       static_cast<int>((ns >> octave) & ((1u << histogram_sub_bits) - 1));
    return bucket < histogram_buckets ? bucket : histogram_buckets - 1;
}
inline constexpr std::uint64_t bucket_low(int bucket) noexcept {
    const int octave = (bucket >> histogram_sub_bits) - 1;
    if (octave < 0) return static_cast<std::uint64_t>(bucket);
    const std::uint64_t mantissa = (1u << histogram_sub_bits) | (bucket & ((1 << histogram_sub_bits) - 1));
    return mantissa << octave;
}
inline constexpr double bucket_middle(int bucket) noexcept {
    const int octave = (bucket >> histogram_sub_bits) - 1;
    const double width = octave <= 0 ? 1.0 : static_cast<double>(std::uint64_t{1} << octave);
    return static_cast<double>(bucket_low(bucket)) + (width - 1.0) / 2.0;
}

// Lives in the bridge's block, which another process may map: lock-free atomics only.
struct Histogram {
    std::atomic<std::uint64_t> sum, max;
    std::atomic<std::uint64_t> waiting;                       // bucket of the last call, plus 1; 0 where there is none
    std::atomic<std::uint64_t> counts[histogram_buckets + 1];  // of bucket b at b + 1; the first means nothing

    // Counts the call before. A store whose address hangs on the clock's last reading would hold up the loads of the
    // next prediction for 11 ns, so each call's bucket waits for the next call (readers count it all the same).
    void record(std::uint64_t ns) noexcept {
        add(counts[waiting.load(std::memory_order_relaxed)], 1);
        waiting.store(static_cast<std::uint64_t>(bucket_of(ns)) + 1, std::memory_order_release);
        add(sum, ns);
        if (ns > max.load(std::memory_order_relaxed)) [[unlikely]] max.store(ns, std::memory_order_relaxed);
    }
    // One writer: a load and a store, not a locked add.
    static void add(std::atomic<std::uint64_t>& to, std::uint64_t value) noexcept {
        to.store(to.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
    }
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

// A reader's copy: subtract an earlier copy (reset), add another's (merge), ask for percentiles.
struct HistogramCopy {
    std::uint64_t count = 0, sum = 0, max = 0;
    std::vector<std::uint64_t> buckets = std::vector<std::uint64_t>(histogram_buckets, 0);

    static HistogramCopy of(const Histogram& live) {
        HistogramCopy copy;
        copy.max = live.max.load(std::memory_order_relaxed);
        copy.sum = live.sum.load(std::memory_order_relaxed);
        for (int b = 0; b < histogram_buckets; ++b)  // the count is what the buckets hold: never torn
            copy.count += copy.buckets[b] = live.counts[b + 1].load(std::memory_order_relaxed);
        // Last. While calls go on, one may be missed, or seen twice if the writer stands between its two stores.
        if (const std::uint64_t last = live.waiting.load(std::memory_order_acquire); last != 0) {
            ++copy.buckets[last - 1];
            ++copy.count;
        }
        return copy;
    }
    void subtract(const HistogramCopy& earlier) noexcept {
        sum -= earlier.sum;
        count = 0;
        for (int b = 0; b < histogram_buckets; ++b)
            count += buckets[b] -= earlier.buckets[b] < buckets[b] ? earlier.buckets[b] : buckets[b];
    }
    void merge(const HistogramCopy& other) noexcept {
        count += other.count;
        sum += other.sum;
        max = max > other.max ? max : other.max;
        for (int b = 0; b < histogram_buckets; ++b) buckets[b] += other.buckets[b];
    }
    double mean() const noexcept { return count == 0 ? 0.0 : static_cast<double>(sum) / static_cast<double>(count); }
    // Nearest rank, the middle of its bucket, never above the maximum.
    double percentile(double p) const noexcept {
        if (count == 0) return 0.0;
        const double exact = p * static_cast<double>(count);
        std::uint64_t rank = static_cast<std::uint64_t>(exact);
        if (static_cast<double>(rank) < exact) ++rank;
        rank = rank < 1 ? 1 : rank > count ? count : rank;
        std::uint64_t seen = 0;
        for (int b = 0; b < histogram_buckets; ++b)
            if ((seen += buckets[b]) >= rank) {
                const double middle = bucket_middle(b), top = static_cast<double>(max);
                return max != 0 && middle > top ? top : middle;
            }
        return static_cast<double>(max);
    }
};

}  // namespace calibrig

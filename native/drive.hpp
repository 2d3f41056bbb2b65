// Drives a bridge call after call and checks every answer: for campaigns, soaks and benchmarks.
#pragma once

#include "bridge.hpp"

namespace calibrig {

struct DriveReport {
    std::uint64_t calls = 0, wrong = 0, unanswered = 0, sequence_errors = 0, over_limit = 0;
    std::uint64_t by_source[4] = {};
    std::int64_t longest_ns = 0, total_ns = 0;
};

// Rows of 16 features are used in turn; an answer is right when it is `expected`, bit for bit. Calls that took
// longer than limit_ns are counted, and the longest is kept.
inline DriveReport drive(Bridge& bridge, const double* features, const double* expected, std::size_t rows,
                         std::uint64_t calls, Hold hold, std::int64_t limit_ns) noexcept {
    const Clock& clock = Clock::get();
    DriveReport report;
    std::uint64_t sequence = 0;
    const std::uint64_t started = clock.start();
    std::uint64_t before = started;
    for (std::uint64_t call = 0, row = 0; call < calls; ++call, row = row + 1 < rows ? row + 1 : 0) {
        const Answer answer = bridge.predict(features + row * n_features, hold);
        const std::uint64_t after = clock.start();
        const std::int64_t took = clock.to_ns(after - before);
        before = after;
        report.longest_ns = took > report.longest_ns ? took : report.longest_ns;
        report.over_limit += took > limit_ns;
        ++report.by_source[static_cast<int>(answer.source)];
        report.unanswered += !answer.ok();
        report.wrong += answer.ok() && answer.signal != expected[row];
        report.sequence_errors += sequence != 0 && answer.sequence != sequence + 1;
        sequence = answer.sequence;
    }
    report.calls = calls;
    report.total_ns = clock.to_ns(before - started);
    return report;
}

// The machine's own longest stall while one thread does nothing but read the clock.
inline std::int64_t measure_stall_ns(std::int64_t duration_ns) noexcept {
    const Clock& clock = Clock::get();
    const std::uint64_t started = clock.start(), limit = clock.to_ticks(duration_ns);
    std::uint64_t before = started, longest = 0;
    while (before - started < limit) {
        const std::uint64_t now = clock.start();
        longest = now - before > longest ? now - before : longest;
        before = now;
    }
    return clock.to_ns(longest);
}

}  // namespace calibrig

// Drives a bridge call after call and checks every answer: for campaigns, soaks and benchmarks.
#pragma once

#include <algorithm>
#include <vector>

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

// Price of one call, ns of this thread's CPU time: median of rounds of 1,000 calls, each of which waits for the answer
// before it, as a strategy's do (independent calls would run into one another and look cheaper).
template <class Call>
double time_calls_ns(const double* features, std::size_t rows, std::uint64_t calls, const Call& call) {
    constexpr std::uint64_t per_round = 1'000;
    std::vector<double> rounds;
    std::size_t row = 0, never = 0;
    for (std::uint64_t done = 0; done < calls || rounds.empty(); done += per_round) {
        const std::int64_t from = read_clock_ns(CLOCK_THREAD_CPUTIME_ID);
        for (std::uint64_t k = 0; k < per_round; ++k, row = row + 1 < rows ? row + 1 : 0)
            never = call(features + row * n_features + never) > 2.0 ? 1 : 0;  // no signal is above 1
        rounds.push_back(static_cast<double>(read_clock_ns(CLOCK_THREAD_CPUTIME_ID) - from) / per_round);
    }
    std::nth_element(rounds.begin(), rounds.begin() + rounds.size() / 2, rounds.end());
    return rounds[rounds.size() / 2];
}
inline double time_kernel_ns(const SignalModel& model, const double* features, std::size_t rows, std::uint64_t calls) {
    const SignalModel::Call run = model.call();
    return time_calls_ns(features, rows, calls, [&run](const double* row) { return run.to_signal(run(row)); });
}
inline double time_bridge_ns(Bridge& bridge, const double* features, std::size_t rows, std::uint64_t calls) {
    return time_calls_ns(features, rows, calls,
                         [&bridge](const double* row) { return bridge.predict(row, Hold::spin).signal; });
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

// Health of the bridge: a table of states and events, and the window of calls that the events come from.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace calibrig {

enum class Status : std::uint8_t { uninitialized, ready, degraded, failed, closed };
inline constexpr int n_statuses = 5;

enum class Event : std::uint8_t {
    initialized,       // models checked, device (if any) passed its golden vectors
    device_dead,       // initialised or swapped, but the device does not pass: software answers
    window_breached,   // p99 of the last 1,024 above the SLA, or a fallback among them
    window_clean,      // neither any more
    failure_limit,     // 3 failures in a row, or 5 % of the last 1,024
    device_removed,    // the device says, or its driver, that it is gone
    answer_mismatched, // a shadow check found another number: arithmetic is exact, so once is enough
    probes_passed,     // 64 good probes in a row
    swapped,           // mode, model or device replaced, and the new one passes
    closed,
};
inline constexpr int n_events = 10;

// Row: state, column: event. What is not a change stays.
inline constexpr std::array<std::array<Status, n_events>, n_statuses> health_table = [] {
    using enum Status;
    return std::array<std::array<Status, n_events>, n_statuses>{{
        // initialized dead    breached  clean    limit    removed  mismatch probes   swapped  closed
        {ready, failed, uninitialized, uninitialized, uninitialized, uninitialized, uninitialized, uninitialized,
         uninitialized, closed},                                                             // uninitialized
        {ready, failed, degraded, ready, failed, failed, failed, ready, ready, closed},      // ready
        {degraded, failed, degraded, ready, failed, failed, failed, degraded, ready, closed},  // degraded
        {failed, failed, failed, failed, failed, failed, failed, ready, ready, closed},      // failed
        {closed, closed, closed, closed, closed, closed, closed, closed, closed, closed},    // closed
    }};
}();

inline constexpr Status next_status(Status status, Event event) noexcept {
    return health_table[static_cast<int>(status)][static_cast<int>(event)];
}

// The last 1,024 calls. One writer; no clock, no allocation.
class Window {
   public:
    static constexpr int size = 1024;
    static constexpr int breach_limit = 10;    // p99 by nearest rank: more than 10 of 1,024 above it
    static constexpr int failure_limit = 52;   // 5 % of 1,024
    static constexpr int in_a_row_limit = 3;

    static constexpr std::uint8_t breach = 1, failure = 2, fallback = 4;

    // An ordinary call where the window holds ordinary calls only: true, and done. Otherwise record() it.
    bool pass(std::uint8_t call) noexcept {
        if ((call | marked_) != 0) [[unlikely]] return false;
        at_ = (at_ + 1) & (size - 1);
        return true;
    }
    // True where the counts changed, so that the caller need not look at them after an ordinary call.
    bool record(std::uint8_t call) noexcept {
        std::uint8_t& slot = calls_[at_];
        at_ = (at_ + 1) & (size - 1);
        in_a_row_ = (call & failure) != 0 ? in_a_row_ + 1 : 0;
        if ((slot | call) == 0) [[likely]] return false;
        breaches_ += (call & breach) - (slot & breach);
        failures_ += ((call & failure) - (slot & failure)) / failure;
        fallbacks_ += ((call & fallback) - (slot & fallback)) / fallback;
        marked_ += static_cast<std::uint32_t>(call != 0) - static_cast<std::uint32_t>(slot != 0);
        slot = call;
        return true;
    }
    bool reached_failure_limit() const noexcept { return in_a_row_ >= in_a_row_limit || failures_ >= failure_limit; }
    bool is_breached() const noexcept { return breaches_ > breach_limit || fallbacks_ > 0; }
    int breaches() const noexcept { return breaches_; }
    int failures() const noexcept { return failures_; }
    int fallbacks() const noexcept { return fallbacks_; }
    void clear() noexcept { *this = Window{}; }

   private:
    std::uint32_t at_ = 0, marked_ = 0;  // next slot; slots that are not 0
    std::array<std::uint8_t, size> calls_{};
    int breaches_ = 0, failures_ = 0, fallbacks_ = 0, in_a_row_ = 0;
};

}  // namespace calibrig

// What must hold before an order leaves: limits, throttles, and the reasons for which the engine does not trade.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace calibrig {

// Order matters: of several reasons the first one that holds is reported.
enum class Reason : std::uint8_t {
    none,
    killed,             // kill switch: stays until lifted by a person
    clock_jump,         // the feed's clock went back: latched for the session
    feed_loss,          // no tick for longer than feed_loss: latched for the session
    drawdown,           // session loss limit: latched for the session
    limit_breach,       // a fill beyond the position limit: latched for the session
    executions,         // repeated-execution throttle: latched for the session
    missing_parameters,
    default_parameters,
    unversioned_parameters,
    stale_parameters,
    session_closed,
    no_book,            // no sound quote yet in this session
    crossed_book,       // crossed, locked or one-sided
    frozen_book,        // trades arrive, quotes do not
    feed_gap,           // no tick for longer than feed_gap
    bridge_fault,       // no prediction
    model_mismatch,     // the bridge answers with another model than the parameters name
    regime_halted,
    price_collar,       // from here on: one order refused, the engine goes on
    order_value,
    order_volume,
    message_rate,
    position_limit,
    duplicate_order,
    would_cross,
    count_
};
inline constexpr std::size_t reason_count = static_cast<std::size_t>(Reason::count_);
inline constexpr std::array<const char*, reason_count> reason_names{
    "none",           "killed",           "clock_jump",     "feed_loss",      "drawdown",
    "limit_breach",   "executions",       "missing_parameters", "default_parameters", "unversioned_parameters",
    "stale_parameters", "session_closed", "no_book",        "crossed_book",   "frozen_book",
    "feed_gap",       "bridge_fault",     "model_mismatch", "regime_halted",  "price_collar",
    "order_value",    "order_volume",     "message_rate",   "position_limit", "duplicate_order",
    "would_cross"};

struct Limits {
    static constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max();
    std::int64_t collar_ppm = 50'000;               // distance from the mid, millionths of the mid
    std::int64_t max_order_lots = unlimited;
    std::int64_t max_order_value = unlimited;       // ticks x lots
    std::int64_t max_messages_per_s = 100;
    std::int64_t max_executions_per_s = 1'000;
    std::int64_t max_duplicates = 5;                // equal orders of one side within the window
    std::int64_t duplicate_window_ns = 1'000'000'000;
    std::int64_t quote_age_ns = 60'000'000'000;     // frozen book
    std::int64_t feed_gap_ns = 60'000'000'000;      // pause
    std::int64_t feed_loss_ns = 600'000'000'000;    // latched
    double max_session_loss = 0.0;                  // ticks x lots; 0 = none
};

// At most `limit` events in any `window`: exact, by remembering the last `limit` times.
class RateWindow {
public:
    RateWindow() = default;
    RateWindow(std::int64_t limit, std::int64_t window_ns)
        : times_(static_cast<std::size_t>(limit < 1 ? 1 : limit), std::numeric_limits<std::int64_t>::min() / 2),
          window_ns_(window_ns), open_(limit > 0) {}

    [[nodiscard]] bool allows(std::int64_t t_ns) const noexcept { return open_ && t_ns - times_[next_] >= window_ns_; }
    void note(std::int64_t t_ns) noexcept {
        times_[next_] = t_ns;
        next_ = next_ + 1 == times_.size() ? 0 : next_ + 1;
    }
    void clear() noexcept {
        for (auto& t : times_) t = std::numeric_limits<std::int64_t>::min() / 2;
    }

private:
    std::vector<std::int64_t> times_{0};
    std::int64_t window_ns_ = 1;
    std::size_t next_ = 0;
    bool open_ = false;
};

// The last checks before an order: they look at the order itself and share no arithmetic with the quoting.
class OrderChecks {
public:
    OrderChecks() = default;
    explicit OrderChecks(const Limits& limits) : limits_(limits), messages_(limits.max_messages_per_s, 1'000'000'000) {}

    void reset() noexcept {
        messages_.clear();
        last_[0] = last_[1] = Last{};
    }

    // exposure: position after everything working on this side and this order fill; limit: in force now.
    [[nodiscard]] Reason judge(std::int64_t t_ns, int side, std::int64_t price, std::int64_t lots, std::int64_t bid,
                               std::int64_t ask, std::int64_t exposure, std::int64_t limit) const noexcept {
        if (side > 0 ? price >= ask : price <= bid) return Reason::would_cross;
        const __int128 twice_mid = static_cast<__int128>(bid) + ask;
        const __int128 distance = 2 * static_cast<__int128>(price) - twice_mid;
        if ((distance < 0 ? -distance : distance) * 1'000'000 > twice_mid * limits_.collar_ppm || price <= 0)
            return Reason::price_collar;
        if (lots <= 0 || lots > limits_.max_order_lots) return Reason::order_volume;
        if (static_cast<__int128>(price) * lots > limits_.max_order_value) return Reason::order_value;
        if (side > 0 ? exposure > limit : exposure < -limit) return Reason::position_limit;
        if (!messages_.allows(t_ns)) return Reason::message_rate;
        const Last& last = last_[side > 0 ? 0 : 1];
        if (last.price == price && last.lots == lots && t_ns - last.since_ns < limits_.duplicate_window_ns &&
            last.count >= limits_.max_duplicates)
            return Reason::duplicate_order;
        return Reason::none;
    }

    void note_order(std::int64_t t_ns, int side, std::int64_t price, std::int64_t lots) noexcept {
        messages_.note(t_ns);
        Last& last = last_[side > 0 ? 0 : 1];
        if (last.price == price && last.lots == lots && t_ns - last.since_ns < limits_.duplicate_window_ns)
            ++last.count;
        else
            last = {price, lots, t_ns, 1};
    }
    void note_cancel(std::int64_t t_ns) noexcept { messages_.note(t_ns); }  // counted, never refused

    [[nodiscard]] const Limits& limits() const noexcept { return limits_; }

private:
    struct Last {
        std::int64_t price = 0, lots = 0, since_ns = 0, count = 0;
    };
    Limits limits_{};
    RateWindow messages_;
    Last last_[2];
};

}  // namespace calibrig

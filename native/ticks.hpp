// Columns of trades and quotes, merged into one stream of ticks, session by session.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "features.hpp"

namespace calibrig {

struct TradeTick {
    std::int64_t price = 0, lots = 0;
    int side = 0;
    bool off_grid = false;    // the true price lies between price and price + 1
    bool new_order = true;    // false: a further fill of the market order before it
};

struct MarketColumns {
    const std::int64_t* trade_time = nullptr;
    const std::int64_t* trade_price = nullptr;
    const std::int64_t* trade_lots = nullptr;
    const std::int8_t* trade_side = nullptr;
    const float* trade_sub_tick = nullptr;          // may be null
    const std::uint8_t* trade_new_order = nullptr;  // may be null: every trade is an order
    std::size_t trades = 0;
    const std::int64_t* quote_time = nullptr;
    const std::int64_t* bid = nullptr;
    const std::int64_t* bid_lots = nullptr;
    const std::int64_t* ask = nullptr;
    const std::int64_t* ask_lots = nullptr;
    std::size_t quotes = 0;
    const std::int64_t* sessions = nullptr;  // start, end, start, end, ...
    std::size_t session_count = 0;

    [[nodiscard]] Quote quote(std::size_t i) const noexcept { return {bid[i], bid_lots[i], ask[i], ask_lots[i]}; }
    [[nodiscard]] TradeTick trade(std::size_t i) const noexcept {
        return {trade_price[i], trade_lots[i], trade_side[i],
                trade_sub_tick != nullptr && trade_sub_tick[i] != 0.0f,
                trade_new_order == nullptr || trade_new_order[i] != 0};
    }
};

// Walks one session in time order; at equal stamps trades come before quotes, each in row order.
class TickWalk {
public:
    TickWalk() = default;
    TickWalk(const MarketColumns& m, std::size_t session) : m_(&m) {
        const std::int64_t start = m.sessions[2 * session], end = m.sessions[2 * session + 1];
        const auto rows = [](const std::int64_t* time, std::size_t n, std::int64_t t) {
            return static_cast<std::size_t>(std::lower_bound(time, time + n, t) - time);
        };
        trade_ = rows(m.trade_time, m.trades, start);
        last_trade_ = rows(m.trade_time, m.trades, end);
        quote_ = rows(m.quote_time, m.quotes, start);
        last_quote_ = rows(m.quote_time, m.quotes, end);
    }

    [[nodiscard]] bool done() const noexcept { return trade_ == last_trade_ && quote_ == last_quote_; }
    [[nodiscard]] std::size_t left() const noexcept { return (last_trade_ - trade_) + (last_quote_ - quote_); }
    [[nodiscard]] bool next_is_trade() const noexcept {
        if (trade_ == last_trade_) return false;
        return quote_ == last_quote_ || m_->trade_time[trade_] <= m_->quote_time[quote_];
    }
    [[nodiscard]] std::int64_t next_time() const noexcept {
        return next_is_trade() ? m_->trade_time[trade_] : m_->quote_time[quote_];
    }
    std::size_t take_trade() noexcept { return trade_++; }
    std::size_t take_quote() noexcept { return quote_++; }

private:
    const MarketColumns* m_ = nullptr;
    std::size_t trade_ = 0, last_trade_ = 0, quote_ = 0, last_quote_ = 0;
};

}  // namespace calibrig

// Resampled days through the real engine: the minutes of recorded days in a new order, one run per position limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "parallel.hpp"
#include "replay.hpp"

namespace calibrig {

// Minutes of recorded days on a grid of `cells` instants each: the book, and per side (buy, sell) the furthest price and
// the volume traded in the cell.
struct MinuteColumns {
    const std::int64_t* bid = nullptr;  // minutes x cells
    const std::int64_t* ask = nullptr;
    const std::int64_t* bid_lots = nullptr;
    const std::int64_t* ask_lots = nullptr;
    const std::int64_t* trade_price = nullptr;  // minutes x cells x 2
    const std::int64_t* trade_lots = nullptr;
    const std::int64_t* start_twice_mid = nullptr;  // minutes
    const std::int64_t* end_twice_mid = nullptr;
    std::size_t minutes = 0, cells = 0;
    std::int64_t cell_ns = 0, minute_ns = 0;
};

struct PathOutcome {
    double drawdown = 0.0, pnl = 0.0;  // ticks x lots
    std::int64_t largest_position = 0, fills = 0;
};

// The ticks of one day made from minutes: the price runs on from minute to minute, shifted by whole ticks where they
// meet. The twin is calibrig.calibration.resampled_days.assemble_days.
class DayTicks {
public:
    explicit DayTicks(const MinuteColumns& minutes) : m_(minutes) {}

    void assemble(const std::int64_t* rows, std::size_t length) {
        resize(length * m_.cells);
        std::size_t quote = 0, trade = 0;
        std::int64_t run = m_.start_twice_mid[rows[0]], t = 0;
        for (std::size_t i = 0; i < length; ++i) {
            const auto row = static_cast<std::size_t>(rows[i]);
            const std::int64_t shift = (run - m_.start_twice_mid[row]) >> 1;  // rounds downwards
            for (std::size_t c = 0; c < m_.cells; ++c, t += m_.cell_ns, ++quote) {
                const std::size_t cell = row * m_.cells + c;
                quote_time_[quote] = t;
                bid_[quote] = m_.bid[cell] + shift;
                ask_[quote] = m_.ask[cell] + shift;
                bid_lots_[quote] = m_.bid_lots[cell];
                ask_lots_[quote] = m_.ask_lots[cell];
                for (std::size_t side = 0; side < 2; ++side) {
                    const std::int64_t lots = m_.trade_lots[2 * cell + side];
                    if (lots <= 0) continue;
                    trade_time_[trade] = t + static_cast<std::int64_t>(side + 1) * m_.cell_ns / 3;
                    trade_price_[trade] = m_.trade_price[2 * cell + side] + shift;
                    trade_lots_[trade] = lots;
                    trade_side_[trade++] = side == 0 ? 1 : -1;
                }
            }
            run += m_.end_twice_mid[row] - m_.start_twice_mid[row];
        }
        quotes_ = quote;
        trades_ = trade;
        session_[1] = m_.minute_ns * static_cast<std::int64_t>(length);
    }

    [[nodiscard]] MarketColumns columns() const noexcept {
        MarketColumns m;
        m.trade_time = trade_time_.data();
        m.trade_price = trade_price_.data();
        m.trade_lots = trade_lots_.data();
        m.trade_side = trade_side_.data();
        m.trades = trades_;
        m.quote_time = quote_time_.data();
        m.bid = bid_.data();
        m.bid_lots = bid_lots_.data();
        m.ask = ask_.data();
        m.ask_lots = ask_lots_.data();
        m.quotes = quotes_;
        m.sessions = session_;
        m.session_count = 1;
        return m;
    }

private:
    void resize(std::size_t cells) {
        if (quote_time_.size() >= cells) return;
        for (auto* column : {&quote_time_, &bid_, &bid_lots_, &ask_, &ask_lots_}) column->resize(cells);
        for (auto* column : {&trade_time_, &trade_price_, &trade_lots_}) column->resize(2 * cells);
        trade_side_.resize(2 * cells);
    }

    MinuteColumns m_;
    std::vector<std::int64_t> trade_time_, trade_price_, trade_lots_, quote_time_, bid_, bid_lots_, ask_, ask_lots_;
    std::vector<std::int8_t> trade_side_;
    std::size_t quotes_ = 0, trades_ = 0;
    std::int64_t session_[2] = {0, 0};
};

// `days` days of `length` rows each, every one under every block (one per position limit); out[day][block]. Each day is
// run by itself, so threads change nothing. False if a stop was asked for.
inline bool run_days(const MinuteColumns& minutes, const std::int64_t* rows, std::size_t days, std::size_t length,
                     const ReplayOptions& options, const Limits& limits, const std::vector<ParameterBlock>& blocks,
                     int threads, const StopRequest& stop, PathOutcome* out) {
    return for_each_index(days, threads, stop, [&](std::size_t day) {
        DayTicks ticks(minutes);
        ticks.assemble(rows + day * length, length);
        for (std::size_t b = 0; b < blocks.size(); ++b) {
            Replay replay(ticks.columns(), options, limits, nullptr);
            replay.publish(std::make_unique<ParameterBlock>(blocks[b]));
            replay.run(std::numeric_limits<std::int64_t>::max());
            const SessionRow& told = replay.sessions().front();
            out[day * blocks.size() + b] = {told.drawdown, told.pnl, told.largest_position, told.fills};
        }
    });
}

}  // namespace calibrig

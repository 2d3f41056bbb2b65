// Resampled days through the real engine: drawdown per path and position limit, with common random numbers.
#pragma once

#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "hawkes_random.hpp"
#include "replay.hpp"

namespace calibrig {

// What happened in each step (one minute, say) of the recorded days.
struct StepColumns {
    const double* move = nullptr;        // mid return over the step
    const double* volatility = nullptr;  // of the mid inside the step, return per sqrt second, around its drift
    const std::int64_t* spread = nullptr;
    const std::int64_t* buys = nullptr;  // market orders
    const std::int64_t* sells = nullptr;
    const std::int64_t* touch_lots = nullptr;
    const double* order_lots = nullptr;  // mean size of a market order
    std::size_t rows = 0;
};

struct PathOptions {
    std::int64_t step_ns = 60'000'000'000;
    int substeps = 12;            // quotes per step
    int groups = 4;               // market orders of a side and substep are merged into at most so many
    double block_rows = 30.0;     // mean length of a bootstrap block
    std::size_t path_rows = 390;
    double start_price_ticks = 0.0;
    double decay_per_tick = 1.0;  // kappa: distances of orders from the mid are exponential
    std::uint64_t seed = 0;
};

struct PathOutcome {
    double drawdown = 0.0, pnl = 0.0;  // ticks x lots
    std::int64_t largest_position = 0, fills = 0;
};

// The ticks of one path: what the engine sees does not depend on what it does.
class PathMarket {
public:
    PathMarket(const StepColumns& steps, const PathOptions& options) : steps_(steps), o_(options) {
        counts_.resize(static_cast<std::size_t>(o_.substeps) * 2);
        walk_.resize(static_cast<std::size_t>(o_.substeps) + 1);
    }

    // rows: the path's rows of the steps, or null for a stationary bootstrap.
    void draw(std::uint64_t path, const std::int64_t* rows) {
        Random random(o_.seed, path);
        for (auto* c : {&trade_time_, &trade_price_, &trade_lots_, &quote_time_, &bid_, &bid_lots_, &ask_, &ask_lots_})
            c->clear();
        trade_side_.clear();
        session_[0] = 0;
        session_[1] = o_.step_ns * static_cast<std::int64_t>(o_.path_rows);
        double mid = o_.start_price_ticks;
        std::size_t row = 0;
        for (std::size_t i = 0; i < o_.path_rows; ++i) {
            if (rows != nullptr)
                row = static_cast<std::size_t>(rows[i]);
            else if (i == 0 || random.uniform() * o_.block_rows < 1.0)
                row = static_cast<std::size_t>(random.uniform() * static_cast<double>(steps_.rows));
            else
                row = row + 1 == steps_.rows ? 0 : row + 1;
            mid = add_step(random, row, o_.step_ns * static_cast<std::int64_t>(i), mid);
        }
    }

    [[nodiscard]] MarketColumns columns() const noexcept {
        MarketColumns m;
        m.trade_time = trade_time_.data();
        m.trade_price = trade_price_.data();
        m.trade_lots = trade_lots_.data();
        m.trade_side = trade_side_.data();
        m.trades = trade_time_.size();
        m.quote_time = quote_time_.data();
        m.bid = bid_.data();
        m.bid_lots = bid_lots_.data();
        m.ask = ask_.data();
        m.ask_lots = ask_lots_.data();
        m.quotes = quote_time_.size();
        m.sessions = session_;
        m.session_count = 1;
        return m;
    }

private:
    static double normal(Random& random) noexcept {  // Marsaglia's polar method: no sine, no cosine
        while (true) {
            const double u = 2.0 * random.uniform() - 1.0, v = 2.0 * random.uniform() - 1.0;
            const double s = u * u + v * v;
            if (s > 0.0 && s < 1.0) return u * std::sqrt(-2.0 * portable_log(s) / s);
        }
    }

    double add_step(Random& random, std::size_t row, std::int64_t start_ns, double mid) {
        const auto parts = static_cast<std::size_t>(o_.substeps);
        const std::int64_t part_ns = o_.step_ns / o_.substeps;
        const double scale = steps_.volatility[row] * std::sqrt(static_cast<double>(part_ns) * 1e-9);
        for (std::size_t j = 1; j <= parts; ++j) walk_[j] = walk_[j - 1] + scale * normal(random);
        for (auto& n : counts_) n = 0;
        for (std::int64_t k = 0; k < steps_.buys[row]; ++k) ++counts_[2 * (random.next() % parts)];
        for (std::int64_t k = 0; k < steps_.sells[row]; ++k) ++counts_[2 * (random.next() % parts) + 1];
        for (std::size_t j = 0; j < parts; ++j) {
            const double share = static_cast<double>(j + 1) / static_cast<double>(parts);
            const double now = mid * (1.0 + steps_.move[row] * share + walk_[j + 1] - share * walk_[parts]);
            const std::int64_t t = start_ns + part_ns * static_cast<std::int64_t>(j);
            add_quote(t, now, row);
            add_orders(random, t, part_ns, now, row, counts_[2 * j], counts_[2 * j + 1]);
        }
        return mid * (1.0 + steps_.move[row]);
    }

    void add_quote(std::int64_t t, double mid, std::size_t row) {
        const std::int64_t spread = steps_.spread[row];
        auto bid = static_cast<std::int64_t>(std::floor(mid - 0.5 * static_cast<double>(spread) + 0.5));
        if (bid < 1) bid = 1;
        quote_time_.push_back(t);
        bid_.push_back(bid);
        ask_.push_back(bid + spread);
        bid_lots_.push_back(steps_.touch_lots[row]);
        ask_lots_.push_back(steps_.touch_lots[row]);
    }

    void add_orders(Random& random, std::int64_t t, std::int64_t part_ns, double mid, std::size_t row,
                    std::int64_t buys, std::int64_t sells) {
        const std::int64_t groups = o_.groups;
        const std::int64_t slots = 2 * groups;
        for (std::int64_t g = 0; g < groups; ++g) {
            // group g takes its share of the side's orders; sides take turns inside the substep
            const std::int64_t b = buys * (g + 1) / groups - buys * g / groups;
            const std::int64_t s = sells * (g + 1) / groups - sells * g / groups;
            add_order(random, t + part_ns * (2 * g + 1) / (slots + 1), mid, row, b, 1);
            add_order(random, t + part_ns * (2 * g + 2) / (slots + 1), mid, row, s, -1);
        }
    }

    // n orders as one: their summed size, and the furthest of their n exponential distances.
    void add_order(Random& random, std::int64_t t, double mid, std::size_t row, std::int64_t n, int side) {
        if (n == 0) return;
        const double share = portable_exp(portable_log(random.uniform()) / static_cast<double>(n));
        const double distance = share < 1.0 ? -portable_log(1.0 - share) / o_.decay_per_tick : 0.0;
        const std::int64_t touch = side > 0 ? ask_.back() : bid_.back();
        const double reach = mid + side * distance;
        auto price = static_cast<std::int64_t>(side > 0 ? std::floor(reach) : std::ceil(reach));
        if (side > 0 ? price < touch : price > touch) price = touch;
        if (price < 1) price = 1;
        auto lots = static_cast<std::int64_t>(steps_.order_lots[row] * static_cast<double>(n) + 0.5);
        trade_time_.push_back(t);
        trade_price_.push_back(price);
        trade_lots_.push_back(lots < 1 ? 1 : lots);
        trade_side_.push_back(static_cast<std::int8_t>(side));
    }

    StepColumns steps_;
    PathOptions o_;
    std::vector<std::int64_t> counts_;
    std::vector<double> walk_;
    std::vector<std::int64_t> trade_time_, trade_price_, trade_lots_, quote_time_, bid_, bid_lots_, ask_, ask_lots_;
    std::vector<std::int8_t> trade_side_;
    std::int64_t session_[2] = {0, 0};
};

// Paths first .. first + count, each under every block (one per position limit); out[path][block].
inline void run_paths(const StepColumns& steps, const PathOptions& path_options, const ReplayOptions& replay_options,
                      const Limits& limits, const std::vector<ParameterBlock>& blocks, std::uint64_t first,
                      std::size_t count, const std::int64_t* rows, int threads, PathOutcome* out) {
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        PathMarket market(steps, path_options);
        for (std::size_t i = next++; i < count; i = next++) {
            market.draw(first + i, rows == nullptr ? nullptr : rows + i * path_options.path_rows);
            for (std::size_t b = 0; b < blocks.size(); ++b) {
                Replay replay(market.columns(), replay_options, limits, nullptr);
                replay.publish(std::make_unique<ParameterBlock>(blocks[b]));
                replay.run(std::numeric_limits<std::int64_t>::max());
                const SessionRow& day = replay.sessions().front();
                out[i * blocks.size() + b] = {day.drawdown, day.pnl, day.largest_position, day.fills};
            }
        }
    };
    std::vector<std::thread> others;
    for (int t = 1; t < threads; ++t) others.emplace_back(work);
    work();
    for (auto& thread : others) thread.join();
}

}  // namespace calibrig

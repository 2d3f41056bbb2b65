// Quotes in integer ticks; models/quoting.py states the mathematics. Prepared once per parameter version.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "hawkes_random.hpp"

namespace calibrig {

enum class QuotingForm : int { stationary = 0, finite_horizon = 1 };

struct QuotingParameters {
    double gamma = 0.0, sigma_abs = 0.0, kappa = 0.0, horizon_s = 0.0, arrival_rate = 0.0;
    double tick_size = 0.0, lot_size = 0.0, order_size = 0.0;
    double maker_fee = 0.0;  // share of the value, in the edge
    double signal_weight = 1.0;
    QuotingForm form = QuotingForm::stationary;
    bool touch_only = false;
};

struct QuotePrices {
    std::int64_t bid = 0, ask = 0;
    double shift_ticks = 0.0;  // reservation price minus mid
};

// ln(f[n-1] / f[n]), n = 1 .. levels, of the exact steady state: continued fraction and bisection.
inline std::vector<double> steady_state_log_ratios(double stiffness, std::size_t levels) {
    std::vector<double> ratios(levels);
    const auto below = [&](double value) noexcept {
        double ratio = 0.0;
        for (std::size_t n = levels; n >= 1; --n) {
            const double x = static_cast<double>(n);
            const double denominator = stiffness * x * x - value - ratio;
            if (denominator <= 0.0) return false;
            ratio = 1.0 / denominator;
            ratios[n - 1] = ratio;
        }
        return value + 2.0 * ratio < 0.0;
    };
    double low = -2.0, high = 0.0;
    for (int i = 0; i < 200; ++i) {
        const double value = 0.5 * (low + high);
        if (value == low || value == high) break;
        if (below(value))
            low = value;
        else
            high = value;
    }
    below(low);
    for (double& ratio : ratios) ratio = -portable_log(ratio);
    return ratios;
}

class QuotingModel {
public:
    static constexpr double stiffness_limit = 0.01;
    static constexpr std::size_t max_levels = 20'000;

    QuotingModel() = default;
    QuotingModel(const QuotingParameters& p, std::int64_t limit_lots) : p_(p) {
        const double scaled = p.gamma * p.order_size / p.kappa;
        const double log_1p = log_of_one_plus(scaled);
        edge_ticks_ = log_1p / (p.gamma * p.order_size) / p.tick_size;
        const double eta = p.arrival_rate * portable_exp(-(1.0 + 1.0 / scaled) * log_1p);
        stiffness_ = p.kappa * p.gamma * p.sigma_abs * p.sigma_abs * p.order_size / (2.0 * eta);
        step_ticks_ = std::sqrt(stiffness_) / p.kappa / p.tick_size;
        risk_ticks_per_s_ = p.gamma * p.sigma_abs * p.sigma_abs / p.tick_size;
        if (!p.touch_only && p.form == QuotingForm::stationary && stiffness_ > stiffness_limit) {
            const double orders = static_cast<double>(limit_lots) * p.lot_size / p.order_size;
            auto levels = static_cast<std::size_t>(orders < 1.0 ? 1.0 : orders);
            table_ = steady_state_log_ratios(stiffness_, levels < max_levels ? levels : max_levels);
            for (double& value : table_) value /= p.kappa * p.tick_size;
        }
    }

    [[nodiscard]] double stiffness() const noexcept { return stiffness_; }
    [[nodiscard]] bool exact() const noexcept { return !table_.empty(); }

    // Post-only prices for a sound book; position in lots, signal in half-spreads, time_left_s for the finite horizon.
    [[nodiscard]] QuotePrices prices(std::int64_t best_bid, std::int64_t best_ask, std::int64_t position_lots,
                                     double signal, double time_left_s) const noexcept {
        const double units = static_cast<double>(position_lots) * p_.lot_size;
        if (p_.touch_only) {
            const double shift = -risk_ticks_per_s_ * p_.horizon_s * units;
            const auto steps = floor_to_integer(shift + 0.5);
            return {best_bid + (steps < 0 ? steps : 0), best_ask + (steps > 0 ? steps : 0), shift};
        }
        double bid_distance, ask_distance;
        if (p_.form == QuotingForm::finite_horizon) {
            const double risk = risk_ticks_per_s_ * time_left_s;
            const double half = 0.5 * risk * p_.order_size + edge_ticks_;
            bid_distance = half + risk * units;
            ask_distance = half - risk * units;
        } else {
            const double orders = units / p_.order_size;
            bid_distance = edge_ticks_ + step(orders);
            ask_distance = edge_ticks_ + step(-orders);
        }
        const double mid = 0.5 * static_cast<double>(best_bid + best_ask);
        const double shift = p_.signal_weight * signal * 0.5 * static_cast<double>(best_ask - best_bid);
        const double fee = p_.maker_fee * mid;
        std::int64_t bid = floor_to_integer(mid + shift - bid_distance - fee);
        std::int64_t ask = -floor_to_integer(-(mid + shift + ask_distance + fee));
        if (bid > best_ask - 1) bid = best_ask - 1;
        if (ask < best_bid + 1) ask = best_bid + 1;
        if (bid > ask - 1) bid = ask - 1;
        return {bid, ask, shift + 0.5 * (ask_distance - bid_distance)};
    }

private:
    // ln(1 + x) with full relative accuracy for small x (Kahan).
    static double log_of_one_plus(double x) noexcept {
        const double u = 1.0 + x;
        return u == 1.0 ? x : portable_log(u) * (x / (u - 1.0));
    }

    static std::int64_t floor_to_integer(double x) noexcept {
        if (x > 4e18) return 4'000'000'000'000'000'000;
        if (!(x > -4e18)) return -4'000'000'000'000'000'000;  // not a number comes here: the price collar refuses it
        const auto whole = static_cast<std::int64_t>(x);
        return whole - (static_cast<double>(whole) > x ? 1 : 0);
    }

    [[nodiscard]] double step(double orders) const noexcept {
        if (table_.empty()) return (orders + 0.5) * step_ticks_;
        const std::int64_t whole = floor_to_integer(orders);
        const double fraction = orders - static_cast<double>(whole);
        return (1.0 - fraction) * at(whole) + fraction * at(whole + 1);
    }

    [[nodiscard]] double at(std::int64_t n) const noexcept {
        const auto last = static_cast<std::int64_t>(table_.size()) - 1;
        if (n >= 0) return table_[static_cast<std::size_t>(n < last ? n : last)];
        return -table_[static_cast<std::size_t>(-n - 1 < last ? -n - 1 : last)];
    }

    QuotingParameters p_{};
    std::vector<double> table_;
    double edge_ticks_ = 0.0, step_ticks_ = 0.0, stiffness_ = 0.0, risk_ticks_per_s_ = 0.0;
};

}  // namespace calibrig

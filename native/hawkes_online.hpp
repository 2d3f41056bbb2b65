// The two-sided power-law Hawkes intensity, event by event, in O(M): a sum of exponentials on the nodes
// x_k = x_0 2^k whose weights follow from the gamma integral (trapezoid rule in log x). No allocation.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

#include "hawkes_random.hpp"

namespace calibrig {

class HawkesOnline {
public:
    static constexpr int lanes = 8;       // chains of doubling nodes, advanced side by side
    static constexpr int max_depth = 12;  // nodes per chain

    // alpha in s^(gamma-1), beta in s, lambda_base in 1/s; profile: equal bins over the session, mean 1.
    // horizon_s: the longest gap whose kernel value matters (the session length).
    HawkesOnline(double alpha_self, double alpha_cross, double beta, double gamma, double lambda_base,
                 double asymmetry, std::vector<double> profile, double horizon_s = 86400.0)
        : alpha_self_(alpha_self), alpha_cross_(alpha_cross), profile_(std::move(profile)) {
        if (!(beta > 0.0) || !(gamma > 1.0) || !(lambda_base > 0.0) || !(horizon_s > 0.0) || profile_.empty())
            throw std::invalid_argument("beta, lambda_base, horizon_s must be above 0, gamma above 1, profile not empty");
        base_ = {lambda_base * std::exp(asymmetry), lambda_base * std::exp(-asymmetry)};
        const double low = 0.02 / (horizon_s + beta);
        const double high = (24.0 + 2.0 * gamma) / beta;
        const int needed = static_cast<int>(std::ceil(std::log2(high / low))) + 1;
        depth_ = (needed + lanes - 1) / lanes;
        if (depth_ > max_depth) depth_ = max_depth;
        const double x_0 = high / std::exp2(lanes * depth_ - 1);
        const double scale = std::log(0.69314718055994530942) - std::lgamma(gamma);
        for (int l = 0; l < lanes; ++l) {
            start_[l] = x_0 * std::exp2(l * depth_);
            for (int j = 0; j < depth_; ++j) {
                const double x = start_[l] * std::exp2(j);
                rate_[j][l] = x;
                weight_[j][l] = std::exp(scale + gamma * std::log(x) - beta * x);
            }
        }
        weight_[0][0] /= 1.0 - std::exp2(-gamma);  // the nodes below x_0, where exp(-x tau) is 1
        for (int j = 0; j < depth_; ++j)
            for (int l = 0; l < lanes; ++l) kernel_at_zero_ += weight_[j][l];
        reset(0, static_cast<std::int64_t>(horizon_s * 1e9));
    }

    // Begin a session: no memory of what came before; the profile spans [start, end).
    void reset(std::int64_t session_start_ns, std::int64_t session_end_ns) {
        if (session_end_ns <= session_start_ns) throw std::invalid_argument("a session must end after it starts");
        now_ns_ = start_ns_ = session_start_ns;
        bins_per_ns_ = static_cast<double>(profile_.size()) / static_cast<double>(session_end_ns - session_start_ns);
        for (auto& side : state_)
            for (auto& row : side)
                for (double& value : row) value = 0.0;
        excitation_ = {0.0, 0.0};
    }

    // An event of side 0 (buy) or 1 (sell). A time before the last one counts as the last one.
    void event(std::int64_t t_ns, int side_index) noexcept {
        advance(t_ns);
        for (int j = 0; j < depth_; ++j)
            for (int l = 0; l < lanes; ++l) state_[side_index][j][l] += 1.0;
        excitation_[side_index] += kernel_at_zero_;
    }

    // Buy and sell intensity at t (1/s), all events given so far included.
    std::array<double, 2> intensity(std::int64_t t_ns) noexcept {
        advance(t_ns);
        const double b = profile(t_ns);
        return {base_[0] * b + alpha_self_ * excitation_[0] + alpha_cross_ * excitation_[1],
                base_[1] * b + alpha_self_ * excitation_[1] + alpha_cross_ * excitation_[0]};
    }

    // Height of the time-of-day profile at t.
    [[nodiscard]] double profile(std::int64_t t_ns) const noexcept {
        auto bin = static_cast<std::int64_t>(static_cast<double>(t_ns - start_ns_) * bins_per_ns_);
        const auto last = static_cast<std::int64_t>(profile_.size()) - 1;
        bin = bin < 0 ? 0 : (bin > last ? last : bin);
        return profile_[static_cast<std::size_t>(bin)];
    }

    [[nodiscard]] std::array<double, 2> base() const noexcept { return base_; }
    [[nodiscard]] int nodes() const noexcept { return lanes * depth_; }
    [[nodiscard]] std::int64_t now_ns() const noexcept { return now_ns_; }

    void advance(std::int64_t t_ns) noexcept {
        if (t_ns <= now_ns_) return;
        decay(static_cast<double>(t_ns - now_ns_) * 1e-9);
        now_ns_ = t_ns;
    }

    // Let dt_s seconds pass (for clocks finer than a nanosecond; the profile clock is not moved).
    void decay(double dt_s) noexcept {
        double e[lanes];
        double sum_0[lanes] = {}, sum_1[lanes] = {};
        for (int l = 0; l < lanes; ++l) e[l] = portable_exp(-start_[l] * dt_s);
        for (int j = 0; j < depth_; ++j) {
            for (int l = 0; l < lanes; ++l) {
                state_[0][j][l] *= e[l];
                state_[1][j][l] *= e[l];
                sum_0[l] += weight_[j][l] * state_[0][j][l];
                sum_1[l] += weight_[j][l] * state_[1][j][l];
                e[l] *= e[l];
            }
        }
        excitation_ = {0.0, 0.0};
        for (int l = 0; l < lanes; ++l) {
            excitation_[0] += sum_0[l];
            excitation_[1] += sum_1[l];
        }
    }

private:
    alignas(64) double state_[2][max_depth][lanes];
    alignas(64) double weight_[max_depth][lanes];
    alignas(64) double rate_[max_depth][lanes];
    alignas(64) double start_[lanes];
    double alpha_self_, alpha_cross_;
    std::vector<double> profile_;
    std::array<double, 2> base_{}, excitation_{};
    std::int64_t now_ns_ = 0, start_ns_ = 0;
    double bins_per_ns_ = 0.0, kernel_at_zero_ = 0.0;
    int depth_ = 0;
};

}  // namespace calibrig

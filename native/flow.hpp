// Buy and sell intensity of market orders, relative to their stationary means, for the features.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "hawkes_online.hpp"

namespace calibrig {

struct HawkesNumbers {
    double alpha_self = 0.0, alpha_cross = 0.0, beta = 1.0, gamma = 2.0, lambda_base = 1.0, asymmetry = 0.0;
    std::vector<double> profile{1.0};
};

struct RelativeIntensity {
    double buy = 1.0, sell = 1.0, imbalance = 0.0;  // what is reported where there is no Hawkes model
};

class OrderFlow {
public:
    OrderFlow() = default;
    explicit OrderFlow(const HawkesNumbers& p)
        : online_(std::in_place, p.alpha_self, p.alpha_cross, p.beta, p.gamma, p.lambda_base, p.asymmetry, p.profile) {
        const double mass = portable_exp((1.0 - p.gamma) * portable_log(p.beta)) / (p.gamma - 1.0);
        const double n_self = p.alpha_self * mass, n_cross = p.alpha_cross * mass;
        const double buy = p.lambda_base * portable_exp(p.asymmetry), sell = p.lambda_base * portable_exp(-p.asymmetry);
        const bool stationary = n_self + n_cross < 1.0;  // else there is no mean: the baseline is the scale
        const double scale = stationary ? 1.0 / ((1.0 - n_self) * (1.0 - n_self) - n_cross * n_cross) : 1.0;
        per_buy_ = 1.0 / (stationary ? ((1.0 - n_self) * buy + n_cross * sell) * scale : buy);
        per_sell_ = 1.0 / (stationary ? ((1.0 - n_self) * sell + n_cross * buy) * scale : sell);
    }

    [[nodiscard]] bool present() const noexcept { return online_.has_value(); }
    void reset(std::int64_t start_ns, std::int64_t end_ns) {
        if (online_) online_->reset(start_ns, end_ns);
    }
    void order(std::int64_t t_ns, int side) noexcept {
        if (online_ && side != 0) online_->event(t_ns, side > 0 ? 0 : 1);
    }
    [[nodiscard]] RelativeIntensity read(std::int64_t t_ns) noexcept {
        if (!online_) return {};
        const std::array<double, 2> rate = online_->intensity(t_ns);
        const double sum = rate[0] + rate[1];
        return {rate[0] * per_buy_, rate[1] * per_sell_, sum > 0.0 ? (rate[0] - rate[1]) / sum : 0.0};
    }

private:
    std::optional<HawkesOnline> online_;
    double per_buy_ = 1.0, per_sell_ = 1.0;
};

}  // namespace calibrig

// Volatility signal and regime machine; models/risk.py states the mathematics.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "hawkes_random.hpp"

namespace calibrig {

struct RegimeParameters {
    std::array<double, 3> thresholds{};
    std::array<double, 4> multipliers{1.0, 0.7, 0.4, 0.0};
    double half_life_s = 300.0, sample_s = 5.0, hysteresis = 0.8, hysteresis_s = 300.0, halt_s = 900.0;
    std::vector<double> medians;  // mid return per sqrt second by equal time-of-day bin
    double typical = 0.0;         // used where there are no medians
};

class RegimeMachine {
public:
    static constexpr double warm_up_s = 60.0;

    void configure(const RegimeParameters& p) {
        p_ = &p;
        sample_ns_ = to_ns(p.sample_s);
        calm_ns_ = to_ns(p.hysteresis_s);
        halt_ns_ = to_ns(p.halt_s);
        decay_ = portable_exp(-0.69314718055994530942 * p.sample_s / p.half_life_s);
        warm_samples_ = static_cast<std::int64_t>(std::ceil(warm_up_s / p.sample_s));
    }

    // A session that is followed from from_ns on; the sampling grid begins at its start.
    void reset(std::int64_t start_ns, std::int64_t end_ns, std::int64_t from_ns) noexcept {
        start_ns_ = start_ns;
        end_ns_ = end_ns;
        next_ns_ = start_ns + ((from_ns - start_ns) / sample_ns_ + 1) * sample_ns_;
        total_ = weight_ = last_mid_ = z_ = 0.0;
        samples_ = 0;
        level_ = 0;
        calm_since_ = -1;
    }

    // Take every sample due at or before t; mid is the one in force until t (0 = none yet). True if the level moved.
    bool advance(std::int64_t t_ns, double mid) noexcept {
        if (t_ns < next_ns_) return false;
        const int before = level_;
        while (next_ns_ <= t_ns) {
            if (next_ns_ < end_ns_) sample(mid);
            next_ns_ += sample_ns_;
        }
        return level_ != before;
    }

    [[nodiscard]] int level() const noexcept { return level_; }
    [[nodiscard]] double z() const noexcept { return z_; }
    [[nodiscard]] std::int64_t next_ns() const noexcept { return next_ns_; }

private:
    static std::int64_t to_ns(double s) noexcept { return static_cast<std::int64_t>(s * 1e9 + 0.5); }

    void sample(double mid) noexcept {
        if (mid <= 0.0) return;
        if (last_mid_ > 0.0) {
            const double move = mid / last_mid_ - 1.0;
            total_ = decay_ * total_ + move * move / p_->sample_s;
            weight_ = decay_ * weight_ + 1.0;
            if (++samples_ > warm_samples_) judge(std::sqrt(total_ / weight_));
        }
        last_mid_ = mid;
    }

    void judge(double volatility) noexcept {
        double typical = p_->typical;
        if (!p_->medians.empty()) {
            const auto bins = static_cast<std::int64_t>(p_->medians.size());
            const auto bin = static_cast<std::int64_t>(static_cast<__int128>(next_ns_ - start_ns_) * bins /
                                                       (end_ns_ - start_ns_));
            typical = p_->medians[static_cast<std::size_t>(bin < bins ? bin : bins - 1)];
        }
        z_ = typical > 0.0 ? volatility / typical : 0.0;
        int reached = 0;
        for (const double threshold : p_->thresholds) reached += z_ >= threshold ? 1 : 0;
        if (reached > 0 && reached >= level_) {
            level_ = reached;
            calm_since_ = -1;
            if (reached == 3) halted_at_ = next_ns_;
        } else if (level_ == 3) {
            if (next_ns_ - halted_at_ >= halt_ns_) {
                level_ = 2;
                calm_since_ = -1;
            }
        } else if (level_ > 0 && z_ < p_->hysteresis * p_->thresholds[static_cast<std::size_t>(level_ - 1)]) {
            if (calm_since_ < 0) calm_since_ = next_ns_;
            if (next_ns_ - calm_since_ >= calm_ns_) {
                --level_;
                calm_since_ = next_ns_;
            }
        } else {
            calm_since_ = -1;
        }
    }

    const RegimeParameters* p_ = nullptr;
    std::int64_t sample_ns_ = 0, calm_ns_ = 0, halt_ns_ = 0, warm_samples_ = 0, samples_ = 0;
    std::int64_t start_ns_ = 0, end_ns_ = 0, next_ns_ = 0, calm_since_ = -1, halted_at_ = 0;
    double decay_ = 0.0, total_ = 0.0, weight_ = 0.0, last_mid_ = 0.0, z_ = 0.0;
    int level_ = 0;
};

}  // namespace calibrig

// The 16 microstructure features, tick by tick (docs/features.md holds each formula, unit and scale).
#pragma once

#include <cmath>
#include <cstdint>

#include "hawkes_random.hpp"

namespace calibrig {

struct Quote {
    std::int64_t bid = 0, bid_lots = 0, ask = 0, ask_lots = 0;
    [[nodiscard]] bool sound() const noexcept { return bid < ask && bid_lots > 0 && ask_lots > 0; }
};

// exp(-dt/1s), exp(-dt/10s), exp(-dt/60s) from one exponential.
struct Decays {
    double s1, s10, s60;
    explicit Decays(double dt_s) noexcept {
        s60 = portable_exp(dt_s * (-1.0 / 60.0));
        const double s30 = s60 * s60;
        s10 = s30 * s30 * s30;
        const double s5 = s10 * s10;
        const double s2_5 = s5 * s5;
        s1 = s2_5 * s2_5 * s5;
    }
};

class Features {
public:
    static constexpr int count = 16;
    static constexpr double age_cap_s = 60.0;

    void reset() noexcept { *this = Features{}; }

    // A change of the best quotes. Unsound ones (crossed, locked, empty) only take time; the last sound book stays.
    void quote(std::int64_t t_ns, const Quote& now) noexcept {
        advance(t_ns);
        note_ages(t_ns);
        last_quote_ns_ = t_ns;
        quoted_ = true;
        sound_ = now.sound();
        if (!sound_) return;
        const double bid_lots = static_cast<double>(now.bid_lots), ask_lots = static_cast<double>(now.ask_lots);
        const double mid = 0.5 * static_cast<double>(now.bid + now.ask);
        if (warm_) {
            double flow = 0.0;
            if (now.bid >= book_.bid) flow += bid_lots;
            if (now.bid <= book_.bid) flow -= bid_lots_;
            if (now.ask <= book_.ask) flow -= ask_lots;
            if (now.ask >= book_.ask) flow += ask_lots_;
            flow_1_ += flow;
            flow_10_ += flow;
            const double move = mid - mid_;
            square_10_ += move * move;
            square_60_ += move * move;
        } else {
            warm_ = true;
            mean_mid_1_ = mean_mid_10_ = mid;
        }
        book_ = now;
        bid_lots_ = bid_lots;
        ask_lots_ = ask_lots;
        mid_ = mid;
    }

    // A market order: side +1 buy, -1 sell, 0 unknown (moves no feature but the time since the last trade).
    void trade(std::int64_t t_ns, int side, std::int64_t lots) noexcept {
        advance(t_ns);
        note_ages(t_ns);
        last_trade_ns_ = t_ns;
        traded_ = true;
        const double volume = static_cast<double>(side) * static_cast<double>(lots);
        volume_1_ += volume;
        volume_10_ += volume;
    }

    // Whether a sound quote stands: the features of this tick mean something.
    [[nodiscard]] bool valid() const noexcept { return warm_ && sound_; }
    [[nodiscard]] const Quote& book() const noexcept { return book_; }
    [[nodiscard]] double mid() const noexcept { return mid_; }

    // Write the features of the tick given last. relative: intensity over its stationary mean; imbalance of the two.
    void write(double* out, double buy_relative, double sell_relative, double intensity_imbalance) const noexcept {
        if (!valid()) {
            for (int i = 0; i < count; ++i) out[i] = 0.0;
            return;
        }
        const double touch = bid_lots_ + ask_lots_;
        const double imbalance = (bid_lots_ - ask_lots_) / touch;
        const double averaged = mean_bid_ + mean_ask_;
        const double size = weight_60_ > 0.0 ? mean_size_ / weight_60_ : 0.5 * touch;
        const double per_size = 1.0 / size;
        const double spread = static_cast<double>(book_.ask - book_.bid);
        const double per_half_spread = 2.0 / spread;
        out[0] = spread;
        out[1] = imbalance;
        out[2] = averaged > 0.0 ? (mean_bid_ - mean_ask_) / averaged : imbalance;
        out[3] = flow_1_ * per_size;
        out[4] = flow_10_ * per_size;
        out[5] = volume_1_ * per_size;
        out[6] = volume_10_ * per_size;
        out[7] = buy_relative;
        out[8] = sell_relative;
        out[9] = intensity_imbalance;
        out[10] = std::sqrt(square_10_ / (length_10_ > 1.0 ? length_10_ : 1.0));
        out[11] = std::sqrt(square_60_ / (length_60_ > 1.0 ? length_60_ : 1.0));
        out[12] = (mid_ - mean_mid_1_) * per_half_spread;
        out[13] = (mid_ - mean_mid_10_) * per_half_spread;
        out[14] = trade_age_s_;
        out[15] = quote_age_s_;
    }

private:
    void advance(std::int64_t t_ns) noexcept {
        if (!started_) {
            started_ = true;
            now_ns_ = t_ns;
            return;
        }
        if (t_ns <= now_ns_) return;
        const double dt = static_cast<double>(t_ns - now_ns_) * 1e-9;
        now_ns_ = t_ns;
        const Decays e{dt};
        flow_1_ *= e.s1;
        flow_10_ *= e.s10;
        volume_1_ *= e.s1;
        volume_10_ *= e.s10;
        if (!warm_) return;
        square_10_ *= e.s10;
        square_60_ *= e.s60;
        length_10_ = length_10_ * e.s10 + 10.0 * (1.0 - e.s10);
        length_60_ = length_60_ * e.s60 + 60.0 * (1.0 - e.s60);
        mean_mid_1_ = mid_ + (mean_mid_1_ - mid_) * e.s1;
        mean_mid_10_ = mid_ + (mean_mid_10_ - mid_) * e.s10;
        mean_bid_ = mean_bid_ * e.s1 + bid_lots_ * (1.0 - e.s1);
        mean_ask_ = mean_ask_ * e.s1 + ask_lots_ * (1.0 - e.s1);
        mean_size_ = mean_size_ * e.s60 + 0.5 * (bid_lots_ + ask_lots_) * (1.0 - e.s60);
        weight_60_ = weight_60_ * e.s60 + (1.0 - e.s60);
    }

    void note_ages(std::int64_t t_ns) noexcept {
        trade_age_s_ = traded_ ? age(t_ns, last_trade_ns_) : age_cap_s;
        quote_age_s_ = quoted_ ? age(t_ns, last_quote_ns_) : age_cap_s;
    }

    static double age(std::int64_t t_ns, std::int64_t then_ns) noexcept {
        const double s = static_cast<double>(t_ns - then_ns) * 1e-9;
        return s < 0.0 ? 0.0 : s > age_cap_s ? age_cap_s : s;
    }

    Quote book_{};
    double bid_lots_ = 0.0, ask_lots_ = 0.0, mid_ = 0.0;
    double flow_1_ = 0.0, flow_10_ = 0.0, volume_1_ = 0.0, volume_10_ = 0.0;
    double square_10_ = 0.0, square_60_ = 0.0, length_10_ = 0.0, length_60_ = 0.0;
    double mean_mid_1_ = 0.0, mean_mid_10_ = 0.0, mean_bid_ = 0.0, mean_ask_ = 0.0, mean_size_ = 0.0, weight_60_ = 0.0;
    double trade_age_s_ = age_cap_s, quote_age_s_ = age_cap_s;
    std::int64_t now_ns_ = 0, last_trade_ns_ = 0, last_quote_ns_ = 0;
    bool started_ = false, warm_ = false, sound_ = false, traded_ = false, quoted_ = false;
};

}  // namespace calibrig

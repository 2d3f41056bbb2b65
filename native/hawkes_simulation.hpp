// Exact simulation of the two-sided power-law Hawkes process on one session: cluster (branching) form, and
// Ogata thinning on the exponential sum as an independent check.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "hawkes_online.hpp"
#include "hawkes_random.hpp"
#include "parallel.hpp"

namespace calibrig {

struct HawkesTruth {
    double n_self, n_cross, beta, gamma, lambda_base, asymmetry;
    std::vector<double> profile;
};

// Keys are (nanoseconds since the session start) * 2 + side index, so one sort orders time and carries side.
using EventKeys = std::vector<std::uint64_t>;

constexpr std::size_t steps_between_stops = 100'000;  // about ten milliseconds

inline void radix_sort(EventKeys& keys, EventKeys& scratch, std::uint64_t largest) {
    constexpr int bits = 11;
    constexpr std::size_t buckets = std::size_t{1} << bits;
    if (keys.size() < 2048) {
        std::sort(keys.begin(), keys.end());
        return;
    }
    scratch.resize(keys.size());
    for (int shift = 0; shift < 64 && (largest >> shift) != 0; shift += bits) {
        std::array<std::size_t, buckets> count{};
        for (const std::uint64_t key : keys) ++count[(key >> shift) & (buckets - 1)];
        std::size_t sum = 0;
        for (std::size_t& c : count) {
            const std::size_t n = c;
            c = sum;
            sum += n;
        }
        for (const std::uint64_t key : keys) scratch[count[(key >> shift) & (buckets - 1)]++] = key;
        keys.swap(scratch);
    }
}

// Cluster form: immigrants by exponential gaps in each profile bin, then each event's children: a Poisson
// number of them, delays by inversion of the kernel, tau = beta (U^(-1/(gamma-1)) - 1).
inline EventKeys simulate_clusters(const HawkesTruth& truth, std::int64_t length_ns, std::uint64_t seed,
                                   std::uint64_t stream, std::size_t max_events, const StopRequest& stop = {}) {
    Random random(seed, stream);
    EventKeys keys;
    const double length = static_cast<double>(length_ns);  // all times in ns
    const double bin = length / static_cast<double>(truth.profile.size());
    const auto add = [&](double t, unsigned side) {
        if (keys.size() >= max_events) throw std::length_error("max_events");
        keys.push_back(static_cast<std::uint64_t>(t) * 2 + side);
    };
    for (unsigned side = 0; side < 2; ++side) {
        const double base = truth.lambda_base * std::exp(side == 0 ? truth.asymmetry : -truth.asymmetry) * 1e-9;
        for (std::size_t j = 0; j < truth.profile.size(); ++j) {
            const double rate = base * truth.profile[j];
            if (rate <= 0.0) continue;
            const double end = std::min(length, bin * static_cast<double>(j + 1));
            for (double t = bin * static_cast<double>(j) + random.exponential() / rate; t < end;
                 t += random.exponential() / rate)
                add(t, side);
        }
    }
    const double n = truth.n_self + truth.n_cross;
    const double cross = n > 0.0 ? truth.n_cross / n : 0.0;
    const double none = std::exp(-n);
    const double power = 1.0 / (truth.gamma - 1.0);
    const double beta_ns = truth.beta * 1e9;
    for (std::size_t i = 0; i < keys.size(); ++i) {
        if (i % steps_between_stops == 0 && stop && stop()) throw Stopped{};
        const double u = random.uniform();
        double p = none, sum = none;
        for (int children = 1; u > sum && children < 64; ++children) {
            p *= n / children;
            sum += p;
            const double delay = beta_ns * (portable_exp(power * random.exponential()) - 1.0);
            const unsigned flip = random.uniform() < cross ? 1u : 0u;
            const double t = static_cast<double>(keys[i] >> 1) + delay;
            if (t < length) add(t, static_cast<unsigned>(keys[i] & 1u) ^ flip);
        }
    }
    EventKeys scratch;
    radix_sort(keys, scratch, static_cast<std::uint64_t>(length_ns) * 2 + 1);
    return keys;
}

// Ogata's thinning: between events the excitation falls, so its present value bounds the intensity until the
// next event or profile border.
inline EventKeys simulate_thinning(const HawkesTruth& truth, std::int64_t length_ns, std::uint64_t seed,
                                   std::uint64_t stream, std::size_t max_events, const StopRequest& stop = {}) {
    Random random(seed, stream);
    const double to_alpha = (truth.gamma - 1.0) * std::pow(truth.beta, truth.gamma - 1.0);
    const double length_s = static_cast<double>(length_ns) * 1e-9;
    HawkesOnline online(truth.n_self * to_alpha, truth.n_cross * to_alpha, truth.beta, truth.gamma,
                        truth.lambda_base, truth.asymmetry, truth.profile, length_s);
    online.reset(0, length_ns);
    EventKeys keys;
    const auto bins = static_cast<double>(truth.profile.size());
    double t = 0.0;  // ns
    std::size_t bin = 0;
    auto now = online.intensity(0);
    for (std::size_t i = 1; t < static_cast<double>(length_ns); ++i) {
        if (i % steps_between_stops == 0 && stop && stop()) throw Stopped{};
        const double bound = now[0] + now[1];
        const double border = static_cast<double>(length_ns) * static_cast<double>(bin + 1) / bins;
        const double next = bound > 0.0 ? t + random.exponential() / bound * 1e9 : border;
        if (next >= border) {
            t = border;
            if (++bin >= truth.profile.size()) break;
            now = online.intensity(static_cast<std::int64_t>(std::ceil(t)));
            continue;
        }
        t = next;
        const auto t_ns = static_cast<std::int64_t>(t);
        now = online.intensity(t_ns);
        const double u = random.uniform() * bound;
        if (u >= now[0] + now[1]) continue;
        const int side = u < now[0] ? 0 : 1;
        if (keys.size() >= max_events) throw std::length_error("max_events");
        keys.push_back(static_cast<std::uint64_t>(t_ns) * 2 + static_cast<std::uint64_t>(side));
        online.event(t_ns, side);
        now = online.intensity(t_ns);
    }
    return keys;
}

}  // namespace calibrig

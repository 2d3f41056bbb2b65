// Random numbers whose stream depends on the seed alone: xoshiro256++ (Blackman, Vigna 2021) and an
// exponential and logarithm without fused multiply-add, so that a seed means the same events everywhere.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace calibrig {

// exp(y) for y in [-700, 700], relative error below 4e-16; outside it is clamped. Vectorises over arrays.
inline double portable_exp(double y) noexcept {
    constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
    const double clamped = y < -700.0 ? -700.0 : (y > 700.0 ? 700.0 : y);
    const double shifted = clamped * 1.4426950408889634 + magic;
    const double n = shifted - magic;
    const double r = (clamped - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
    double p = 2.5052108385441718775e-08;  // 1 / 11!
    p = p * r + 2.7557319223985890653e-07;
    p = p * r + 2.7557319223985892511e-06;
    p = p * r + 2.4801587301587301566e-05;
    p = p * r + 1.9841269841269841253e-04;
    p = p * r + 1.3888888888888889419e-03;
    p = p * r + 8.3333333333333332177e-03;
    p = p * r + 4.1666666666666664354e-02;
    p = p * r + 1.6666666666666665741e-01;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    const auto exponent = std::bit_cast<std::uint64_t>(shifted) << 52;
    return std::bit_cast<double>(std::bit_cast<std::uint64_t>(p) + exponent);
}

// log(v) for positive normal v, relative error about 1e-15: mantissa in [sqrt(1/2), sqrt(2)), atanh series.
inline double portable_log(double v) noexcept {
    std::uint64_t bits = std::bit_cast<std::uint64_t>(v);
    int exponent = static_cast<int>(bits >> 52) - 1023;
    bits = (bits & 0x000fffffffffffffULL) | 0x3ff0000000000000ULL;
    double m = std::bit_cast<double>(bits);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        ++exponent;
    }
    const double z = (m - 1.0) / (m + 1.0);
    const double q = z * z;
    double p = 1.0 / 19.0;
    p = p * q + 1.0 / 17.0;
    p = p * q + 1.0 / 15.0;
    p = p * q + 1.0 / 13.0;
    p = p * q + 1.0 / 11.0;
    p = p * q + 1.0 / 9.0;
    p = p * q + 1.0 / 7.0;
    p = p * q + 1.0 / 5.0;
    p = p * q + 1.0 / 3.0;
    p = p * q + 1.0;
    return exponent * 0.693147180559945309417 + 2.0 * z * p;
}

class Random {
public:
    Random(std::uint64_t seed, std::uint64_t stream) noexcept {
        std::uint64_t s = seed * 0x9e3779b97f4a7c15ULL ^ (stream + 1) * 0xd1342543de82ef95ULL;
        for (auto& word : state_) {  // splitmix64 fills the state, as its authors advise
            s += 0x9e3779b97f4a7c15ULL;
            std::uint64_t z = s;
            z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
            z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
            word = z ^ (z >> 31);
        }
    }

    std::uint64_t next() noexcept {
        const std::uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
        const std::uint64_t t = state_[1] << 17;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= t;
        state_[3] = std::rotl(state_[3], 45);
        return result;
    }

    // Uniform on (0, 1): never 0, never 1.
    double uniform() noexcept { return (static_cast<double>(next() >> 12) + 0.5) * 0x1.0p-52; }

    double exponential() noexcept { return -portable_log(uniform()); }

private:
    std::uint64_t state_[4];
};

}  // namespace calibrig

// Stands before the compiler's <immintrin.h>: AVX-512 intrinsics in portable C (SIMDe), so that the AVX-512 kernels run
// on a processor without it. What SIMDe 0.7 lacks is written out from the instructions' descriptions.
#pragma once

#include_next <immintrin.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace portable {

template <class Lane, class Vector>
using Lanes = std::array<Lane, sizeof(Vector) / sizeof(Lane)>;

template <class Lane, class Vector>
Lanes<Lane, Vector> lanes(Vector v) {
    return std::bit_cast<Lanes<Lane, Vector>>(v);
}

// VPMOVDW: the low half of each 32-bit integer.
template <class Half, class Vector>
Half narrow(Vector a) {
    const auto in = lanes<std::uint32_t>(a);
    Lanes<std::uint16_t, Half> out{};
    for (std::size_t i = 0; i < in.size(); ++i) out[i] = static_cast<std::uint16_t>(in[i] & 0xffffu);
    return std::bit_cast<Half>(out);
}

// VPSRAD: every 32-bit integer shifted right by one count, its sign kept.
inline __m512i shift_right(__m512i a, __m128i count) {
    const std::uint64_t by = lanes<std::uint64_t>(count)[0];
    auto out = lanes<std::int32_t>(a);
    for (std::int32_t& value : out) value >>= by > 31 ? 31 : static_cast<int>(by);
    return std::bit_cast<__m512i>(out);
}

// VPCMPGTW into a mask: one bit for each comparison of 16-bit integers.
inline __mmask32 greater(__m512i a, __m512i b) {
    const auto left = lanes<std::int16_t>(a), right = lanes<std::int16_t>(b);
    __mmask32 mask = 0;
    for (std::size_t i = 0; i < left.size(); ++i) mask |= static_cast<__mmask32>(left[i] > right[i]) << i;
    return mask;
}

// VCVTPD2DQ to nearest, ties to even (the rounding mode a process starts with).
inline __m256i round_to_int(__m512d a) {
    const auto in = lanes<double>(a);
    std::array<std::int32_t, 8> out{};
    for (std::size_t i = 0; i < in.size(); ++i) out[i] = static_cast<std::int32_t>(std::nearbyint(in[i]));
    return std::bit_cast<__m256i>(out);
}

// VFPCLASSPD for the classes that are not finite: quiet NaN 0x01, +inf 0x08, -inf 0x10, signalling NaN 0x80.
inline __mmask8 not_finite(__m512d a, int classes) {
    const auto in = lanes<std::uint64_t>(a);
    unsigned mask = 0;
    for (std::size_t i = 0; i < in.size(); ++i) {
        if ((in[i] >> 52 & 0x7ff) != 0x7ff) continue;
        const std::uint64_t fraction = in[i] << 12;
        const int found = fraction == 0 ? (in[i] >> 63 == 0 ? 0x08 : 0x10) : (fraction >> 63 != 0 ? 0x01 : 0x80);
        if ((found & classes) != 0) mask |= 1u << i;
    }
    return static_cast<__mmask8>(mask);
}

}  // namespace portable

#define _mm256_cvtepi32_epi16(a) portable::narrow<__m128i>(a)
#define _mm512_cvtepi32_epi16(a) portable::narrow<__m256i>(a)
#define _mm512_sra_epi32(a, count) portable::shift_right(a, count)
#define _mm512_cmpgt_epi16_mask(a, b) portable::greater(a, b)
#define _mm512_cvt_roundpd_epi32(a, rounding) portable::round_to_int(a)
#define _mm512_fpclass_pd_mask(a, classes) portable::not_finite(a, classes)

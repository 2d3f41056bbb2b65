// Fixed-point kernels of the signal model, once per instruction set: exact integers, equal bit for bit.
#include "signal_packed.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace calibrig::CALIBRIG_ISA {
namespace {

std::int32_t clamp_answer(const PackedSignal* model, std::int64_t value) noexcept {
    const std::int64_t one = model->one;
    value = value > one ? one : value;
    return static_cast<std::int32_t>(value < -one ? -one : value);
}

#if defined(CALIBRIG_ISA_avx512) || defined(CALIBRIG_ISA_avx2)

__m256i load(const void* from) noexcept { return _mm256_load_si256(static_cast<const __m256i*>(from)); }
__m256i load_any(const void* from) noexcept { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
__m256i low_twice(__m256i v) noexcept { return _mm256_permute2x128_si256(v, v, 0x00); }
__m256i high_twice(__m256i v) noexcept { return _mm256_permute2x128_si256(v, v, 0x11); }

#if defined(CALIBRIG_ISA_avx512)

[[gnu::always_inline]] inline __m256i quantise(const PackedSignal* model, const double* x, int* finite) noexcept {
    const __m512d low = _mm512_set1_pd(model->low), high = _mm512_set1_pd(model->high);
    __mmask8 bad = 0;
    __m128i q[2];
    for (int k = 0; k < 2; ++k) {
        const __m512d v = _mm512_loadu_pd(x + 8 * k);
        bad = static_cast<__mmask8>(bad | _mm512_fpclass_pd_mask(v, 0x01 | 0x08 | 0x10 | 0x80));
        const __m512d s = _mm512_mul_pd(_mm512_sub_pd(v, _mm512_load_pd(model->offset + 8 * k)),
                                        _mm512_load_pd(model->scale + 8 * k));
        const __m512d c = _mm512_min_pd(_mm512_max_pd(s, low), high);
        const __m256i wide = _mm512_cvt_roundpd_epi32(c, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        q[k] = _mm256_cvtepi32_epi16(wide);
    }
    *finite = bad == 0;
    return _mm256_set_m128i(q[1], q[0]);
}

#else

[[gnu::always_inline]] inline __m256i quantise(const PackedSignal* model, const double* x, int* finite) noexcept {
    const __m256d low = _mm256_set1_pd(model->low), high = _mm256_set1_pd(model->high);
    __m256d sound = _mm256_castsi256_pd(_mm256_set1_epi64x(-1));
    __m128i q[4];
    for (int k = 0; k < 4; ++k) {
        const __m256d v = _mm256_loadu_pd(x + 4 * k);
        const __m256d zero = _mm256_sub_pd(v, v);  // NaN where v is NaN or infinite
        sound = _mm256_and_pd(sound, _mm256_cmp_pd(zero, zero, _CMP_ORD_Q));
        const __m256d s = _mm256_mul_pd(_mm256_sub_pd(v, _mm256_load_pd(model->offset + 4 * k)),
                                        _mm256_load_pd(model->scale + 4 * k));
        const __m256d c = _mm256_min_pd(_mm256_max_pd(s, low), high);
        q[k] = _mm256_cvtpd_epi32(_mm256_round_pd(c, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    *finite = _mm256_movemask_pd(sound) == 0xF;
    return _mm256_set_m128i(_mm_packs_epi32(q[2], q[3]), _mm_packs_epi32(q[0], q[1]));
}

#endif

int quantise(const PackedSignal* model, const double* x, std::int16_t* out) noexcept {
    int finite = 0;
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), quantise(model, x, &finite));
    return finite;
}

#else

int quantise(const PackedSignal* model, const double* x, std::int16_t* out) noexcept {
    int bad = 0;
    for (int i = 0; i < n_features; ++i) {
        const double zero = x[i] - x[i];
        bad |= !(zero == 0.0);
        double s = (x[i] - model->offset[i]) * model->scale[i];
        s = s > model->low ? s : model->low;
        s = s < model->high ? s : model->high;
        // Round half to even: adding 1.5 * 2^52 leaves no room for a fraction.
        const volatile double shifted = s + 6755399441055744.0;
        out[i] = static_cast<std::int16_t>(static_cast<std::int32_t>(shifted - 6755399441055744.0));
    }
    return bad == 0;
}

#endif

#if defined(CALIBRIG_ISA_avx512) || defined(CALIBRIG_ISA_avx2)

[[gnu::always_inline]] inline std::int32_t linear(const PackedSignal* model, __m256i q) noexcept {
    const __m256i products = _mm256_madd_epi16(q, _mm256_load_si256(reinterpret_cast<const __m256i*>(model->linear)));
    const __m256i sums = _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(products)),
                                          _mm256_cvtepi32_epi64(_mm256_extracti128_si256(products, 1)));
    __m128i pair = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    pair = _mm_add_epi64(pair, _mm_unpackhi_epi64(pair, pair));
    return clamp_answer(model, _mm_cvtsi128_si64(pair) + model->bias);
}
std::int32_t linear(const PackedSignal* model, const std::int16_t* q) noexcept {
    return linear(model, load_any(q));
}

#else

std::int32_t linear(const PackedSignal* model, const std::int16_t* q) noexcept {
    std::int64_t sum = model->bias;
    for (int i = 0; i < n_features; ++i) sum += static_cast<std::int64_t>(q[i]) * model->linear[i];
    return clamp_answer(model, sum);
}

#endif

// One tree after another. The sign bit, not a branch: which way is a coin toss.
std::int64_t sum_trees(const PackedSignal* model, const std::int16_t* q, int from, int to) noexcept {
    std::int64_t sum = 0;
    for (int t = from; t < to; ++t) {
        const std::int16_t* feature = model->node_feature[t];
        const std::int16_t* threshold = model->node_threshold[t];
        int node = 0;
        for (int level = 0; level < 4; ++level) {
            const auto right = static_cast<std::uint32_t>(threshold[node] - q[feature[node]]) >> 31;
            node = 2 * node + 1 + static_cast<int>(right);
        }
        sum += model->leaf[t][node - tree_nodes];
    }
    return sum;
}

#if defined(CALIBRIG_ISA_avx512) || defined(CALIBRIG_ISA_avx2)

// Which leaf each tree of a vector reaches, from its nodes' answers: masks, set where the way is right; as -index.
template <class Add, class Node>
[[gnu::always_inline]] inline __m256i reach_leaves(const Node& right, const Add& add) noexcept {
    const auto pick = [](__m256i by, __m256i no, __m256i yes) {
#if defined(CALIBRIG_ISA_avx512)
        return _mm256_ternarylogic_epi64(by, yes, no, 0xCA);  // by ? yes : no, bit by bit
#else
        return _mm256_blendv_epi8(no, yes, by);
#endif
    };
    const __m256i b3 = right(0);
    const __m256i b2 = pick(b3, right(1), right(2));
    const __m256i b1 = pick(b3, pick(b2, right(3), right(4)), pick(b2, right(5), right(6)));
    const __m256i b0 = pick(b3, pick(b2, pick(b1, right(7), right(8)), pick(b1, right(9), right(10))),
                            pick(b2, pick(b1, right(11), right(12)), pick(b1, right(13), right(14))));
    __m256i index = add(add(b3, b3), b2);  // a mask is -1
    index = add(add(index, index), b1);
    return add(add(index, index), b0);
}

// How many of each ranking's thresholds lie below its feature, less 128: whole blocks of 8 first, all rankings at once,
// then inside the block where each feature falls, two rankings at once.
[[gnu::always_inline]] inline __m128i rank_features(const PackedSignal* model, __m256i q) noexcept {
    const __m256i values = _mm256_or_si256(_mm256_shuffle_epi8(low_twice(q), load(model->rank_low)),
                                           _mm256_shuffle_epi8(high_twice(q), load(model->rank_high)));
    __m256i blocks = _mm256_setzero_si256();
    for (int b = 0; b < model->rank_blocks; ++b)
        blocks = _mm256_sub_epi16(blocks, _mm256_cmpgt_epi16(values, load(model->rank_last[b])));
    alignas(32) std::uint16_t passed[16];
    const __m256i passed_now = _mm256_slli_epi16(blocks, 3);
    _mm256_store_si256(reinterpret_cast<__m256i*>(passed), passed_now);
    asm("" : "+m"(passed));  // loads from memory are cheaper than sixteen extractions
    const auto compare = [&](int k) {  // rankings k and k + 8
        const __m256i pick = _mm256_set1_epi16(static_cast<std::int16_t>(0x0100 + 0x0202 * k));
        const __m128i low = _mm_load_si128(reinterpret_cast<const __m128i*>(model->rank_threshold[k] + passed[k]));
        const auto* high = reinterpret_cast<const __m128i*>(model->rank_threshold[k + 8] + passed[k + 8]);
        return _mm256_cmpgt_epi16(_mm256_shuffle_epi8(values, pick), _mm256_set_m128i(_mm_load_si128(high), low));
    };
    const auto count = [&](int k) {  // rankings k, k + 1, k + 8, k + 9, in 64 bits each
        const __m256i below = _mm256_packs_epi16(compare(k), compare(k + 1));
        return _mm256_sad_epu8(_mm256_sub_epi8(_mm256_setzero_si256(), below), _mm256_setzero_si256());
    };
    const __m256i first = _mm256_or_si256(count(0), _mm256_slli_epi64(count(2), 8));
    const __m256i second = _mm256_or_si256(_mm256_slli_epi64(count(4), 16), _mm256_slli_epi64(count(6), 24));
    const __m256i inside = _mm256_or_si256(first, second);
    const __m128i counts = _mm_or_si128(_mm256_castsi256_si128(inside),
                                        _mm_slli_epi64(_mm256_extracti128_si256(inside, 1), 32));
    const __m128i full = _mm_packus_epi16(_mm256_castsi256_si128(passed_now), _mm256_extracti128_si256(passed_now, 1));
    const __m128i order = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    return _mm_xor_si128(_mm_add_epi8(counts, _mm_shuffle_epi8(full, order)), _mm_set1_epi8(-128));
}

[[gnu::always_inline]] inline std::int32_t ranked_trees(const PackedSignal* model, __m256i q) noexcept {
    const __m256i ranks = _mm256_broadcastsi128_si256(rank_features(model, q));
    alignas(32) std::uint32_t leaf[max_trees / 4];
    for (int g = 0; g < model->groups; ++g) {
        const __m256i index = reach_leaves(
            [model, g, ranks](int n) {
                return _mm256_cmpgt_epi8(_mm256_shuffle_epi8(ranks, load(model->rank_node_place[g][n])),
                                         load(model->rank_node_number[g][n]));
            },
            [](__m256i x, __m256i y) { return _mm256_add_epi8(x, y); });
        _mm256_store_si256(reinterpret_cast<__m256i*>(leaf + 8 * g), _mm256_sub_epi8(_mm256_setzero_si256(), index));
    }
    asm("" : "+m"(leaf));  // four at a time from memory: cheaper than extractions, or than bytes
    std::int32_t sums[4] = {0, 0, 0, 0};  // 100 leaves of at most 2^24 fit
    for (int k = 0; k < (model->n_trees + 3) / 4; ++k) {
        const std::int32_t(*table)[tree_leaves] = model->leaf + 4 * k;  // zeros where there is no tree
        const std::uint32_t four = leaf[k];
        sums[0] += table[0][static_cast<std::uint8_t>(four)];
        sums[1] += table[1][static_cast<std::uint8_t>(four >> 8)];
        sums[2] += table[2][static_cast<std::uint8_t>(four >> 16)];
        sums[3] += table[3][four >> 24];
    }
    return clamp_answer(model, model->bias + (sums[0] + sums[1]) + (sums[2] + sums[3]));
}

#endif

#if defined(CALIBRIG_ISA_avx512)

// Where a model asks more thresholds than a byte can number.
std::int32_t wide_trees(const PackedSignal* model, const std::int16_t* q) noexcept {
    const __m512i features =
        _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(q)));
    alignas(64) std::int16_t leaf[32];
    // A rest of a few trees is cheaper one by one than as a group of 32.
    const int rest = model->n_trees % 32, groups = rest > 8 ? model->groups : model->n_trees / 32;
    std::int64_t sum = model->bias;
    if (rest <= 8) sum += sum_trees(model, q, model->n_trees - rest, model->n_trees);
    for (int g = 0; g < groups; ++g) {
        __mmask32 right[tree_nodes];
        for (int n = 0; n < tree_nodes; ++n) {
            const __m512i value = _mm512_permutexvar_epi16(_mm512_load_si512(model->tree_feature[g][n]), features);
            right[n] = _mm512_cmpgt_epi16_mask(value, _mm512_load_si512(model->tree_threshold[g][n]));
        }
        const auto pick = [](__mmask32 by, __mmask32 no, __mmask32 yes) -> __mmask32 {
            return (no & ~by) | (yes & by);
        };
        const __mmask32 b3 = right[0];
        const __mmask32 b2 = pick(b3, right[1], right[2]);
        const __mmask32 b1 = pick(b3, pick(b2, right[3], right[4]), pick(b2, right[5], right[6]));
        const __mmask32 b0 =
            pick(b3, pick(b2, pick(b1, right[7], right[8]), pick(b1, right[9], right[10])),
                 pick(b2, pick(b1, right[11], right[12]), pick(b1, right[13], right[14])));
        __m512i index = _mm512_maskz_set1_epi16(b0, 1);
        index = _mm512_mask_add_epi16(index, b1, index, _mm512_set1_epi16(2));
        index = _mm512_mask_add_epi16(index, b2, index, _mm512_set1_epi16(4));
        index = _mm512_mask_add_epi16(index, b3, index, _mm512_set1_epi16(8));
        _mm512_store_si512(leaf, index);
        const std::int32_t(*table)[tree_leaves] = model->leaf + g * 32;
        const int trees_here = model->n_trees - g * 32 < 32 ? model->n_trees - g * 32 : 32;
        std::int32_t even = 0, odd = 0;
        for (int t = 0; t < trees_here; t += 2) {
            even += table[t][leaf[t]];
            odd += table[t + 1][leaf[t + 1]];
        }
        sum += static_cast<std::int64_t>(even) + odd;
    }
    return clamp_answer(model, sum);
}

#elif defined(CALIBRIG_ISA_avx2)

// As above.
std::int32_t wide_trees(const PackedSignal* model, const std::int16_t* q) noexcept {
    const __m256i low = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(q)));
    const __m256i high = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(q + 8)));
    const int rest = model->n_trees % 16, halves = model->n_trees / 16 + (rest > 4 ? 1 : 0);
    std::int64_t sum = model->bias;
    if (rest <= 4) sum += sum_trees(model, q, model->n_trees - rest, model->n_trees);
    for (int half = 0; half < halves; ++half) {
        alignas(32) std::int16_t leaf[16];
        const int g = half >> 1, at = (half & 1) * 16;
        const __m256i index = reach_leaves(
            [model, g, at, low, high](int n) {
                const __m256i a = _mm256_shuffle_epi8(low, load(model->tree_low[g][n] + 2 * at));
                const __m256i b = _mm256_shuffle_epi8(high, load(model->tree_high[g][n] + 2 * at));
                return _mm256_cmpgt_epi16(_mm256_or_si256(a, b), load(model->tree_threshold[g][n] + at));
            },
            [](__m256i x, __m256i y) { return _mm256_add_epi16(x, y); });
        _mm256_store_si256(reinterpret_cast<__m256i*>(leaf), _mm256_sub_epi16(_mm256_setzero_si256(), index));
        const std::int32_t(*table)[tree_leaves] = model->leaf + g * 32 + at;
        std::int32_t even = 0, odd = 0;
        for (int t = 0; t < 16; t += 2) {
            even += table[t][leaf[t]];
            odd += table[t + 1][leaf[t + 1]];
        }
        sum += static_cast<std::int64_t>(even) + odd;
    }
    return clamp_answer(model, sum);
}

#else

std::int32_t trees(const PackedSignal* model, const std::int16_t* q) noexcept {
    return clamp_answer(model, model->bias + sum_trees(model, q, 0, model->n_trees));
}

#endif

#if defined(CALIBRIG_ISA_avx512) || defined(CALIBRIG_ISA_avx2)

[[gnu::always_inline]] inline std::int32_t trees(const PackedSignal* model, __m256i q) noexcept {
    if (model->ranked != 0) [[likely]] return ranked_trees(model, q);
    alignas(32) std::int16_t stored[n_features];
    _mm256_store_si256(reinterpret_cast<__m256i*>(stored), q);
    return wide_trees(model, stored);
}
std::int32_t trees(const PackedSignal* model, const std::int16_t* q) noexcept { return trees(model, load_any(q)); }

#endif

#if defined(CALIBRIG_ISA_avx512)

__m512i broadcast_pair(const std::int16_t* values, int pair) noexcept {
    std::int32_t both;
    __builtin_memcpy(&both, values + 2 * pair, sizeof both);
    return _mm512_set1_epi32(both);
}

std::int32_t network(const PackedSignal* model, const std::int16_t* q) noexcept {
    alignas(64) std::int16_t hidden[32];
    const __m512i zero = _mm512_setzero_si512(), largest = _mm512_set1_epi32(model->largest);
    __m512i a0 = _mm512_load_si512(model->bias1), a1 = _mm512_load_si512(model->bias1 + 16);
    __m512i b0 = zero, b1 = zero;
    for (int p = 0; p < 8; p += 2) {
        const __m512i x = broadcast_pair(q, p), y = broadcast_pair(q, p + 1);
        a0 = _mm512_dpwssd_epi32(a0, x, _mm512_load_si512(model->layer1[p]));
        a1 = _mm512_dpwssd_epi32(a1, x, _mm512_load_si512(model->layer1[p] + 16));
        b0 = _mm512_dpwssd_epi32(b0, y, _mm512_load_si512(model->layer1[p + 1]));
        b1 = _mm512_dpwssd_epi32(b1, y, _mm512_load_si512(model->layer1[p + 1] + 16));
    }
    const __m128i shift1 = _mm_cvtsi32_si128(model->shift1), shift2 = _mm_cvtsi32_si128(model->shift2);
    a0 = _mm512_sra_epi32(_mm512_add_epi32(a0, b0), shift1);
    a1 = _mm512_sra_epi32(_mm512_add_epi32(a1, b1), shift1);
    a0 = _mm512_min_epi32(_mm512_max_epi32(a0, zero), largest);
    a1 = _mm512_min_epi32(_mm512_max_epi32(a1, zero), largest);
    _mm256_store_si256(reinterpret_cast<__m256i*>(hidden), _mm512_cvtepi32_epi16(a0));
    _mm256_store_si256(reinterpret_cast<__m256i*>(hidden + 16), _mm512_cvtepi32_epi16(a1));
    __m512i c[4] = {_mm512_load_si512(model->bias2), zero, zero, zero};
    for (int p = 0; p < 16; ++p)
        c[p & 3] = _mm512_dpwssd_epi32(c[p & 3], broadcast_pair(hidden, p), _mm512_load_si512(model->layer2[p]));
    __m512i d = _mm512_add_epi32(_mm512_add_epi32(c[0], c[1]), _mm512_add_epi32(c[2], c[3]));
    d = _mm512_min_epi32(_mm512_max_epi32(_mm512_sra_epi32(d, shift2), zero), largest);
    const __m256i last = _mm256_madd_epi16(_mm512_cvtepi32_epi16(d),
                                           _mm256_load_si256(reinterpret_cast<const __m256i*>(model->layer3)));
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(last), _mm256_extracti128_si256(last, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1));
    return clamp_answer(model, static_cast<std::int64_t>(_mm_cvtsi128_si32(sum)) + model->bias3);
}

[[gnu::always_inline]] inline std::int32_t network(const PackedSignal* model, __m256i q) noexcept {
    alignas(32) std::int16_t stored[n_features];  // pairs of inputs are broadcast from memory
    _mm256_store_si256(reinterpret_cast<__m256i*>(stored), q);
    return network(model, stored);
}

#elif defined(CALIBRIG_ISA_avx2)

// ((sum >> shift) clamped to 0 .. largest), 16 values as 16-bit integers: the first four of both, then the next ..
__m256i activate(__m256i first, __m256i second, __m128i shift, __m256i largest) noexcept {
    const __m256i packed = _mm256_packs_epi32(_mm256_sra_epi32(first, shift), _mm256_sra_epi32(second, shift));
    return _mm256_min_epi16(_mm256_max_epi16(packed, _mm256_setzero_si256()), largest);
}

// One pair of inputs, over and over, from a vector whose halves are equal.
template <int Pair>
__m256i spread(__m256i twice) noexcept {
    return _mm256_shuffle_epi32(twice, Pair * 0x55);
}

// Adds one pair of inputs to the sums of 8 outputs a vector.
template <int Vectors>
void accumulate(__m256i (&sums)[Vectors], __m256i pair, const std::int16_t (*weights)[2]) noexcept {
    for (int v = 0; v < Vectors; ++v)
        sums[v] = _mm256_add_epi32(sums[v], _mm256_madd_epi16(pair, load(weights + 8 * v)));
}

[[gnu::always_inline]] inline std::int32_t network(const PackedSignal* model, __m256i q) noexcept {
    const __m128i shift1 = _mm_cvtsi32_si128(model->shift1), shift2 = _mm_cvtsi32_si128(model->shift2);
    const __m256i largest = _mm256_set1_epi16(static_cast<std::int16_t>(model->largest));
    __m256i a[4] = {load(model->bias1), load(model->bias1 + 8), load(model->bias1 + 16), load(model->bias1 + 24)};
    const __m256i q_low = low_twice(q), q_high = high_twice(q);
    accumulate(a, spread<0>(q_low), model->layer1[0]);
    accumulate(a, spread<1>(q_low), model->layer1[1]);
    accumulate(a, spread<2>(q_low), model->layer1[2]);
    accumulate(a, spread<3>(q_low), model->layer1[3]);
    accumulate(a, spread<0>(q_high), model->layer1[4]);
    accumulate(a, spread<1>(q_high), model->layer1[5]);
    accumulate(a, spread<2>(q_high), model->layer1[6]);
    accumulate(a, spread<3>(q_high), model->layer1[7]);
    // Four sums, so that none waits for sixteen additions; pairs 0, 1, 4, 5 of 16 values lie in the lower half.
    __m256i low[2] = {load(model->bias2), load(model->bias2 + 8)};
    __m256i high[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int half = 0; half < 2; ++half) {
        const __m256i h = activate(a[2 * half], a[2 * half + 1], shift1, largest);
        const __m256i h_low = low_twice(h), h_high = high_twice(h);
        const std::int16_t(*weights)[16][2] = model->layer2 + 8 * half;
        accumulate(low, spread<0>(h_low), weights[0]);
        accumulate(low, spread<1>(h_low), weights[1]);
        accumulate(low, spread<2>(h_low), weights[4]);
        accumulate(low, spread<3>(h_low), weights[5]);
        accumulate(high, spread<0>(h_high), weights[2]);
        accumulate(high, spread<1>(h_high), weights[3]);
        accumulate(high, spread<2>(h_high), weights[6]);
        accumulate(high, spread<3>(h_high), weights[7]);
    }
    const __m256i h = activate(_mm256_add_epi32(low[0], high[0]), _mm256_add_epi32(low[1], high[1]), shift2, largest);
    const __m256i last = _mm256_madd_epi16(h, _mm256_permute4x64_epi64(load(model->layer3), 0xD8));
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(last), _mm256_extracti128_si256(last, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1));
    return clamp_answer(model, static_cast<std::int64_t>(_mm_cvtsi128_si32(sum)) + model->bias3);
}
std::int32_t network(const PackedSignal* model, const std::int16_t* q) noexcept { return network(model, load_any(q)); }

#else

void activate(const std::int32_t* sums, int n, int shift, int largest, std::int16_t* out) noexcept {
    for (int i = 0; i < n; ++i) {
        std::int32_t v = sums[i] >> shift;
        v = v > 0 ? v : 0;
        out[i] = static_cast<std::int16_t>(v < largest ? v : largest);
    }
}

std::int32_t network(const PackedSignal* model, const std::int16_t* q) noexcept {
    std::int32_t first[32], second[16];
    std::int16_t hidden1[32], hidden2[16];
    for (int o = 0; o < 32; ++o) first[o] = model->bias1[o];
    for (int p = 0; p < 8; ++p)
        for (int o = 0; o < 32; ++o)
            first[o] += q[2 * p] * model->layer1[p][o][0] + q[2 * p + 1] * model->layer1[p][o][1];
    activate(first, 32, model->shift1, model->largest, hidden1);
    for (int o = 0; o < 16; ++o) second[o] = model->bias2[o];
    for (int p = 0; p < 16; ++p)
        for (int o = 0; o < 16; ++o)
            second[o] += hidden1[2 * p] * model->layer2[p][o][0] + hidden1[2 * p + 1] * model->layer2[p][o][1];
    activate(second, 16, model->shift2, model->largest, hidden2);
    std::int64_t sum = model->bias3;
    for (int i = 0; i < 16; ++i) sum += hidden2[i] * model->layer3[i];
    return clamp_answer(model, sum);
}

#endif

// Features to integer in one call.
#if defined(CALIBRIG_ISA_avx512) || defined(CALIBRIG_ISA_avx2)

template <std::int32_t (*Evaluate)(const PackedSignal*, __m256i) noexcept>
std::int64_t predict(const PackedSignal* model, const double* x) noexcept {
    int finite = 0;
    const std::int64_t value = Evaluate(model, quantise(model, x, &finite));
    return finite != 0 ? value : refused;
}

#else

template <std::int32_t (*Evaluate)(const PackedSignal*, const std::int16_t*) noexcept>
std::int64_t predict(const PackedSignal* model, const double* x) noexcept {
    alignas(64) std::int16_t q[n_features];
    const int finite = quantise(model, x, q);
    const std::int64_t value = Evaluate(model, q);
    return finite != 0 ? value : refused;
}

#endif

}  // namespace

extern const SignalKernels signal_kernels;
const SignalKernels signal_kernels = {
    &quantise, {&linear, &trees, &network}, {&predict<&linear>, &predict<&trees>, &predict<&network>}};

}  // namespace calibrig::CALIBRIG_ISA

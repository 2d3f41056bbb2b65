// Hawkes likelihood kernels: lanes are stretches of consecutive events, nodes are walked one after the other, and
// within a chain exp(-x dt) follows by squaring. Compiled once per instruction set; shares no inline code.
#include "hawkes_kernels.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace calibrig::CALIBRIG_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int width = 8;
#elif defined(__AVX2__)
constexpr int width = 4;
#else
constexpr int width = 2;
#endif

typedef double V __attribute__((vector_size(width * 8), may_alias));
typedef double U __attribute__((vector_size(width * 8), may_alias, aligned(8)));
typedef long long I __attribute__((vector_size(width * 8), may_alias));

#define CALIBRIG_INLINE static inline __attribute__((always_inline))

CALIBRIG_INLINE V load(const double* p) { return *reinterpret_cast<const U*>(p); }
CALIBRIG_INLINE void store(double* p, V v) { *reinterpret_cast<U*>(p) = v; }
CALIBRIG_INLINE V fill(double x) { return x - V{}; }

CALIBRIG_INLINE V fma(V a, V b, V c) {
#if defined(__AVX512F__)
    return reinterpret_cast<V>(_mm512_fmadd_pd(reinterpret_cast<__m512d>(a), reinterpret_cast<__m512d>(b),
                                               reinterpret_cast<__m512d>(c)));
#elif defined(__AVX2__)
    return reinterpret_cast<V>(_mm256_fmadd_pd(reinterpret_cast<__m256d>(a), reinterpret_cast<__m256d>(b),
                                               reinterpret_cast<__m256d>(c)));
#else
    return a * b + c;
#endif
}

CALIBRIG_INLINE V with_sign(V magnitude, I sign) {
    return reinterpret_cast<V>(reinterpret_cast<I>(magnitude) ^ sign);
}

// exp(y), y <= 0, clamped at -700: relative error below 4e-16.
CALIBRIG_INLINE V exp_of(V y) {
    const V low = fill(-700.0);
    y = y > low ? y : low;
    const V magic = fill(6755399441055744.0);
    const V shifted = fma(y, fill(1.4426950408889634), magic);
    const V n = shifted - magic;
    V r = fma(n, fill(-0.693147180369123816490), y);
    r = fma(n, fill(-1.90821492927058770002e-10), r);
    V p = fill(2.5052108385441718775e-08);
    p = fma(p, r, fill(2.7557319223985890653e-07));
    p = fma(p, r, fill(2.7557319223985892511e-06));
    p = fma(p, r, fill(2.4801587301587301566e-05));
    p = fma(p, r, fill(1.9841269841269841253e-04));
    p = fma(p, r, fill(1.3888888888888889419e-03));
    p = fma(p, r, fill(8.3333333333333332177e-03));
    p = fma(p, r, fill(4.1666666666666664354e-02));
    p = fma(p, r, fill(1.6666666666666665741e-01));
    p = fma(p, r, fill(0.5));
    p = fma(p, r, fill(1.0));
    p = fma(p, r, fill(1.0));
    return reinterpret_cast<V>(reinterpret_cast<I>(p) + (reinterpret_cast<I>(shifted) << 52));
}

// Denormal numbers cost a hundred times a normal one on some processors: states that small count as 0.
class FlushDenormals {
public:
#if defined(__x86_64__)
    FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040u); }
    ~FlushDenormals() { _mm_setcsr(saved_); }
    FlushDenormals(const FlushDenormals&) = delete;
    FlushDenormals& operator=(const FlushDenormals&) = delete;

private:
    unsigned saved_;
#endif
};

CALIBRIG_INLINE I sign_of(V v) {
    const I bit = I{} + static_cast<long long>(0x8000000000000000ULL);
    return reinterpret_cast<I>(v) & bit;
}

static void states(const HawkesNodes& nodes, HawkesStretch& s) {
    const FlushDenormals flush;
    for (int lane = 0; lane < hawkes_lanes; lane += width) {
        I before = sign_of(load(s.sign + lane));
        V last = load(s.sign + lane);
        for (int i = 0; i < s.steps; ++i) {
            const V gap = load(s.gap_s + i * hawkes_lanes + lane);
            double* total = s.total + lane;
            double* signed_ = s.signed_ + lane;
            for (int c = 0; c < nodes.chains; ++c) {
                V e = exp_of(gap * fill(-nodes.start[c]));
                for (int j = 0; j < nodes.depth; ++j) {
                    store(total, fma(load(total), e, e));
                    store(signed_, fma(load(signed_), e, with_sign(e, before)));
                    e *= e;
                    total += hawkes_lanes;
                    signed_ += hawkes_lanes;
                }
            }
            last = load(s.signed_b + i * hawkes_lanes + lane);
            before = sign_of(last);
        }
        store(s.sign + lane, with_sign(fill(1.0), before));
    }
}

// Value (order 0), with gradient (1), with Hessian (2); `batch` steps share one walk over the nodes.
template <int order, int batch>
struct Evaluate {
    static constexpr int rows = order == 0 ? 1 : order == 1 ? 3 : 6;

    struct Sums {
        V mantissa, exponent, s[hawkes_sums];
    };

    template <int count>
    CALIBRIG_INLINE void walk(const HawkesNodes& nodes, const double* const (&weights)[6], HawkesStretch& s, int lane,
                              int i, const I (&before)[batch], V (&a)[batch][rows], V (&d)[batch][rows]) {
        V gap[count];
        for (int b = 0; b < count; ++b) {
            gap[b] = load(s.gap_s + (i + b) * hawkes_lanes + lane);
            for (int r = 0; r < rows; ++r) a[b][r] = d[b][r] = V{};
        }
        double* total = s.total + lane;
        double* signed_ = s.signed_ + lane;
        int k = 0;
        for (int c = 0; c < nodes.chains; ++c) {
            V e[count];
            for (int b = 0; b < count; ++b) e[b] = exp_of(gap[b] * fill(-nodes.start[c]));
            for (int j = 0; j < nodes.depth; ++j, ++k) {
                V t = load(total), g = load(signed_);
                for (int b = 0; b < count; ++b) {
                    t = fma(t, e[b], e[b]);
                    g = fma(g, e[b], with_sign(e[b], before[b]));
                    e[b] *= e[b];
                    for (int r = 0; r < rows; ++r) {
                        const V weight = fill(weights[r][k]);
                        a[b][r] = fma(weight, t, a[b][r]);
                        d[b][r] = fma(weight, g, d[b][r]);
                    }
                }
                store(total, t);
                store(signed_, g);
                total += hawkes_lanes;
                signed_ += hawkes_lanes;
            }
        }
    }

    // One event per lane; `mask` is 1 where the lane holds an event in this step, else 0.
    CALIBRIG_INLINE void finish(const HawkesWeights& w, V b, const V (&a)[rows], const V (&d)[rows], V mask, bool masked,
                                Sums& sums) {
        const I sign = sign_of(b);
        const V height = with_sign(b, sign);
        const V base = height * (b < 0.0 ? fill(w.base_sell) : fill(w.base_buy));
        const V half_self = fill(0.5 * w.n_self), half_cross = fill(0.5 * w.n_cross);
        const V sd = with_sign(d[0], sign);
        const V own = half_self * (a[0] + sd);
        const V other = half_cross * (a[0] - sd);
        V lambda = base + own + other;
        if (masked) lambda = mask > 0.5 ? lambda : fill(1.0);
        sums.mantissa *= lambda;
        if constexpr (order >= 1) {
            const V inverse = masked ? mask / lambda : 1.0 / lambda;
            const V plus = fill(0.5 * (w.n_self + w.n_cross)), minus = fill(0.5 * (w.n_self - w.n_cross));
            const V q0 = base * inverse;
            const V q1 = own * inverse;
            const V q3 = fma(plus, a[1], minus * with_sign(d[1], sign)) * inverse;
            const V q4 = fma(plus, a[2], minus * with_sign(d[2], sign)) * inverse;
            const V q5 = with_sign(q0, sign);
            sums.s[sum_q0] += q0;
            sums.s[sum_q1] += q1;
            sums.s[sum_q3] += q3;
            sums.s[sum_q4] += q4;
            sums.s[sum_q5] += q5;
            if constexpr (order >= 2) {
                sums.s[sum_q00] = fma(q0, q0, sums.s[sum_q00]);
                sums.s[sum_q01] = fma(q0, q1, sums.s[sum_q01]);
                sums.s[sum_q03] = fma(q0, q3, sums.s[sum_q03]);
                sums.s[sum_q04] = fma(q0, q4, sums.s[sum_q04]);
                sums.s[sum_q05] = fma(q0, q5, sums.s[sum_q05]);
                sums.s[sum_q11] = fma(q1, q1, sums.s[sum_q11]);
                sums.s[sum_q13] = fma(q1, q3, sums.s[sum_q13]);
                sums.s[sum_q14] = fma(q1, q4, sums.s[sum_q14]);
                sums.s[sum_q15] = fma(q1, q5, sums.s[sum_q15]);
                sums.s[sum_q33] = fma(q3, q3, sums.s[sum_q33]);
                sums.s[sum_q34] = fma(q3, q4, sums.s[sum_q34]);
                sums.s[sum_q35] = fma(q3, q5, sums.s[sum_q35]);
                sums.s[sum_q44] = fma(q4, q4, sums.s[sum_q44]);
                sums.s[sum_q45] = fma(q4, q5, sums.s[sum_q45]);
                sums.s[sum_h13] = fma(half_self * (a[1] + with_sign(d[1], sign)), inverse, sums.s[sum_h13]);
                sums.s[sum_h14] = fma(half_self * (a[2] + with_sign(d[2], sign)), inverse, sums.s[sum_h14]);
                sums.s[sum_h33] = fma(fma(plus, a[3], minus * with_sign(d[3], sign)), inverse, sums.s[sum_h33]);
                sums.s[sum_h34] = fma(fma(plus, a[4], minus * with_sign(d[4], sign)), inverse, sums.s[sum_h34]);
                sums.s[sum_h44] = fma(fma(plus, a[5], minus * with_sign(d[5], sign)), inverse, sums.s[sum_h44]);
            }
        }
    }

    // Move the exponent of the running product into its own sum, so that it neither overflows nor underflows.
    CALIBRIG_INLINE void renormalise(Sums& sums) {
        const I bits = reinterpret_cast<I>(sums.mantissa);
        const I mask = I{} + 0x000fffffffffffffLL;
        const I one = I{} + 0x3ff0000000000000LL;
        sums.exponent += __builtin_convertvector((bits >> 52) - 1023, V);
        sums.mantissa = reinterpret_cast<V>((bits & mask) | one);
    }

    static void run(const HawkesNodes& nodes, const HawkesWeights& w, HawkesStretch& s, double* out) {
        const FlushDenormals flush;
        const double* const weights[6] = {w.c, w.c_v, w.c_w, w.c_vv, w.c_vw, w.c_ww};
        for (int lane = 0; lane < hawkes_lanes; lane += width) {
            Sums sums;
            sums.mantissa = fill(1.0);
            sums.exponent = V{};
            for (V& sum : sums.s) sum = V{};
            V a[batch][rows], d[batch][rows];
            I before[batch];
            I latest = sign_of(load(s.sign + lane));
            const int full = s.steps - 1;  // the last step may be partly padding
            int i = 0;
            for (; i + batch <= full; i += batch) {
                V b[batch];
                for (int n = 0; n < batch; ++n) {
                    b[n] = load(s.signed_b + (i + n) * hawkes_lanes + lane);
                    before[n] = latest;
                    latest = sign_of(b[n]);
                }
                walk<batch>(nodes, weights, s, lane, i, before, a, d);
                for (int n = 0; n < batch; ++n) finish(w, b[n], a[n], d[n], V{}, false, sums);
                if ((i / batch) % (8 / batch) == 0) renormalise(sums);
            }
            for (; i < s.steps; ++i) {
                const V b = load(s.signed_b + i * hawkes_lanes + lane);
                before[0] = latest;
                latest = sign_of(b);
                walk<1>(nodes, weights, s, lane, i, before, a, d);
                V mask;
                for (int l = 0; l < width; ++l) mask[l] = i < full || lane + l < s.last_lanes ? 1.0 : 0.0;
                finish(w, b, a[0], d[0], mask, true, sums);
                renormalise(sums);
            }
            store(s.sign + lane, with_sign(fill(1.0), latest));
            sums.s[sum_mantissa] = sums.mantissa;
            sums.s[sum_exponent] = sums.exponent;
            for (int n = 0; n < hawkes_sums; ++n) store(out + n * hawkes_lanes + lane, sums.s[n]);
        }
    }
};

static void trace(const HawkesNodes& nodes, const HawkesWeights& w, HawkesStretch& s, double* out) {
    const FlushDenormals flush;
    for (int lane = 0; lane < hawkes_lanes; lane += width) {
        I before = sign_of(load(s.sign + lane));
        for (int i = 0; i < s.steps; ++i) {
            const V gap = load(s.gap_s + i * hawkes_lanes + lane);
            const V step = with_sign(fill(1.0), before);
            double* total = s.total + lane;
            double* signed_ = s.signed_ + lane;
            V a{}, d{}, fall_a{}, fall_d{};
            int k = 0;
            for (int c = 0; c < nodes.chains; ++c) {
                V e = exp_of(gap * fill(-nodes.start[c]));
                for (int j = 0; j < nodes.depth; ++j, ++k) {
                    const V t_0 = load(total) + 1.0, g_0 = load(signed_) + step;
                    const V t = t_0 * e, g = g_0 * e;
                    a = fma(fill(w.c[k]), t, a);
                    d = fma(fill(w.c[k]), g, d);
                    fall_a = fma(fill(w.p[k]), t_0 - t, fall_a);
                    fall_d = fma(fill(w.p[k]), g_0 - g, fall_d);
                    store(total, t);
                    store(signed_, g);
                    e *= e;
                    total += hawkes_lanes;
                    signed_ += hawkes_lanes;
                }
            }
            const V b = load(s.signed_b + i * hawkes_lanes + lane);
            before = sign_of(b);
            double* row = out + (static_cast<long>(i) * hawkes_lanes + lane) * 4;
            for (int l = 0; l < width; ++l) {
                row[4 * l] = a[l];
                row[4 * l + 1] = d[l];
                row[4 * l + 2] = fall_a[l];
                row[4 * l + 3] = fall_d[l];
            }
        }
        store(s.sign + lane, with_sign(fill(1.0), before));
    }
}

}  // namespace

HawkesKernels hawkes_kernels() noexcept {
    return HawkesKernels{states, {Evaluate<0, 4>::run, Evaluate<1, 4>::run, Evaluate<2, 1>::run}, trace};
}

}  // namespace calibrig::CALIBRIG_ISA

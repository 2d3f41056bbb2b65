// Hawkes likelihood kernels: lanes are stretches of consecutive events, nodes are walked one after the other, and
// within a chain exp(-x dt) follows by squaring. Compiled once per instruction set; shares no inline code.
#include "hawkes_kernels.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace calibrig::CALIBRIG_ISA {
namespace {

#if defined(CALIBRIG_ISA_avx512)
constexpr int width = 8;
#elif defined(CALIBRIG_ISA_avx2)
constexpr int width = 4;
#else
constexpr int width = 2;
#endif

typedef double V __attribute__((vector_size(width * 8), may_alias));
typedef double U __attribute__((vector_size(width * 8), may_alias, aligned(8)));
typedef long long I __attribute__((vector_size(width * 8), may_alias));

#define CALIBRIG_INLINE static inline __attribute__((always_inline))
#define CALIBRIG_MEMBER inline __attribute__((always_inline))

CALIBRIG_INLINE V load(const double* p) { return *reinterpret_cast<const U*>(p); }
CALIBRIG_INLINE void store(double* p, V v) { *reinterpret_cast<U*>(p) = v; }
CALIBRIG_INLINE V fill(double x) { return x - V{}; }

CALIBRIG_INLINE V fma(V a, V b, V c) {
#if defined(CALIBRIG_ISA_avx512)
    return reinterpret_cast<V>(_mm512_fmadd_pd(reinterpret_cast<__m512d>(a), reinterpret_cast<__m512d>(b),
                                               reinterpret_cast<__m512d>(c)));
#elif defined(CALIBRIG_ISA_avx2)
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

// Steps that share one walk over the nodes: 8 running sums, 4 exponentials and 2 states fill 16 registers.
constexpr int batch = 4;

// States after each step of a batch, [node][total or signed][slot][width]; the last slot is where the next batch
// begins, and a shorter batch uses the last slots.
template <int slots>
struct Kept {
    double* data;

    CALIBRIG_MEMBER double* total(int k) const { return data + 2 * k * slots * width; }
    CALIBRIG_MEMBER double* signed_(int k) const { return data + (2 * k + 1) * slots * width; }
};

// Advance the states by `count` steps; `visit(k, b, total, signed)` sees node k at step b.
template <int count, int slots, class Visit>
CALIBRIG_INLINE void advance(const HawkesNodes& nodes, const double* gap_s, const I (&before)[batch],
                             const Kept<slots>& kept, const Visit& visit) {
    V gap[count];
    for (int b = 0; b < count; ++b) gap[b] = load(gap_s + b * hawkes_lanes);
    const int chains = nodes.chains, depth = nodes.depth;
    int k = 0;
    for (int c = 0; c < chains; ++c) {
        V e[count];
        for (int b = 0; b < count; ++b) e[b] = exp_of(gap[b] * fill(-nodes.start[c]));
        for (int j = 0; j < depth; ++j, ++k) {
            double* total = kept.total(k) + (slots - 1) * width;
            double* signed_ = kept.signed_(k) + (slots - 1) * width;
            V t = load(total), g = load(signed_);
            for (int b = 0; b < count; ++b) {
                t = fma(t, e[b], e[b]);
                g = fma(g, e[b], with_sign(e[b], before[b]));
                e[b] *= e[b];
                if (slots > 1 || b == count - 1) {
                    store(total - (count - 1 - b) * (slots > 1 ? width : 0), t);
                    store(signed_ - (count - 1 - b) * (slots > 1 ? width : 0), g);
                }
                visit(k, b, t, g);
            }
        }
    }
}

CALIBRIG_INLINE void to_kept(const HawkesNodes& nodes, const HawkesStretch& s, int lane, int slots, double* kept) {
    for (int k = 0; k < nodes.chains * nodes.depth; ++k) {
        store(kept + ((2 * k + 1) * slots - 1) * width, load(s.total + k * hawkes_lanes + lane));
        store(kept + ((2 * k + 2) * slots - 1) * width, load(s.signed_ + k * hawkes_lanes + lane));
    }
}

CALIBRIG_INLINE void from_kept(const HawkesNodes& nodes, HawkesStretch& s, int lane, const Kept<1>& kept, I latest) {
    for (int k = 0; k < nodes.chains * nodes.depth; ++k) {
        store(s.total + k * hawkes_lanes + lane, load(kept.total(k)));
        store(s.signed_ + k * hawkes_lanes + lane, load(kept.signed_(k)));
    }
    store(s.sign + lane, with_sign(fill(1.0), latest));
}

static void states(const HawkesNodes& nodes, HawkesStretch& s) {
    const FlushDenormals flush;
    const Kept<1> kept{s.scratch};
    const auto nothing = [](int, int, V, V) {};
    for (int lane = 0; lane < hawkes_lanes; lane += width) {
        to_kept(nodes, s, lane, 1, kept.data);
        I before[batch];
        I latest = sign_of(load(s.sign + lane));
        const auto take = [&](int i, int count) {
            for (int b = 0; b < count; ++b) {
                before[b] = latest;
                latest = sign_of(load(s.signed_b + (i + b) * hawkes_lanes + lane));
            }
        };
        int i = 0;
        for (; i + batch <= s.steps; i += batch) {
            take(i, batch);
            advance<batch>(nodes, s.gap_s + i * hawkes_lanes + lane, before, kept, nothing);
        }
        for (; i < s.steps; ++i) {
            take(i, 1);
            advance<1>(nodes, s.gap_s + i * hawkes_lanes + lane, before, kept, nothing);
        }
        from_kept(nodes, s, lane, kept, latest);
    }
}

// Value (order 0), with gradient (1), with Hessian (2). Whatever enters the sums linearly in the states (the gradient,
// and the second derivatives of lambda) is summed per node, state over lambda, and weighted once at the end.
template <int order>
struct Evaluate {
    static constexpr int slots = order == 0 ? 1 : batch;

    struct Sums {
        V mantissa, exponent, s[hawkes_sums];
    };

    struct Scales {  // of lambda = base + plus (a +- d kappa), a and d the kernel over total and signed states
        V plus, kappa, half_self, half_cross, base_buy, base_sell;
    };

    // What a step adds: one event per lane, `mask` is 1 where the lane holds an event, else 0.
    struct Step {
        V base, inverse, signed_inverse, kappa, q0, q1, q5;
    };

    CALIBRIG_INLINE Step value_of(const Scales& w, V b, V a, V d, V mask, bool masked, Sums& sums) {
        const I sign = sign_of(b);
        const V base = with_sign(b, sign) * (b < 0.0 ? w.base_sell : w.base_buy);
        const V sd = with_sign(d, sign);
        const V own = w.half_self * (a + sd);
        const V other = w.half_cross * (a - sd);
        V lambda = base + own + other;
        if (masked) lambda = mask > 0.5 ? lambda : fill(1.0);
        sums.mantissa *= lambda;
        Step step{};
        if constexpr (order >= 1) {
            step.inverse = masked ? mask / lambda : 1.0 / lambda;
            step.signed_inverse = with_sign(step.inverse, sign);
            step.kappa = with_sign(w.kappa, sign);
            step.q0 = base * step.inverse;
            step.q1 = own * step.inverse;
            step.q5 = with_sign(step.q0, sign);
            sums.s[sum_q0] += step.q0;
            sums.s[sum_q1] += step.q1;
            sums.s[sum_q5] += step.q5;
        }
        return step;
    }

    // Per node, sum over steps of state over lambda: of the total (order 1) or of total + kappa signed (order 2),
    // and of the signed state; order 2 also makes the slopes of the excitation along v and w, event by event.
    template <int count>
    CALIBRIG_INLINE void gather(int nodes, const HawkesWeights& w, const Kept<slots>& kept, int first,
                                const Step (&step)[count], double* linear, V (&slope_v)[count], V (&slope_w)[count]) {
        const double *const weight_v = w.c_v, *const weight_w = w.c_w;
        V p_v[count], p_w[count], kappa[count], inverse[count], signed_inverse[count];
        for (int b = 0; b < count; ++b) {
            kappa[b] = step[b].kappa;
            inverse[b] = step[b].inverse;
            signed_inverse[b] = step[b].signed_inverse;
        }
        for (int b = 0; b < count; ++b) p_v[b] = p_w[b] = V{};
        for (int k = 0; k < nodes; ++k) {
            const double* total = kept.total(k) + first * width;
            const double* signed_ = kept.signed_(k) + first * width;
            V z = load(linear + 2 * k * width), y = load(linear + (2 * k + 1) * width);
            const V c_v = fill(weight_v[k]), c_w = fill(weight_w[k]);
            for (int b = 0; b < count; ++b) {
                V t = load(total + b * width);
                const V g = load(signed_ + b * width);
                y = fma(signed_inverse[b], g, y);
                if constexpr (order >= 2) {
                    t = fma(kappa[b], g, t);
                    p_v[b] = fma(c_v, t, p_v[b]);
                    p_w[b] = fma(c_w, t, p_w[b]);
                }
                z = fma(inverse[b], t, z);
            }
            store(linear + 2 * k * width, z);
            store(linear + (2 * k + 1) * width, y);
        }
        for (int b = 0; b < count; ++b) {
            slope_v[b] = p_v[b];
            slope_w[b] = p_w[b];
        }
    }

    CALIBRIG_INLINE void products_of(const Step& step, V q3, V q4, Sums& sums) {
        const V q0 = step.q0, q1 = step.q1, q5 = step.q5;
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
    }

    // Weight the sums per node: gradient along v and w, and what is linear in the Hessian.
    CALIBRIG_INLINE void weigh(int nodes, const HawkesWeights& w, const Scales& scales, const double* linear, Sums& sums) {
        for (int k = 0; k < nodes; ++k) {
            const V first = load(linear + 2 * k * width), y = load(linear + (2 * k + 1) * width);
            const V along = order == 1 ? fma(scales.kappa, y, first) : first;  // total + kappa signed, over lambda
            const V z = scales.plus * along;
            sums.s[sum_q3] = fma(fill(w.c_v[k]), z, sums.s[sum_q3]);
            sums.s[sum_q4] = fma(fill(w.c_w[k]), z, sums.s[sum_q4]);
            if constexpr (order >= 2) {
                const V own = scales.half_self * (first + (y - scales.kappa * y));
                sums.s[sum_h13] = fma(fill(w.c_v[k]), own, sums.s[sum_h13]);
                sums.s[sum_h14] = fma(fill(w.c_w[k]), own, sums.s[sum_h14]);
                sums.s[sum_h33] = fma(fill(w.c_vv[k]), z, sums.s[sum_h33]);
                sums.s[sum_h34] = fma(fill(w.c_vw[k]), z, sums.s[sum_h34]);
                sums.s[sum_h44] = fma(fill(w.c_ww[k]), z, sums.s[sum_h44]);
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

    // Steps i .. i + count - 1 of the lanes from `lane` on.
    template <int count>
    CALIBRIG_INLINE void take(const HawkesNodes& nodes, const HawkesWeights& w, const Scales& scales,
                              const HawkesStretch& s, int lane, int i, V mask, bool masked, const Kept<slots>& kept,
                              double* linear, I& latest, Sums& sums) {
        const int m = nodes.chains * nodes.depth;
        const double* const weight = w.c;
        I before[batch];
        V b[count], a[count], d[count];
        for (int n = 0; n < count; ++n) {
            b[n] = load(s.signed_b + (i + n) * hawkes_lanes + lane);
            before[n] = latest;
            latest = sign_of(b[n]);
            a[n] = d[n] = V{};
        }
        advance<count>(nodes, s.gap_s + i * hawkes_lanes + lane, before, kept,
                       [&](int k, int n, V t, V g) __attribute__((always_inline)) {
                           const V c = fill(weight[k]);
                           a[n] = fma(c, t, a[n]);
                           d[n] = fma(c, g, d[n]);
                       });
        Step step[count];
        for (int n = 0; n < count; ++n) step[n] = value_of(scales, b[n], a[n], d[n], mask, masked, sums);
        if constexpr (order == 1) {
            V unused[count], unused_too[count];
            gather<count>(m, w, kept, slots - count, step, linear, unused, unused_too);
        }
        if constexpr (order == 2) second<count>(m, w, scales, kept, step, linear, sums);
    }

    template <int count>
    CALIBRIG_INLINE void second(int m, const HawkesWeights& w, const Scales& scales, const Kept<slots>& kept,
                                const Step (&step)[count], double* linear, Sums& sums) {
        if constexpr (count > 2) {  // two at a time: four slopes, six factors and two sums are what 16 registers hold
            const Step early[2] = {step[0], step[1]}, late[2] = {step[2], step[3]};
            gather_second<2>(m, w, scales, kept, slots - 4, early, linear, sums);
            gather_second<2>(m, w, scales, kept, slots - 2, late, linear, sums);
        } else {
            gather_second<count>(m, w, scales, kept, slots - count, step, linear, sums);
        }
    }

    template <int count>
    CALIBRIG_INLINE void gather_second(int m, const HawkesWeights& w, const Scales& scales, const Kept<slots>& kept,
                                       int first, const Step (&step)[count], double* linear, Sums& sums) {
        V slope_v[count], slope_w[count];
        gather<count>(m, w, kept, first, step, linear, slope_v, slope_w);
        for (int n = 0; n < count; ++n) {
            const V scale = scales.plus * step[n].inverse;
            products_of(step[n], slope_v[n] * scale, slope_w[n] * scale, sums);
        }
    }

    static void run(const HawkesNodes& nodes, const HawkesWeights& w, HawkesStretch& s, double* out) {
        const FlushDenormals flush;
        const int m = nodes.chains * nodes.depth;
        const double plus = 0.5 * (w.n_self + w.n_cross), minus = 0.5 * (w.n_self - w.n_cross);
        const Scales scales{fill(plus), fill(plus > 0.0 ? minus / plus : 0.0), fill(0.5 * w.n_self),
                            fill(0.5 * w.n_cross), fill(w.base_buy), fill(w.base_sell)};
        const Kept<slots> kept{s.scratch};
        double* const linear = s.scratch + 2 * m * slots * width;
        for (int lane = 0; lane < hawkes_lanes; lane += width) {
            Sums sums;
            sums.mantissa = fill(1.0);
            sums.exponent = V{};
            for (V& sum : sums.s) sum = V{};
            to_kept(nodes, s, lane, slots, kept.data);
            if constexpr (order >= 1)
                for (int k = 0; k < 2 * m; ++k) store(linear + k * width, V{});
            I latest = sign_of(load(s.sign + lane));
            const int full = s.steps - 1;  // the last step may be partly padding
            int i = 0;
            for (; i + batch <= full; i += batch) {
                take<batch>(nodes, w, scales, s, lane, i, V{}, false, kept, linear, latest, sums);
                if (i % 8 == 0) renormalise(sums);
            }
            for (; i < s.steps; ++i) {
                V mask;
                for (int l = 0; l < width; ++l) mask[l] = i < full || lane + l < s.last_lanes ? 1.0 : 0.0;
                take<1>(nodes, w, scales, s, lane, i, mask, true, kept, linear, latest, sums);
                renormalise(sums);
            }
            if constexpr (order >= 1) weigh(m, w, scales, linear, sums);
            sums.s[sum_mantissa] = sums.mantissa;
            sums.s[sum_exponent] = sums.exponent;
            for (int n = 0; n < hawkes_sums; ++n) store(out + n * hawkes_lanes + lane, sums.s[n]);
        }
    }
};

// Intensities and the growth of the compensator. The growth follows from sum p * state, what the events so far have
// still to give: it was that, plus sum p for the event before, and is less now.
struct Trace {
    static constexpr int pair = 2;  // steps that share one walk: eight running sums

    struct Left {
        V total, signed_;
    };

    template <int count>
    CALIBRIG_INLINE void take(const HawkesNodes& nodes, const HawkesWeights& w, const HawkesStretch& s, int lane, int i,
                              const Kept<1>& kept, V mass, I& latest, Left& left, double* out) {
        const double *const weight = w.c, *const share = w.p;
        V a[count], d[count], left_a[count], left_d[count];
        I before[batch];
        for (int n = 0; n < count; ++n) {
            before[n] = latest;
            latest = sign_of(load(s.signed_b + (i + n) * hawkes_lanes + lane));
            a[n] = d[n] = left_a[n] = left_d[n] = V{};
        }
        advance<count>(nodes, s.gap_s + i * hawkes_lanes + lane, before, kept,
                       [&](int k, int n, V t, V g) __attribute__((always_inline)) {
                           const V c = fill(weight[k]), p = fill(share[k]);
                           a[n] = fma(c, t, a[n]);
                           d[n] = fma(c, g, d[n]);
                           left_a[n] = fma(p, t, left_a[n]);
                           left_d[n] = fma(p, g, left_d[n]);
                       });
        for (int n = 0; n < count; ++n) {
            double* row = out + static_cast<long>(i + n) * 4 * hawkes_lanes + lane;
            store(row, a[n]);
            store(row + hawkes_lanes, d[n]);
            store(row + 2 * hawkes_lanes, left.total + mass - left_a[n]);
            store(row + 3 * hawkes_lanes, left.signed_ + with_sign(mass, before[n]) - left_d[n]);
            left = {left_a[n], left_d[n]};
        }
    }

    static void run(const HawkesNodes& nodes, const HawkesWeights& w, HawkesStretch& s, double* out) {
        const FlushDenormals flush;
        const Kept<1> kept{s.scratch};
        for (int lane = 0; lane < hawkes_lanes; lane += width) {
            to_kept(nodes, s, lane, 1, kept.data);
            V mass{};
            Left left{V{}, V{}};
            for (int k = 0; k < nodes.chains * nodes.depth; ++k) {
                const V p = fill(w.p[k]);
                mass += p;
                left.total = fma(p, load(kept.total(k)), left.total);
                left.signed_ = fma(p, load(kept.signed_(k)), left.signed_);
            }
            I latest = sign_of(load(s.sign + lane));
            int i = 0;
            for (; i + pair <= s.steps; i += pair) take<pair>(nodes, w, s, lane, i, kept, mass, latest, left, out);
            for (; i < s.steps; ++i) take<1>(nodes, w, s, lane, i, kept, mass, latest, left, out);
            from_kept(nodes, s, lane, kept, latest);
        }
    }
};

}  // namespace

HawkesKernels hawkes_kernels() noexcept {
    return HawkesKernels{states, {Evaluate<0>::run, Evaluate<1>::run, Evaluate<2>::run}, Trace::run};
}

}  // namespace calibrig::CALIBRIG_ISA

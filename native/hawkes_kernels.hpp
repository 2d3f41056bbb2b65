// What the Hawkes kernels (native/isa/hawkes.cpp) are given; only plain data, so that no inline code is shared.
#pragma once

namespace calibrig {

// Events lie in 8 lanes, each a stretch of consecutive events: arrays are [step][lane]. State arrays are
// [node][lane]; "total" is the sum over both sides, "signed" buy minus sell, just before the latest event.
constexpr int hawkes_lanes = 8;

// The kernel sum_k c_k exp(-x_k tau); nodes are chains in which x doubles: x = start[chain] * 2^j.
struct HawkesNodes {
    int chains, depth;
    const double* start;  // [chains]
};

// Weights of the unit-mass kernel and their derivatives in v = log beta, w = log(gamma - 1), each [node].
struct HawkesWeights {
    const double* c;
    const double* c_v;
    const double* c_w;
    const double* c_vv;
    const double* c_vw;
    const double* c_ww;
    const double* p;  // c_k / x_k, for the compensator
    double base_buy, base_sell, n_self, n_cross;
};

// Numbers of working space a kernel needs: the states of a batch of four steps, and two sums per node.
constexpr int hawkes_scratch(int nodes) { return (2 * 4 + 2) * nodes * hawkes_lanes; }

struct HawkesStretch {
    const double* gap_s;     // [steps][8] seconds since the event before; 1e30 at the start of a session
    const double* signed_b;  // [steps][8] profile height, negative for a sell
    int steps;
    int last_lanes;  // lanes that hold an event in the last step (the others are padding)
    double* total;   // [nodes][8]
    double* signed_;  // [nodes][8]
    double* sign;    // [8] side of the latest event, +1 or -1
    double* scratch;  // [hawkes_scratch(nodes)], aligned to 64 bytes
};

// Sums over events that `evaluate` makes, [hawkes_sums][8]; q_a is the derivative of lambda along parameter a
// over lambda, with a in (0 base, 1 n_self, 3 v, 4 w, 5 asymmetry); q_2 follows from q_0 + q_1 + q_2 = 1.
enum HawkesSum : int {
    sum_mantissa, sum_exponent,  // product of lambda as mantissa * 2^exponent per lane
    sum_q0, sum_q1, sum_q3, sum_q4, sum_q5,
    sum_q00, sum_q01, sum_q03, sum_q04, sum_q05, sum_q11, sum_q13, sum_q14, sum_q15, sum_q33, sum_q34, sum_q35,
    sum_q44, sum_q45,
    sum_h13, sum_h14, sum_h33, sum_h34, sum_h44,  // second derivatives of lambda over lambda
    hawkes_sums
};

struct HawkesKernels {
    void (*states)(const HawkesNodes&, HawkesStretch&);
    void (*evaluate[3])(const HawkesNodes&, const HawkesWeights&, HawkesStretch&, double* sums);
    // out: [steps][4][8]: sum c * total, sum c * signed, sum p * (fall of total), sum p * (fall of signed)
    void (*trace)(const HawkesNodes&, const HawkesWeights&, HawkesStretch&, double* out);
};

}  // namespace calibrig

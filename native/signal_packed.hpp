// A signal model as the kernels read it: plain data, no code, so that every instruction set shares it.
#pragma once

#include <cstdint>

namespace calibrig {

enum class SignalKind : std::int32_t { linear = 0, trees = 1, network = 2 };

inline constexpr int n_features = 16;
inline constexpr int max_trees = 128;  // 100 trees, rounded up to whole groups of 32
inline constexpr int tree_nodes = 15;  // every tree is padded to depth 4
inline constexpr int tree_leaves = 16;

struct alignas(64) PackedSignal {
    double offset[n_features];
    double scale[n_features];
    double low, high;  // limits of an integer feature
    std::int64_t bias;
    std::int64_t one;  // 2 ^ output_fraction_bits
    double unit;       // 2 ^ -output_fraction_bits
    SignalKind kind;
    std::int32_t groups;  // trees, in groups of 32
    std::uint32_t model_id;

    alignas(64) std::int16_t linear[n_features];

    // Trees: [group][node][tree of the group]; tree_low/high are byte shuffles that pick a feature with pshufb.
    alignas(64) std::int16_t tree_feature[max_trees / 32][tree_nodes][32];
    alignas(64) std::int16_t tree_threshold[max_trees / 32][tree_nodes][32];
    alignas(64) std::uint8_t tree_low[max_trees / 32][tree_nodes][64];
    alignas(64) std::uint8_t tree_high[max_trees / 32][tree_nodes][64];
    alignas(64) std::int32_t leaf[max_trees][tree_leaves];
    // The same nodes tree after tree, for the scalar kernel.
    std::int16_t node_feature[max_trees][tree_leaves];
    std::int16_t node_threshold[max_trees][tree_leaves];
    std::int32_t n_trees;

    // The same trees over ranks: how many of a feature's thresholds lie below it. A node then compares bytes, which is
    // as exact. A ranking holds up to 255 thresholds in order; `ranked` is 0 where 16 of them do not suffice.
    std::int32_t ranked;
    std::int32_t rank_blocks;  // full blocks of 8 thresholds in the longest ranking
    alignas(64) std::int16_t rank_last[31][16];  // [block][ranking]: its last threshold; 32767 where it is not full
    alignas(64) std::int16_t rank_threshold[16][256];
    alignas(32) std::uint8_t rank_low[32], rank_high[32];  // byte shuffles that pick each ranking's feature
    alignas(64) std::uint8_t rank_node_place[max_trees / 32][tree_nodes][32];  // where the ranking's rank stands
    alignas(64) std::int8_t rank_node_number[max_trees / 32][tree_nodes][32];  // of the threshold, less 128

    // Network: pairs of inputs side by side, outputs along the vector: [pair of inputs][output][2].
    alignas(64) std::int16_t layer1[8][32][2];
    alignas(64) std::int16_t layer2[16][16][2];
    alignas(64) std::int16_t layer3[16];
    alignas(64) std::int32_t bias1[32];
    alignas(64) std::int32_t bias2[16];
    std::int32_t bias3, shift1, shift2, largest;
};

// What `predict` gives where a feature is NaN or infinite: no answer of a model is as low.
inline constexpr std::int64_t refused = INT64_MIN;

// Kernels of one instruction set. `quantise` gives 0 where a feature is NaN or infinite; `predict` is both in one call.
struct SignalKernels {
    int (*quantise)(const PackedSignal*, const double*, std::int16_t*) noexcept;
    std::int32_t (*evaluate[3])(const PackedSignal*, const std::int16_t*) noexcept;
    std::int64_t (*predict[3])(const PackedSignal*, const double*) noexcept;
};

}  // namespace calibrig

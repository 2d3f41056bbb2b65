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

    // Network: pairs of inputs side by side, outputs along the vector: [pair of inputs][output][2].
    alignas(64) std::int16_t layer1[8][32][2];
    alignas(64) std::int16_t layer2[16][16][2];
    alignas(64) std::int16_t layer3[16];
    alignas(64) std::int32_t bias1[32];
    alignas(64) std::int32_t bias2[16];
    std::int32_t bias3, shift1, shift2, largest;
};

// Kernels of one instruction set. `quantise` answers 0 where a feature is NaN or infinite.
struct SignalKernels {
    int (*quantise)(const PackedSignal*, const double*, std::int16_t*) noexcept;
    std::int32_t (*evaluate[3])(const PackedSignal*, const std::int16_t*) noexcept;
};

}  // namespace calibrig

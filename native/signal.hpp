// The signal model in software: exact fixed point, the kernel of the running processor chosen once.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#include "isa.hpp"
#include "signal_packed.hpp"

namespace calibrig {

namespace isa_baseline {
extern const SignalKernels signal_kernels;
}
#if defined(__x86_64__)
namespace isa_avx2 {
extern const SignalKernels signal_kernels;
}
namespace isa_avx512 {
extern const SignalKernels signal_kernels;
}
#endif

inline const SignalKernels& signal_kernels_of(Isa isa) noexcept {
#if defined(__x86_64__)
    if (isa == Isa::avx512) return isa_avx512::signal_kernels;
    if (isa == Isa::avx2) return isa_avx2::signal_kernels;
#endif
    (void)isa;
    return isa_baseline::signal_kernels;
}

// The numbers of a stored model, before they are packed. Layers hold rows of weights, one row per output.
struct SignalSpec {
    struct Layer {
        std::vector<std::vector<std::int16_t>> weights;
        std::vector<std::int32_t> bias;
        int shift = 0;
    };
    SignalKind kind = SignalKind::linear;
    std::vector<double> offset = std::vector<double>(n_features, 0.0);
    std::vector<double> scale = std::vector<double>(n_features, 1.0);
    int feature_bits = 16;
    std::int64_t bias = 0;
    int fraction_bits = 20;
    std::uint32_t model_id = 0;
    std::vector<std::int16_t> weights;
    int tree_depth = 0;
    std::vector<std::int16_t> tree_features, tree_thresholds;
    std::vector<std::int32_t> tree_leaves;
    std::vector<Layer> layers;
    int activation_bits = 16;
};

namespace detail {

inline void require(bool holds, const char* message) {
    if (!holds) throw std::invalid_argument(message);
}

// A byte shuffle that picks one 16-bit feature from the lower or the upper eight; 0x80 gives zero.
inline void pack_pick(int feature, std::uint8_t* low, std::uint8_t* high) {
    for (int byte = 0; byte < 2; ++byte) {
        const auto at = static_cast<std::uint8_t>(2 * (feature & 7) + byte);
        low[byte] = feature < 8 ? at : std::uint8_t{0x80};
        high[byte] = feature < 8 ? std::uint8_t{0x80} : at;
    }
}

// A tree of smaller depth goes left through the padding: no 16-bit integer is above 32767.
inline void pack_tree(const SignalSpec& spec, int tree, PackedSignal& out) {
    const int nodes = (1 << spec.tree_depth) - 1, leaves = 1 << spec.tree_depth;
    const int g = tree / 32, lane = tree % 32, spread = tree_leaves / leaves;
    for (int n = 0; n < tree_nodes; ++n) {
        const bool real = n < nodes;
        const std::int16_t feature = real ? spec.tree_features[tree * nodes + n] : std::int16_t{0};
        const std::int16_t threshold = real ? spec.tree_thresholds[tree * nodes + n] : std::int16_t{32767};
        out.node_feature[tree][n] = out.tree_feature[g][n][lane] = feature;
        out.node_threshold[tree][n] = out.tree_threshold[g][n][lane] = threshold;
        pack_pick(feature, out.tree_low[g][n] + 2 * lane, out.tree_high[g][n] + 2 * lane);
    }
    for (int leaf = 0; leaf < tree_leaves; ++leaf)
        out.leaf[tree][leaf] = spec.tree_leaves[tree * leaves + leaf / spread];
}

// Puts every feature's thresholds in order and numbers them; a feature with more than 255 has several rankings.
inline void pack_ranks(const SignalSpec& spec, PackedSignal& out) {
    constexpr std::size_t longest = 255, most = 16;
    std::vector<std::int16_t> sorted[n_features];
    for (std::size_t n = 0; n < spec.tree_features.size(); ++n)
        sorted[spec.tree_features[n]].push_back(spec.tree_thresholds[n]);
    std::size_t first_of[n_features], rankings = 0, blocks = 0;
    for (int f = 0; f < n_features; ++f) {
        std::sort(sorted[f].begin(), sorted[f].end());
        sorted[f].erase(std::unique(sorted[f].begin(), sorted[f].end()), sorted[f].end());
        first_of[f] = rankings;
        rankings += (sorted[f].size() + longest - 1) / longest;
        blocks = std::max(blocks, std::min(sorted[f].size(), longest) / 8);  // full ones: only they are passed whole
    }
    if (rankings > most) return;
    out.ranked = 1;
    out.rank_blocks = static_cast<std::int32_t>(blocks);
    std::fill_n(&out.rank_last[0][0], sizeof out.rank_last / sizeof out.rank_last[0][0], std::int16_t{32767});
    std::fill_n(&out.rank_threshold[0][0], most * 256, std::int16_t{32767});
    for (int f = 0; f < n_features; ++f)
        for (std::size_t i = 0; i < sorted[f].size(); ++i) {
            const std::size_t ranking = first_of[f] + i / longest, at = i % longest;
            pack_pick(f, out.rank_low + 2 * ranking, out.rank_high + 2 * ranking);
            out.rank_threshold[ranking][at] = sorted[f][i];
            if (at % 8 == 7) out.rank_last[at / 8][ranking] = sorted[f][i];
        }
    // The order in which the kernel finds the ranks: 0 2 4 6, 8 10 12 14, 1 3 5 7, 9 11 13 15.
    const auto place_of = [](std::size_t ranking) { return 8 * (ranking & 1) + 4 * (ranking >> 3) + (ranking & 7) / 2; };
    std::fill_n(&out.rank_node_number[0][0][0], sizeof out.rank_node_number, std::int8_t{127});  // never right
    const std::size_t nodes = (std::size_t{1} << spec.tree_depth) - 1;
    for (std::size_t n = 0; n < spec.tree_features.size(); ++n) {
        const auto& thresholds = sorted[spec.tree_features[n]];
        const auto number = static_cast<std::size_t>(
            std::lower_bound(thresholds.begin(), thresholds.end(), spec.tree_thresholds[n]) - thresholds.begin());
        const std::size_t tree = n / nodes, node = n % nodes, lane = tree % 32;
        out.rank_node_place[tree / 32][node][lane] =
            static_cast<std::uint8_t>(place_of(first_of[spec.tree_features[n]] + number / longest));
        out.rank_node_number[tree / 32][node][lane] =
            static_cast<std::int8_t>(static_cast<int>(number % longest) - 128);
    }
}

inline void pack_trees(const SignalSpec& spec, PackedSignal& out) {
    require(spec.tree_depth >= 1 && spec.tree_depth <= 4, "tree_depth must lie in 1 .. 4");
    const std::size_t leaves = std::size_t{1} << spec.tree_depth, n = spec.tree_leaves.size() / leaves;
    require(n >= 1 && n <= 100 && n * leaves == spec.tree_leaves.size(), "give 1 to 100 whole trees");
    require(spec.tree_features.size() == n * (leaves - 1) && spec.tree_thresholds.size() == n * (leaves - 1),
            "give 2^depth - 1 features and thresholds per tree");
    for (std::int16_t f : spec.tree_features) require(f >= 0 && f < n_features, "a tree's feature is not 0 .. 15");
    out.n_trees = static_cast<std::int32_t>(n);
    out.groups = (out.n_trees + 31) / 32;
    std::memset(out.tree_low, 0x80, sizeof out.tree_low);
    std::memset(out.tree_high, 0x80, sizeof out.tree_high);
    for (int tree = 0; tree < out.n_trees; ++tree) pack_tree(spec, tree, out);
    pack_ranks(spec, out);
}

inline void pack_network(const SignalSpec& spec, PackedSignal& out) {
    require(spec.layers.size() == 3, "a network has three layers");
    const std::size_t limit[3] = {32, 16, 1};
    std::size_t width = n_features;
    for (int k = 0; k < 3; ++k) {
        const auto& layer = spec.layers[k];
        require(!layer.weights.empty() && layer.weights.size() <= limit[k] && layer.bias.size() == layer.weights.size(),
                "a layer has too many outputs, or not one bias per output");
        for (std::size_t o = 0; o < layer.weights.size(); ++o) {
            require(layer.weights[o].size() == width, "a layer's row does not match the outputs before it");
            const auto bias = layer.bias[o];
            if (k == 0) out.bias1[o] = bias;
            if (k == 1) out.bias2[o] = bias;
            if (k == 2) out.bias3 = bias;
            for (std::size_t i = 0; i < width; ++i) {
                const std::int16_t w = layer.weights[o][i];
                if (k == 0) out.layer1[i / 2][o][i % 2] = w;
                if (k == 1) out.layer2[i / 2][o][i % 2] = w;
                if (k == 2) out.layer3[i] = w;
            }
        }
        width = layer.weights.size();
    }
    out.shift1 = spec.layers[0].shift;
    out.shift2 = spec.layers[1].shift;
    out.largest = (1 << (spec.activation_bits - 1)) - 1;
}

}  // namespace detail

// A model ready to run. Immutable: many threads may evaluate it.
class SignalModel {
   public:
    explicit SignalModel(const SignalSpec& spec, Isa isa = active_isa())
        : packed_(std::make_unique<PackedSignal>()), kernels_(signal_kernels_of(isa)) {
        PackedSignal& out = *packed_;
        detail::require(spec.offset.size() == n_features && spec.scale.size() == n_features,
                        "give 16 feature offsets and scales");
        detail::require(spec.feature_bits >= 8 && spec.feature_bits <= 16, "feature_bits must lie in 8 .. 16");
        detail::require(spec.fraction_bits >= 0 && spec.fraction_bits <= 30, "fraction_bits must lie in 0 .. 30");
        for (int i = 0; i < n_features; ++i) {
            out.offset[i] = spec.offset[i];
            out.scale[i] = spec.scale[i];
        }
        out.high = static_cast<double>((1 << (spec.feature_bits - 1)) - 1);
        out.low = -out.high - 1.0;
        out.bias = spec.bias;
        out.one = std::int64_t{1} << spec.fraction_bits;
        out.unit = 1.0 / static_cast<double>(out.one);
        out.kind = spec.kind;
        out.model_id = spec.model_id;
        if (spec.kind == SignalKind::linear) {
            detail::require(spec.weights.size() == n_features, "a linear model has 16 weights");
            for (int i = 0; i < n_features; ++i) out.linear[i] = spec.weights[i];
        } else if (spec.kind == SignalKind::trees) {
            detail::pack_trees(spec, out);
        } else {
            detail::pack_network(spec, out);
        }
        evaluate_ = kernels_.evaluate[static_cast<int>(spec.kind)];
    }

    // Features as integers; false where one is NaN or infinite (the integers are then meaningless).
    bool quantise(const double* features, std::int16_t* out) const noexcept {
        return kernels_.quantise(packed_.get(), features, out) != 0;
    }
    // The model's integer, in units of 2^-fraction_bits.
    std::int32_t evaluate(const std::int16_t* quantised) const noexcept {
        return evaluate_(packed_.get(), quantised);
    }
    // Both in one call, as a caller keeps it beside what else it touches; lives no longer than the model.
    struct Call {
        const PackedSignal* packed;
        std::int64_t (*predict)(const PackedSignal*, const double*) noexcept;
        double unit;
        // The model's integer; `refused` where a feature is NaN or infinite.
        std::int64_t operator()(const double* features) const noexcept { return predict(packed, features); }
        double to_signal(std::int64_t value) const noexcept { return static_cast<double>(value) * unit; }
    };
    Call call() const noexcept {
        return {packed_.get(), kernels_.predict[static_cast<int>(packed_->kind)], packed_->unit};
    }
    double to_signal(std::int32_t value) const noexcept { return static_cast<double>(value) * packed_->unit; }
    std::int64_t one() const noexcept { return packed_->one; }
    std::uint32_t model_id() const noexcept { return packed_->model_id; }

   private:
    std::unique_ptr<PackedSignal> packed_;
    const SignalKernels& kernels_;
    std::int32_t (*evaluate_)(const PackedSignal*, const std::int16_t*) noexcept = nullptr;
};

}  // namespace calibrig

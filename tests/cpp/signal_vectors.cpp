// Prints the answers of one instruction set for seeded models of every kind: compared across processors.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <utility>

#include "signal.hpp"

using namespace calibrig;

static std::uint64_t state = 42;
static std::int64_t draw(std::int64_t low, std::int64_t high) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return low + static_cast<std::int64_t>((state >> 33) % static_cast<std::uint64_t>(high - low + 1));
}

// crowded: half of the nodes ask one feature, more thresholds than a byte can number beside fifteen other features.
static SignalSpec make(SignalKind kind, bool crowded) {
    SignalSpec spec;
    spec.kind = kind;
    spec.scale.assign(n_features, 1000.0);
    if (kind == SignalKind::linear)
        for (int i = 0; i < n_features; ++i) spec.weights.push_back(static_cast<std::int16_t>(draw(-32767, 32767)));
    if (kind == SignalKind::trees) {
        spec.tree_depth = 4;
        for (int i = 0; i < 1500; ++i) {
            spec.tree_features.push_back(static_cast<std::int16_t>(crowded && i % 2 == 0 ? 15 : draw(0, 15)));
            spec.tree_thresholds.push_back(static_cast<std::int16_t>(draw(-20000, 20000)));
        }
        for (int i = 0; i < 1600; ++i) spec.tree_leaves.push_back(static_cast<std::int32_t>(draw(-20000, 20000)));
    }
    if (kind == SignalKind::network) {
        const int widths[4] = {16, 32, 16, 1};
        for (int k = 0; k < 3; ++k) {
            SignalSpec::Layer layer;
            for (int o = 0; o < widths[k + 1]; ++o) {
                layer.weights.emplace_back();
                for (int i = 0; i < widths[k]; ++i)
                    layer.weights.back().push_back(static_cast<std::int16_t>(draw(-100, 100)));
                layer.bias.push_back(static_cast<std::int32_t>(draw(-1000, 1000)));
            }
            layer.shift = k < 2 ? 7 : 0;
            spec.layers.push_back(layer);
        }
    }
    return spec;
}

int main(int argc, char** argv) {
    Isa isa = active_isa();
    for (Isa named : {Isa::baseline, Isa::avx2, Isa::avx512})
        if (argc > 1 && std::strcmp(argv[1], name_of(named)) == 0) isa = named;
    std::printf("%s\n", name_of(isa));
    const std::pair<SignalKind, bool> cases[] = {{SignalKind::linear, false},
                                                 {SignalKind::trees, false},
                                                 {SignalKind::trees, true},
                                                 {SignalKind::network, false}};
    for (const auto& [kind, crowded] : cases) {
        const SignalModel model(make(kind, crowded), isa);
        std::uint64_t hash = 1469598103934665603ull;
        for (int row = 0; row < 2000; ++row) {
            double features[n_features];
            for (double& feature : features) feature = static_cast<double>(draw(-40'000'000, 40'000'000)) * 1e-6;
            std::int16_t quantised[n_features];
            if (!model.quantise(features, quantised)) return 1;
            hash = (hash ^ static_cast<std::uint32_t>(model.evaluate(quantised))) * 1099511628211ull;
            for (std::int16_t q : quantised) hash = (hash ^ static_cast<std::uint16_t>(q)) * 1099511628211ull;
        }
        for (double odd : {std::nan(""), HUGE_VAL, -HUGE_VAL, std::numeric_limits<double>::signaling_NaN()})
            for (int at = 0; at < n_features; ++at) {  // refused wherever it stands
                double features[n_features] = {};
                std::int16_t quantised[n_features];
                if (!model.quantise(features, quantised)) return 2;
                features[at] = odd;
                if (model.quantise(features, quantised)) return 3;
            }
        std::printf("%016llx\n", static_cast<unsigned long long>(hash));
    }
}

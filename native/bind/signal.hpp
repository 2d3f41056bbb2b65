// Builds the native model from the stored record.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <string>

#include "../signal.hpp"

namespace calibrig::bind {

inline SignalSpec read_signal_record(nanobind::handle record) {
    namespace nb = nanobind;
    SignalSpec spec;
    const auto kind = nb::cast<std::string>(nb::str(record.attr("kind")));
    spec.kind = kind == "trees" ? SignalKind::trees : kind == "network" ? SignalKind::network : SignalKind::linear;
    spec.offset = nb::cast<std::vector<double>>(record.attr("feature_offset"));
    spec.scale = nb::cast<std::vector<double>>(record.attr("feature_scale"));
    spec.feature_bits = nb::cast<int>(record.attr("feature_bits"));
    spec.bias = nb::cast<std::int64_t>(record.attr("bias"));
    spec.fraction_bits = nb::cast<int>(record.attr("output_fraction_bits"));
    spec.model_id = nb::cast<std::uint32_t>(record.attr("model_id"));
    spec.weights = nb::cast<std::vector<std::int16_t>>(record.attr("weights"));
    spec.activation_bits = nb::cast<int>(record.attr("activation_bits"));
    if (nb::object trees = record.attr("trees"); !trees.is_none()) {
        spec.tree_depth = nb::cast<int>(trees.attr("depth"));
        spec.tree_features = nb::cast<std::vector<std::int16_t>>(trees.attr("features"));
        spec.tree_thresholds = nb::cast<std::vector<std::int16_t>>(trees.attr("thresholds"));
        spec.tree_leaves = nb::cast<std::vector<std::int32_t>>(trees.attr("leaves"));
    }
    for (nb::handle layer : record.attr("layers"))
        spec.layers.push_back({nb::cast<std::vector<std::vector<std::int16_t>>>(layer.attr("weights")),
                               nb::cast<std::vector<std::int32_t>>(layer.attr("bias")),
                               nb::cast<int>(layer.attr("shift"))});
    return spec;
}

// A bound model: shared, so that a bridge may hold it longer than Python does.
struct PySignalModel {
    std::shared_ptr<const SignalModel> model;
};

}  // namespace calibrig::bind

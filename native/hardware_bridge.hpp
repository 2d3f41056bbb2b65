// The bridge as a C++ strategy uses it: the source document's names, over bridge.hpp.
#pragma once

#include <stdexcept>
#include <string>

#include "bridge.hpp"

namespace calibrig {

using AcceleratorMode = Mode;
using HardwareStatus = Status;

// The field order is the order on the card.
struct MicrostructureFeatures {
    double spread_ticks = 0, depth_imbalance = 0, microprice_offset = 0;
    double order_flow_imbalance_fast = 0, order_flow_imbalance_slow = 0;
    double signed_volume_fast = 0, signed_volume_slow = 0;
    double buy_intensity = 0, sell_intensity = 0, intensity_imbalance = 0;
    double volatility_fast = 0, volatility_slow = 0;
    double mid_return_fast = 0, mid_return_slow = 0;
    double time_since_trade_s = 0, quote_age_s = 0;

    const double* data() const noexcept { return &spread_ticks; }
};
static_assert(sizeof(MicrostructureFeatures) == n_features * sizeof(double));

// Nanoseconds.
struct LatencyStats {
    std::uint64_t count = 0;
    double mean = 0, p50 = 0, p95 = 0, p99 = 0, p999 = 0, max = 0;
    std::uint64_t failure_count = 0, fallback_count = 0;
};

// A prediction that has no answer; `fault` says why. No number is ever invented.
class BridgeError : public std::runtime_error {
   public:
    explicit BridgeError(Fault why) : std::runtime_error(describe(why)), fault(why) {}
    const Fault fault;

    static const char* describe(Fault fault) noexcept {
        switch (fault) {
            case Fault::uninitialized: return "predict before initialize()";
            case Fault::closed: return "the bridge is closed";
            case Fault::concurrent: return "a second thread called predict; use one bridge per thread";
            case Fault::bad_features: return "a feature is NaN or infinite";
            case Fault::timeout: return "the device gave no answer within the deadline";
            case Fault::removed: return "the device is not there";
            case Fault::model: return "the device runs another model";
            case Fault::left: return "the device was left and has not passed its probes yet";
            default: return "the device's answer fails its checks";
        }
    }
};

// The packaged reference model, never fitted: the same integers as calibrig.models.signal.reference_model().
inline SignalSpec reference_model() {
    SignalSpec spec;
    spec.scale.assign(n_features, 4096.0);
    spec.scale[1] = spec.scale[2] = spec.scale[9] = 8192.0;
    spec.weights.assign(n_features, 0);
    spec.weights[1] = 26214;
    spec.weights[2] = spec.weights[3] = 13107;
    spec.fraction_bits = 30;
    spec.model_id = 0x951BEA5C;
    return spec;
}

class HardwareInTheLoopBridge {
   public:
    explicit HardwareInTheLoopBridge(AcceleratorMode mode, const SignalSpec& model = reference_model(),
                                     std::shared_ptr<Device> device = nullptr, Golden golden = {},
                                     const BridgeOptions& options = {})
        : model_(std::make_shared<const SignalModel>(model)),
          golden_(golden.values.empty() ? make_golden(*model_) : std::move(golden)),
          device_(std::move(device)),
          bridge_(mode, model_, device_, golden_, options) {
        require_device(mode);
    }

    void initialize() { raise(bridge_.initialize()); }
    double predict(const MicrostructureFeatures& features) {
        const Answer answer = bridge_.predict(features.data(), Hold::spin);
        if (!answer.ok()) [[unlikely]] throw BridgeError(answer.fault);
        return answer.signal;
    }
    HardwareStatus get_status() const { return bridge_.status(); }
    bool meets_latency_sla(double ns = 400.0, double percentile = 0.99) const {
        return bridge_.block().copy_device().percentile(percentile) <= ns;
    }
    LatencyStats get_latency_stats() const { return summarise(bridge_.block().copy_device()); }
    LatencyStats get_roundtrip_stats() const { return summarise(bridge_.block().copy_roundtrip()); }
    void set_mode(AcceleratorMode mode) {
        require_device(mode);
        raise(bridge_.swap(mode, model_, device_, golden_));
    }
    void close() { bridge_.close(); }
    Bridge& native() noexcept { return bridge_; }

   private:
    // Inputs over the whole range; a card must answer them as software does.
    static Golden make_golden(const SignalModel& model) {
        Golden golden;
        std::uint64_t state = model.model_id();
        for (int vector = 0; vector < 32; ++vector) {
            std::array<std::int16_t, n_features> features{};
            for (std::int16_t& feature : features) {
                state = state * 6364136223846793005ull + 1442695040888963407ull;
                feature = static_cast<std::int16_t>(state >> 48);
            }
            golden.features.push_back(features);
            golden.values.push_back(model.evaluate(features.data()));
        }
        return golden;
    }
    void require_device(AcceleratorMode mode) const {
        if (mode != AcceleratorMode::software_stub && !device_)
            throw std::invalid_argument("this mode needs a device; give one, or use software_stub");
    }
    void raise(Fault fault) const {
        if (fault != Fault::none && !(bridge_.mode() == Mode::hybrid_fallback && get_status() != Status::closed))
            throw BridgeError(fault);
    }
    LatencyStats summarise(const HistogramCopy& copy) const {
        const BridgeBlock& block = bridge_.block();
        return {copy.count, copy.mean(), copy.percentile(0.5), copy.percentile(0.95), copy.percentile(0.99),
                copy.percentile(0.999), static_cast<double>(copy.max),
                block.failures.load(std::memory_order_relaxed), block.fallbacks.load(std::memory_order_relaxed)};
    }

    std::shared_ptr<const SignalModel> model_;
    Golden golden_;
    std::shared_ptr<Device> device_;
    Bridge bridge_;
};

}  // namespace calibrig

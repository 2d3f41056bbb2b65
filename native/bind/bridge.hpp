// What other bindings take from the bridge's: the native object behind Python's HardwareInTheLoopBridge.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>

#include "../bridge.hpp"

namespace calibrig::bind {

// Sixteen features that stay in one place, filled from Python or from C++.
struct FeatureBuffer {
    alignas(64) double values[n_features] = {};
};

// A native device as Python holds it.
struct PyNativeDevice {
    std::shared_ptr<Device> device;
};

// What closes a bridge that Python has forgotten, or when the interpreter ends.
struct PyKeeper {
    std::shared_ptr<Bridge> bridge;
};

// Python's bridge object derives from this class; `native()` is what an engine runs on.
class PyBridge {
   public:
    PyBridge(Mode mode, Bridge::ModelPtr model, Bridge::DevicePtr device, Golden golden, const BridgeOptions& options)
        : bridge_(std::make_shared<Bridge>(mode, std::move(model), std::move(device), std::move(golden), options)) {}
    PyBridge(const PyBridge&) = delete;
    PyBridge& operator=(const PyBridge&) = delete;
    ~PyBridge() {  // the prober may be waiting for the GIL
        nanobind::gil_scoped_release unlocked;
        bridge_.reset();
    }
    Bridge& native() noexcept { return *bridge_; }
    const std::shared_ptr<Bridge>& shared() const noexcept { return bridge_; }

    HistogramCopy device_baseline, roundtrip_baseline;  // what reset() subtracts
    std::uint64_t failures_baseline = 0, fallbacks_baseline = 0;

   private:
    std::shared_ptr<Bridge> bridge_;
};

}  // namespace calibrig::bind

// A trading loop in C++ on the bridge: the code does not change when the card comes.
#include <cmath>
#include <cstdio>

#include <calibrig/hardware_bridge.hpp>

using namespace calibrig;

static MicrostructureFeatures extract_features(int tick) {
    MicrostructureFeatures features;
    features.depth_imbalance = std::sin(0.01 * tick);
    features.microprice_offset = 0.5 * features.depth_imbalance;
    return features;
}

int main() {
    HardwareInTheLoopBridge hw_bridge(AcceleratorMode::software_stub);
    hw_bridge.initialize();

    double position = 0.0;
    for (int tick = 0; tick < 1000; ++tick) {
        const double signal = hw_bridge.predict(extract_features(tick));
        position += signal > 0.1 ? 1.0 : signal < -0.1 ? -1.0 : 0.0;
        if (hw_bridge.get_status() != HardwareStatus::ready && hw_bridge.get_status() != HardwareStatus::degraded)
            std::fprintf(stderr, "the bridge is not ready\n");
    }
    try {
        hw_bridge.set_mode(AcceleratorMode::hybrid_fallback);
    } catch (const std::invalid_argument& error) {
        std::printf("%s\n", error.what());
    }
    const LatencyStats stats = hw_bridge.get_latency_stats();
    std::printf("count %llu p50 %.0f sla %d position %.0f\n", static_cast<unsigned long long>(stats.count), stats.p50,
                hw_bridge.meets_latency_sla(400.0, 0.5), position);
    MicrostructureFeatures features;
    features.depth_imbalance = 0.5;
    std::printf("signal %.17g\n", hw_bridge.predict(features));
}

// The native bridge from C++: faults, hot swap under load, shared memory. Built plainly and under sanitizers.
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "drive.hpp"
#include "hardware_bridge.hpp"
#include "scripted_device.hpp"
#include "shm.hpp"

using namespace calibrig;

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);      \
            std::exit(1);                                                             \
        }                                                                             \
    } while (false)

struct World {
    std::shared_ptr<const SignalModel> model = std::make_shared<const SignalModel>(reference_model());
    Golden golden;
    std::vector<double> features, expected;

    World() {
        std::uint64_t state = 1;
        for (int row = 0; row < 256; ++row) {
            std::array<std::int16_t, n_features> quantised{};
            for (int i = 0; i < n_features; ++i) {
                state = state * 6364136223846793005ull + 1442695040888963407ull;
                features.push_back(static_cast<double>(static_cast<std::int32_t>(state >> 32)) * 1e-9);
            }
            CHECK(model->quantise(features.data() + row * n_features, quantised.data()));
            expected.push_back(model->to_signal(model->evaluate(quantised.data())));
            golden.features.push_back(quantised);
            golden.values.push_back(model->evaluate(quantised.data()));
        }
    }
    DriveReport run(Bridge& bridge, std::uint64_t calls, Hold hold = Hold::spin) const {
        return drive(bridge, features.data(), expected.data(), expected.size(), calls, hold, INT64_MAX);
    }
    static BridgeOptions options(std::int64_t deadline_ns) {
        BridgeOptions options;
        options.stub_latency_ns = 0;
        options.deadline_ns = deadline_ns;
        return options;
    }
};

static void check_clean(const DriveReport& report) {
    CHECK(report.wrong == 0);
    CHECK(report.unanswered == 0);
    CHECK(report.sequence_errors == 0);
}

static void test_kernels_agree() {
    World world;
    for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
        if (isa > best_isa()) continue;
        const SignalModel other(reference_model(), isa);
        for (std::size_t row = 0; row < world.golden.values.size(); ++row)
            CHECK(other.evaluate(world.golden.features[row].data()) == world.golden.values[row]);
    }
}

static void test_histogram_shows_every_call_at_once() {
    auto live = std::make_unique<Histogram>();
    HistogramCopy reset;
    std::uint64_t sum = 0;
    for (std::uint64_t call = 1; call <= 3'000; ++call) {
        const std::uint64_t ns = call * call;  // exact buckets and wide ones
        live->record(ns);
        sum += ns;
        const HistogramCopy now = HistogramCopy::of(*live);
        CHECK(now.count == call && now.sum == sum && now.max == ns);
        CHECK(now.buckets[bucket_of(ns)] > 0);
        if (call == 1'000) reset = now;
    }
    HistogramCopy since = HistogramCopy::of(*live);
    since.subtract(reset);
    CHECK(since.count == 2'000);
    HistogramCopy ahead = reset;  // read while calls go on, a baseline may hold a call that a copy misses
    ahead.subtract(HistogramCopy::of(*live));
    CHECK(ahead.count == 0);
}

static void test_window_counts_what_is_marked() {
    Window window;
    CHECK(window.pass(0));
    CHECK(!window.pass(Window::breach) && window.record(Window::breach));
    for (int call = 0; call < Window::size - 1; ++call) CHECK(!window.pass(0) && !window.record(0));
    CHECK(window.breaches() == 1);
    CHECK(!window.pass(0) && window.record(0));  // the marked call leaves the window
    CHECK(window.breaches() == 0 && window.pass(0));
}

static void test_every_misbehaviour_falls_back() {
    World world;
    for (int kind = 1; kind < n_misbehaviours; ++kind) {
        ScriptedDevice::Options options;
        options.seed = static_cast<std::uint64_t>(kind);
        options.rate = 0.03;
        options.kinds = {static_cast<Misbehaviour>(kind)};
        auto device = std::make_shared<ScriptedDevice>(world.model, options);
        BridgeOptions bridge_options = World::options(1'000'000);
        bridge_options.verify = 1;
        Bridge bridge(Mode::hybrid_fallback, world.model, device, world.golden, bridge_options);
        CHECK(bridge.initialize() == Fault::none);
        check_clean(world.run(bridge, 2'000));
        CHECK(device->injected[kind].load() > 0);
    }
}

static void test_swapping_under_load() {
    World world;
    auto first = std::make_shared<ScriptedDevice>(world.model, ScriptedDevice::Options{});
    auto second = std::make_shared<ScriptedDevice>(world.model, ScriptedDevice::Options{});
    Bridge bridge(Mode::hybrid_fallback, world.model, first, world.golden, World::options(500'000'000));
    CHECK(bridge.initialize() == Fault::none);
    std::atomic<bool> done{false};
    std::thread swapper([&] {
        for (int turn = 0; turn < 60; ++turn) {
            const Mode mode = turn % 3 == 0 ? Mode::software_stub : Mode::hybrid_fallback;
            CHECK(bridge.swap(mode, world.model, turn % 2 == 0 ? second : first, world.golden) == Fault::none);
        }
        done.store(true);
    });
    std::thread reader([&] {
        while (!done.load()) {
            (void)bridge.status();
            (void)bridge.block().copy_roundtrip().percentile(0.99);
            StatusChange change;
            for (std::uint64_t index = 1; index < 8; ++index) (void)bridge.block().read_change(index, change);
        }
    });
    while (!done.load()) check_clean(world.run(bridge, 500));
    swapper.join();
    reader.join();
}

static void test_dead_card_is_left_and_comes_back() {
    World world;
    auto device = std::make_shared<ScriptedDevice>(world.model, ScriptedDevice::Options{});
    Bridge bridge(Mode::hybrid_fallback, world.model, device, world.golden, World::options(1'000'000));
    CHECK(bridge.initialize() == Fault::none);
    device->dead.store(true);
    check_clean(world.run(bridge, 100));
    CHECK(bridge.status() == Status::failed);
    device->dead.store(false);
    for (int wait = 0; wait < 20'000 && bridge.status() == Status::failed; ++wait)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    CHECK(bridge.status() == Status::ready);
    check_clean(world.run(bridge, 100));
}

static void test_shared_memory() {
    World world;
    const std::string path = "/tmp/calibrig-cpp-test-" + std::to_string(::getpid());
    SoftwareCard card(path, world.model, 250'000'000);
    std::atomic<bool> stop{false};
    std::thread server([&] { card.serve(stop); });
    {
        auto device = std::make_shared<SharedMemoryDevice>(path);
        Bridge bridge(Mode::hybrid_fallback, world.model, device, world.golden, World::options(2'000'000'000));
        CHECK(bridge.initialize() == Fault::none);
        const DriveReport report = world.run(bridge, 2'000);
        check_clean(report);
        CHECK(report.by_source[static_cast<int>(Source::hardware)] == 2'000);
    }
    stop.store(true);
    server.join();
}

static void test_refusals() {
    HardwareInTheLoopBridge bridge(AcceleratorMode::software_stub);
    MicrostructureFeatures features;
    bool refused = false;
    try {
        (void)bridge.predict(features);
    } catch (const BridgeError& error) {
        refused = error.fault == Fault::uninitialized;
    }
    CHECK(refused);
    bridge.initialize();
    features.spread_ticks = 1.0 / 0.0;
    try {
        (void)bridge.predict(features);
        CHECK(false);
    } catch (const BridgeError& error) {
        CHECK(error.fault == Fault::bad_features);
    }
}

int main() {
    test_kernels_agree();
    test_histogram_shows_every_call_at_once();
    test_window_counts_what_is_marked();
    test_every_misbehaviour_falls_back();
    test_swapping_under_load();
    test_dead_card_is_left_and_comes_back();
    test_shared_memory();
    test_refusals();
    std::puts("ok");
}

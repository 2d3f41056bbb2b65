// What a loop pays for the store's block: `cost` measures in one process; `loop BLOCK SYMBOL APPLIED SECONDS` is a loop
// that follows another process's store and counts how long new versions take to be in force.
#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "model_store.hpp"

using namespace calibrig;

namespace {

// Median over repeats of the mean time of one call, ns.
template <class Call>
double median_ns(Call&& call, int count) {
    std::vector<double> found;
    for (int repeat = 0; repeat < 41; ++repeat) {
        const std::int64_t start = read_clock_ns(CLOCK_THREAD_CPUTIME_ID);
        for (int i = 0; i < count; ++i) call();
        found.push_back(static_cast<double>(read_clock_ns(CLOCK_THREAD_CPUTIME_ID) - start) / count);
    }
    std::sort(found.begin(), found.end());
    return found[found.size() / 2];
}

SetNumbers numbers(std::uint64_t n) {
    SetNumbers set;
    for (VersionNumbers& version : set.versions) version.version_id = n;
    return set;
}

int cost(const std::string& folder) {
    StoreBlockWriter writer(folder + "/cost.block", 64, std::string(32, 'a'), 3'600'000'000'000);
    const int small = writer.slot_of("SMALL"), large = writer.slot_of("LARGE");
    const std::vector<double> profile(48, 1.0), medians(48, 1e-4);
    const std::vector<std::int64_t> network(1'150, 1);
    writer.publish(small, numbers(1), profile, medians, {});
    writer.publish(large, numbers(1), profile, medians, network);
    writer.beat(monotonic_ns(), false);
    writer.show();
    ModelStore store(folder + "/cost.block");
    store.initialize();
    LiveParameters live(store, "LARGE", folder + "/cost.applied");
    volatile bool sink = live.poll();
    SetCopy set;
    const StoreBlockView& view = store.view();
    const double poll = median_ns([&] { sink = live.poll(); }, 1'000'000);
    const double stale = median_ns([&] { sink = live.stale(); }, 1'000'000);
    const double copy_small = median_ns([&] { sink = view.read(small, set); }, 20'000);
    const double copy_large = median_ns([&] { sink = view.read(large, set); }, 20'000);
    std::uint64_t version = 1;
    const double publish = median_ns([&] { sink = writer.publish(large, numbers(++version), profile, medians, network); }, 2'000);
    std::atomic<bool> done{false};
    std::thread busy([&] {
        while (!done.load(std::memory_order_relaxed)) {
            writer.publish(small, numbers(++version), profile, medians, {});
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    });
    const double poll_busy = median_ns([&] { sink = live.poll(); }, 200'000);
    const double copy_busy = median_ns([&] { sink = view.read(small, set); }, 20'000);
    done.store(true);
    busy.join();
    std::printf("{\"poll\": %.3f, \"stale\": %.3f, \"copy_small\": %.1f, \"copy_large\": %.1f, \"publish\": %.1f, "
                "\"poll_busy\": %.3f, \"copy_busy\": %.1f}\n",
                poll, stale, copy_small, copy_large, publish, poll_busy, copy_busy);
    return 0;
}

int loop(const char* block, const char* symbol, const char* applied, double seconds) {
    ModelStore store(block);
    store.initialize();
    LiveParameters live(store, symbol, applied);
    const std::int64_t until = monotonic_ns() + static_cast<std::int64_t>(seconds * 1e9);
    std::uint64_t cycles = 0, stale = 0;
    live.poll();
    std::puts("ready");
    std::fflush(stdout);
    while (monotonic_ns() < until) {
        live.poll();
        stale += live.stale();
        ++cycles;
        ::sched_yield();  // two cores for three processes
    }
    const HistogramCopy stamp = HistogramCopy::of(live.applied().from_stamp);
    const HistogramCopy handover = HistogramCopy::of(live.applied().from_handover);
    std::printf("{\"cycles\": %llu, \"stale\": %llu, \"sets\": %llu, \"stamp_p50\": %.0f, \"stamp_p99\": %.0f, "
                "\"handover_p50\": %.0f, \"handover_p99\": %.0f}\n",
                static_cast<unsigned long long>(cycles), static_cast<unsigned long long>(stale),
                static_cast<unsigned long long>(stamp.count), stamp.percentile(0.5), stamp.percentile(0.99),
                handover.percentile(0.5), handover.percentile(0.99));
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 3 && std::string(argv[1]) == "cost") return cost(argv[2]);
    if (argc == 6 && std::string(argv[1]) == "loop") return loop(argv[2], argv[3], argv[4], std::atof(argv[5]));
    return 2;
}

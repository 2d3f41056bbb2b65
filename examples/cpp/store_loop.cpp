// A trading loop in C++ on the parameters of a store that another process holds: `calibrig store share`.
//
//   store_loop config/parameters.json BTCUSDT [FILE]      FILE: where `calibrig store applied FILE` reads
#include <cstdio>
#include <string>
#include <thread>

#include <calibrig/model_store.hpp>

using namespace calibrig;

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    const std::string symbol = argv[2];
    ModelStore model_store(argv[1]);
    try {
        model_store.initialize();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }

    // Off the loop: one consistent set, with who wrote it and how good it is.
    const auto hawkes_params = model_store.get_hawkes_parameters(symbol);
    const auto as_params = model_store.get_as_parameters(symbol);
    const auto risk_params = model_store.get_risk_parameters(symbol);
    if (!hawkes_params || !as_params || !risk_params) {
        std::fprintf(stderr, "%s lacks parameters\n", symbol.c_str());
        return 1;
    }
    HawkesEngine hawkes(*hawkes_params);
    AvellanedaStoikov market_maker(*as_params, risk_params->max_position);
    hawkes.update(1'000'000'000, 1);
    const auto intensity = hawkes.compute_intensity(1'500'000'000);
    const auto quotes = market_maker.compute_quotes(9'999, 10'001, 0);
    std::printf("version %llu by %s r2 %.17g samples %lld\n",
                static_cast<unsigned long long>(hawkes_params->version.version_id),
                hawkes_params->version.updated_by.c_str(), hawkes_params->calibration_r_squared,
                static_cast<long long>(hawkes_params->calibration_samples));
    std::printf("intensity %.17g %.17g quotes %lld %lld\n", intensity[0], intensity[1],
                static_cast<long long>(quotes.bid), static_cast<long long>(quotes.ask));
    std::printf("recalibrate %d\n", model_store.needs_recalibration(symbol, 7 * 24 * 3600));
    std::fflush(stdout);

    // On the loop: a newer set is taken over at the next cycle; nothing is sent while the store is stale.
    LiveParameters live(model_store, symbol, argc > 3 ? argv[3] : "");
    bool was_stale = false;
    for (int cycle = 0; cycle < 3'000'000; ++cycle) {
        if (live.poll()) {
            const SetNumbers& now = live.now().numbers();
            std::printf("limit %lld of version %llu\n", static_cast<long long>(now.max_position),
                        static_cast<unsigned long long>(now.version(StoreKind::risk).version_id));
            std::fflush(stdout);
        }
        const bool stale = live.stale();
        if (stale != was_stale) {
            std::printf(stale ? "stale: no orders\n" : "fresh\n");
            std::fflush(stdout);
        }
        if (stale && !was_stale && cycle > 0) return 0;
        was_stale = stale;
        std::this_thread::sleep_for(std::chrono::microseconds(10));  // where a market would be read
    }
}

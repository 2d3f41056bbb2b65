// The engine as a C++ user drives it: one thread runs the loop, another publishes parameters and kills it.
// Built by tests/unit/test_engine_native.py under ThreadSanitizer and under Address/UndefinedBehaviorSanitizer.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "hawkes_random.hpp"
#include "replay.hpp"

using namespace calibrig;

namespace {

class Imbalance final : public SignalSource {
public:
    SignalAnswer predict(const double* features) noexcept override { return {0.5 * features[1], 7, 400, true}; }
};

struct Columns {
    std::vector<std::int64_t> trade_time, price, lots, quote_time, bid, bid_lots, ask, ask_lots;
    std::vector<std::int8_t> side;
    std::int64_t sessions[4] = {0, 1'000'000'000'000, 2'000'000'000'000, 3'000'000'000'000};

    explicit Columns(int ticks) {
        Random random(1, 0);
        for (int session = 0; session < 2; ++session) {
            std::int64_t t = sessions[2 * session], mid = 10'000;
            for (int i = 0; i < ticks; ++i) {
                t += static_cast<std::int64_t>(random.uniform() * 1e12 / ticks);
                if (random.uniform() < 0.2) mid += random.uniform() < 0.5 ? -1 : 1;
                quote_time.push_back(t);
                bid.push_back(mid - 1);
                ask.push_back(mid + 1);
                bid_lots.push_back(1 + static_cast<std::int64_t>(random.uniform() * 20));
                ask_lots.push_back(1 + static_cast<std::int64_t>(random.uniform() * 20));
                if (random.uniform() < 0.5) continue;
                const bool buy = random.uniform() < 0.5;
                trade_time.push_back(t);
                price.push_back(buy ? mid + 1 : mid - 1);
                lots.push_back(1 + static_cast<std::int64_t>(random.uniform() * 30));
                side.push_back(buy ? 1 : -1);
            }
        }
    }
    [[nodiscard]] MarketColumns view() const {
        MarketColumns m;
        m.trade_time = trade_time.data();
        m.trade_price = price.data();
        m.trade_lots = lots.data();
        m.trade_side = side.data();
        m.trades = trade_time.size();
        m.quote_time = quote_time.data();
        m.bid = bid.data();
        m.bid_lots = bid_lots.data();
        m.ask = ask.data();
        m.ask_lots = ask_lots.data();
        m.quotes = quote_time.size();
        m.sessions = sessions;
        m.session_count = 2;
        return m;
    }
};

std::unique_ptr<ParameterBlock> block(std::int64_t version) {
    auto b = std::make_unique<ParameterBlock>();
    b->versions = {version, version, version, version};
    b->has_model = true;
    b->model_id = b->previous_model_id = 7;
    b->max_position = 50;
    b->order_lots = 5;
    b->horizon_s = 600.0;
    QuotingParameters q;
    q.gamma = 0.01;
    q.sigma_abs = 0.01;
    q.kappa = 80.0;
    q.horizon_s = 600.0;
    q.arrival_rate = 1.0;
    q.tick_size = 0.01;
    q.lot_size = 1.0;
    q.order_size = 5.0;
    b->quoting = QuotingModel(q, b->max_position);
    b->risk.thresholds = {50.0, 60.0, 70.0};
    b->risk.typical = 1e-4;
    b->flow = OrderFlow(HawkesNumbers{0.3, 0.1, 0.5, 2.0, 1.0, 0.0, {1.0}});
    return b;
}

void require(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "%s\n", what);
    std::exit(1);
}

}  // namespace

int main() {
    const Columns columns(60'000);
    Imbalance source;
    ReplayOptions options;
    options.order_latency_ns = options.response_latency_ns = 50'000;
    options.sample_ns = 1'000'000'000;
    Replay replay(columns.view(), options, Limits{}, &source);
    replay.publish(block(1));
    StoreBlockWriter store("", 1, "", 3'600'000'000'000);
    const StoreBlockView followed(store);
    store.beat(monotonic_ns(), false);
    ApplyMemory applied("", "X");
    replay.engine().count_applied(&applied);
    replay.engine().follow(&followed);
    std::atomic<std::int64_t> went_stale{-1}, came_back{-1};
    std::thread other([&] {
        std::int64_t version = 1;
        while (replay.engine().event() < 100'000) {
            auto next = block(++version);
            next->stamp_ns = next->handed_ns = utc_ns();
            replay.publish(std::move(next));
            (void)HistogramCopy::of((*applied).from_stamp);
            const std::int64_t event = replay.engine().event();
            if (went_stale.load() < 0 && event > 20'000) {
                store.beat(monotonic_ns(), true);  // the backend's answers are damaged
                went_stale.store(replay.engine().event());
            } else if (went_stale.load() >= 0 && came_back.load() < 0 && event > went_stale.load() + 5'000) {
                came_back.store(event);
                store.beat(monotonic_ns(), false);
            }
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
        replay.kill();
    });
    while (!replay.run(1'000)) {
    }
    other.join();

    const auto& engine = replay.engine();
    std::int64_t last = -1, killed = -1, late = 0, stale = 0;
    engine.reasons().visit([&](const ReasonRow& r) {
        if (r.reason == Reason::killed) killed = r.event;
        if (r.reason == Reason::stale_parameters) ++stale;
    });
    engine.orders().visit([&](const OrderRow& o) {
        require(o.event >= last, "orders out of order");
        last = o.event;
        // the loop looks at every cycle: only the ticks during which the block changed may go either way
        if (o.action != Action::cancel && went_stale >= 0 && o.event > went_stale + 1 && o.event < came_back) ++late;
        if (killed >= 0 && o.event > killed && o.action != Action::cancel) ++late;
    });
    std::int64_t position = 0;
    replay.fills().visit([&](const FillRow& f) {
        position += f.fill.side * f.fill.lots;
        require(position <= 50 && position >= -50, "position beyond its limit");
    });
    require(killed >= 100'000, "the kill was not seen");
    require(late == 0, "an order after the kill, or while the store was stale");
    require(stale >= 1 && came_back > went_stale, "the stale store was not seen");
    require(position == 0, "not flat at the end");
    require(engine.updates().size() > 1, "no update was adopted");
    const HistogramCopy took = HistogramCopy::of((*applied).from_stamp);
    std::size_t live = 0;
    engine.updates().visit([&](const UpdateRow& r) { live += r.applied_ns != 0; });
    require(live + 1 >= engine.updates().size() && took.count == live, "an adopted update was not timed");
    require((*applied).applied == took.count, "an adopted update was not counted");
    std::printf("%zu updates, %zu orders, %zu fills\n", engine.updates().size(), engine.orders().size(),
                replay.fills().size());
    return 0;
}

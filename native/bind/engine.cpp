// Conversion only: features and engine as Python sees them.
#include <nanobind/nanobind.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "bind.hpp"
#include "engine_columns.hpp"
#include "flow.hpp"
#include "quoting.hpp"
#include "regime.hpp"

namespace nb = nanobind;

namespace calibrig::bind {
namespace {

nb::tuple extract_features(const Market& market, const std::optional<HawkesTuple>& hawkes) {
    const MarketColumns& m = market.columns;
    std::size_t n = 0;
    for (std::size_t s = 0; s < m.session_count; ++s) n += TickWalk(m, s).left();
    double* values = nullptr;
    std::int64_t* times = nullptr;
    std::uint8_t* valid = nullptr;
    std::uint8_t* is_trade = nullptr;
    nb::object value_array = new_table(n, Features::count, values);
    nb::object time_array = new_array(n, times);
    nb::object valid_array = new_array(n, valid);
    nb::object trade_array = new_array(n, is_trade);
    {
        nb::gil_scoped_release release;
        OrderFlow flow = hawkes ? OrderFlow(to_numbers(*hawkes)) : OrderFlow();
        Features features;
        for (std::size_t s = 0; s < m.session_count; ++s) {
            features.reset();
            flow.reset(m.sessions[2 * s], m.sessions[2 * s + 1]);
            for (TickWalk walk(m, s); !walk.done();) {
                const std::int64_t t = walk.next_time();
                *is_trade = walk.next_is_trade() ? 1 : 0;
                if (*is_trade != 0) {
                    const TradeTick trade = m.trade(walk.take_trade());
                    features.trade(t, trade.side, trade.lots);
                    if (trade.new_order) flow.order(t, trade.side);
                } else {
                    features.quote(t, m.quote(walk.take_quote()));
                }
                const RelativeIntensity now = flow.read(t);
                features.write(values, now.buy, now.sell, now.imbalance);
                values += Features::count;
                *times++ = t;
                *valid++ = features.valid() ? 1 : 0;
                ++is_trade;
            }
        }
    }
    return nb::make_tuple(value_array, time_array, valid_array, trade_array);
}

nb::tuple regime_path(Int64Column time, DoubleColumn mid, Int64Column sessions, const RegimeTuple& risk) {
    const RegimeParameters parameters = to_regime(risk);
    std::vector<std::int64_t> times;
    std::vector<double> z;
    std::vector<std::int8_t> level;
    RegimeMachine machine;
    machine.configure(parameters);
    std::size_t i = 0;
    for (std::size_t s = 0; s < sessions.shape(0) / 2; ++s) {
        const std::int64_t start = sessions.data()[2 * s], end = sessions.data()[2 * s + 1];
        machine.reset(start, end, start);
        double last = 0.0;
        const auto run_to = [&](std::int64_t t) {
            while (machine.next_ns() <= t && machine.next_ns() < end) {
                const std::int64_t now = machine.next_ns();
                machine.advance(now, last);
                times.push_back(now);
                z.push_back(machine.z());
                level.push_back(static_cast<std::int8_t>(machine.level()));
            }
        };
        for (; i < time.shape(0) && time.data()[i] < end; ++i) {
            if (time.data()[i] < start) continue;
            run_to(time.data()[i]);
            last = mid.data()[i];
        }
        run_to(end);
    }
    return nb::make_tuple(copy_array(times), copy_array(z), copy_array(level));
}

}  // namespace

void engine(nb::module_ m) {
    m.doc() = "Features, quotes, regimes and the trading engine.";
    nb::class_<Market>(m, "Market").def(nb::init<Int64Column, Int64Column, Int64Column, SideColumn,
                                                  std::optional<FloatColumn>, std::optional<MaskColumn>, Int64Column,
                                                  Int64Column, Int64Column, Int64Column, Int64Column, Int64Column>());
    bind_replay(m);
    m.def("extract_features", &extract_features, nb::arg("market"), nb::arg("hawkes").none());
    m.def("regime_path", &regime_path);
    nb::class_<QuotingModel>(m, "QuotingModel")
        .def("__init__",
             [](QuotingModel* self, const QuotingTuple& p, std::int64_t limit_lots) {
                 new (self) QuotingModel(to_quoting(p), limit_lots);
             })
        .def_prop_ro("stiffness", &QuotingModel::stiffness)
        .def_prop_ro("exact", &QuotingModel::exact)
        .def("prices", [](const QuotingModel& self, std::int64_t bid, std::int64_t ask, std::int64_t position,
                          double signal, double time_left_s) {
            const QuotePrices q = self.prices(bid, ask, position, signal, time_left_s);
            return std::make_tuple(q.bid, q.ask, q.shift_ticks);
        });
}

}  // namespace calibrig::bind

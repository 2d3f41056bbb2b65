// Conversion only: parameters, limits and the replay as Python sees them.
#include "../paths.hpp"
#include "../replay.hpp"

#include <nanobind/nanobind.h>

#include <string>
#include <utility>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "bridge.hpp"
#include "device.hpp"
#include "engine_columns.hpp"
#include "store.hpp"

namespace nb = nanobind;

namespace calibrig::bind {
namespace {

// The bridge in charge mode: the stub's nominal latency goes to the venue's clock, not to the wall's.
class BridgeSource final : public SignalSource {
public:
    explicit BridgeSource(Bridge& bridge) : bridge_(bridge) {}
    SignalAnswer predict(const double* features) noexcept override {
        const Answer answer = bridge_.predict(features, Hold::charge);
        return {answer.signal, answer.model_id, answer.device_ns, answer.ok()};
    }

private:
    Bridge& bridge_;
};

// collar_ppm, max_order_lots, max_order_value, messages, executions, duplicates, duplicate_window_ns, quote_age_ns,
// feed_gap_ns, feed_loss_ns, max_session_loss
using LimitsTuple = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t,
                               std::int64_t, std::int64_t, std::int64_t, std::int64_t, double>;
Limits to_limits(const LimitsTuple& t) {
    return {std::get<0>(t), std::get<1>(t), std::get<2>(t), std::get<3>(t), std::get<4>(t), std::get<5>(t),
            std::get<6>(t), std::get<7>(t), std::get<8>(t), std::get<9>(t), std::get<10>(t)};
}

// fill_model, order_latency_ns, response_latency_ns, maker_fee_1e9, taker_fee_1e9, sample_ns, timed_every
using OptionsTuple = std::tuple<int, std::int64_t, std::int64_t, std::int64_t, std::int64_t, std::int64_t, int>;
ReplayOptions to_options(const OptionsTuple& t) {
    return {static_cast<FillModel>(std::get<0>(t)), std::get<1>(t), std::get<2>(t), std::get<3>(t), std::get<4>(t),
            std::get<5>(t), std::get<6>(t), true};
}

Reason reason_called(const std::string& name) {
    for (std::size_t i = 0; i < reason_count; ++i)
        if (name == reason_names[i]) return static_cast<Reason>(i);
    throw std::invalid_argument("unknown reason " + name);
}

ParameterBlock make_block(const std::vector<std::int64_t>& versions, const std::string& refusal,
                          std::optional<std::uint32_t> model_id, std::optional<std::uint32_t> previous_model_id,
                          std::int64_t previous_signal_version, std::int64_t max_position, std::int64_t order_lots,
                          double horizon_s, const std::optional<QuotingTuple>& quoting,
                          const std::optional<RegimeTuple>& risk, const std::optional<HawkesTuple>& hawkes) {
    ParameterBlock block;
    for (std::size_t i = 0; i < 4; ++i) block.versions[i] = versions.at(i);
    block.refusal = reason_called(refusal);
    block.has_model = model_id.has_value();
    block.model_id = model_id.value_or(0);
    block.previous_model_id = previous_model_id.value_or(block.model_id);
    block.previous_signal_version = previous_signal_version;
    block.max_position = max_position;
    block.order_lots = order_lots;
    block.horizon_s = horizon_s;
    if (quoting) block.quoting = QuotingModel(to_quoting(*quoting), max_position);
    if (risk) block.risk = to_regime(*risk);
    if (hawkes) block.flow = OrderFlow(to_numbers(*hawkes));
    return block;
}

// A replay together with everything it points into.
class PyReplay {
public:
    PyReplay(nb::object market, const OptionsTuple& options, const LimitsTuple& limits, nb::object bridge,
             const std::string& symbol, const std::string& applied_path)
        : market_(market), bridge_(bridge), applied_(applied_path, symbol) {
        if (!bridge.is_none()) source_ = std::make_unique<BridgeSource>(nb::cast<PyBridge&>(bridge).native());
        replay_ = std::make_unique<Replay>(nb::cast<Market&>(market).columns, to_options(options), to_limits(limits),
                                           source_.get());
        replay_->engine().count_applied(&applied_);
    }
    Replay& native() noexcept { return *replay_; }
    ApplyMemory& applied() noexcept { return applied_; }

    // Stamp below 0: not live, its time to be in force means nothing; 0: live without a stamp.
    void publish(const ParameterBlock& block, std::int64_t stamp_ns) {
        auto own = std::make_unique<ParameterBlock>(block);
        if (stamp_ns >= 0) own->handed_ns = utc_ns();
        own->stamp_ns = stamp_ns > 0 ? stamp_ns : 0;
        replay_->publish(std::move(own));
    }
    void follow(const PyStoreBlock& block) {
        followed_.push_back({block.writer, std::make_unique<StoreBlockView>(*block.writer)});
        replay_->engine().follow(followed_.back().second.get());
    }

private:
    nb::object market_, bridge_;
    std::unique_ptr<SignalSource> source_;
    ApplyMemory applied_;
    std::vector<std::pair<std::shared_ptr<StoreBlockWriter>, std::unique_ptr<StoreBlockView>>> followed_;
    std::unique_ptr<Replay> replay_;
};

template <class T, class Row, class Get>
nb::object column(const std::vector<Row>& rows, Get&& get) {
    T* out = nullptr;
    nb::object array = new_array(rows.size(), out);
    for (const Row& row : rows) *out++ = static_cast<T>(get(row));
    return array;
}

template <class T, class Row, class Get>
nb::object column(const Log<Row>& rows, Get&& get) {
    T* out = nullptr;
    nb::object array = new_array(rows.size(), out);
    rows.visit([&](const Row& row) { *out++ = static_cast<T>(get(row)); });
    return array;
}

#define CALIBRIG_COLUMN(type, expression) column<type>(rows, [](const auto& r) { return expression; })

// A column of a table that is written row by row.
template <class T>
T* add_column(nb::dict& table, const char* name, std::size_t rows) {
    T* data = nullptr;
    table[name] = new_array(rows, data);
    return data;
}

nb::dict orders(PyReplay& self) {
    const auto& rows = self.native().engine().orders();
    const std::size_t n = rows.size();
    nb::dict out;
    auto* id = add_column<std::int64_t>(out, "id", n);
    auto* time_ns = add_column<std::int64_t>(out, "time_ns", n);
    auto* event = add_column<std::int64_t>(out, "event", n);
    auto* side = add_column<std::int8_t>(out, "side", n);
    auto* action = add_column<std::int8_t>(out, "action", n);
    auto* price = add_column<std::int64_t>(out, "price_ticks", n);
    auto* size = add_column<std::int64_t>(out, "size_lots", n);
    auto* replaces = add_column<std::int64_t>(out, "replaces", n);
    auto* parameters = add_column<std::int64_t>(out, "parameters", n);
    auto* signal_version = add_column<std::int64_t>(out, "signal_version", n);
    rows.visit([&](const OrderRow& r) {
        *id++ = r.id;
        *time_ns++ = r.time_ns;
        *event++ = r.event;
        *side++ = r.side;
        *action++ = static_cast<std::int8_t>(r.action);
        *price++ = r.price;
        *size++ = r.lots;
        *replaces++ = r.replaces;
        *parameters++ = r.parameters;
        *signal_version++ = r.signal_version;
    });
    return out;
}

nb::dict fills(PyReplay& self) {
    const auto& rows = self.native().fills();
    const std::size_t n = rows.size();
    nb::dict out;
    auto* order_id = add_column<std::int64_t>(out, "order_id", n);
    auto* time_ns = add_column<std::int64_t>(out, "time_ns", n);
    auto* event = add_column<std::int64_t>(out, "event", n);
    auto* side = add_column<std::int8_t>(out, "side", n);
    auto* price = add_column<std::int64_t>(out, "price_ticks", n);
    auto* size = add_column<std::int64_t>(out, "size_lots", n);
    auto* kind = add_column<std::int8_t>(out, "kind", n);
    auto* twice_mid = add_column<std::int64_t>(out, "twice_mid_ticks", n);
    auto* position = add_column<std::int64_t>(out, "position_lots", n);
    rows.visit([&](const FillRow& r) {
        *order_id++ = r.fill.order_id;
        *time_ns++ = r.fill.time_ns;
        *event++ = r.event;
        *side++ = static_cast<std::int8_t>(r.fill.side);
        *price++ = r.fill.price;
        *size++ = r.fill.lots;
        *kind++ = static_cast<std::int8_t>(r.fill.kind);
        *twice_mid++ = r.twice_mid;
        *position++ = r.position;
    });
    return out;
}

nb::dict samples(PyReplay& self) {
    const auto& rows = self.native().samples();
    nb::dict out;
    out["time_ns"] = CALIBRIG_COLUMN(std::int64_t, r.time_ns);
    out["event"] = CALIBRIG_COLUMN(std::int64_t, r.event);
    out["bid_ticks"] = CALIBRIG_COLUMN(std::int64_t, r.bid);
    out["ask_ticks"] = CALIBRIG_COLUMN(std::int64_t, r.ask);
    out["own_bid_ticks"] = CALIBRIG_COLUMN(std::int64_t, r.own_bid);
    out["own_ask_ticks"] = CALIBRIG_COLUMN(std::int64_t, r.own_ask);
    out["position_lots"] = CALIBRIG_COLUMN(std::int64_t, r.position);
    out["pnl"] = CALIBRIG_COLUMN(double, r.pnl);
    out["regime_signal"] = CALIBRIG_COLUMN(double, r.z);
    out["signal"] = CALIBRIG_COLUMN(double, r.signal);
    out["buy_intensity"] = CALIBRIG_COLUMN(double, r.buy_intensity);
    out["sell_intensity"] = CALIBRIG_COLUMN(double, r.sell_intensity);
    out["reservation_shift_ticks"] = CALIBRIG_COLUMN(double, r.shift_ticks);
    out["regime"] = CALIBRIG_COLUMN(std::int8_t, r.regime);
    out["reason"] = CALIBRIG_COLUMN(std::int8_t, r.reason);
    return out;
}

nb::dict sessions(PyReplay& self) {
    const auto& rows = self.native().sessions();
    nb::dict out;
    out["start_ns"] = CALIBRIG_COLUMN(std::int64_t, r.start_ns);
    out["end_ns"] = CALIBRIG_COLUMN(std::int64_t, r.end_ns);
    out["ticks"] = CALIBRIG_COLUMN(std::int64_t, r.ticks);
    out["cash_tick_lots"] = CALIBRIG_COLUMN(std::int64_t, r.cash);
    out["fees_micro_tick_lots"] = CALIBRIG_COLUMN(std::int64_t, r.fees_micro);
    out["largest_position_lots"] = CALIBRIG_COLUMN(std::int64_t, r.largest_position);
    out["fills"] = CALIBRIG_COLUMN(std::int64_t, r.fills);
    out["traded_lots"] = CALIBRIG_COLUMN(std::int64_t, r.lots);
    out["messages"] = CALIBRIG_COLUMN(std::int64_t, r.messages);
    out["pnl"] = CALIBRIG_COLUMN(double, r.pnl);
    out["max_drawdown"] = CALIBRIG_COLUMN(double, r.drawdown);
    out["reason"] = CALIBRIG_COLUMN(std::int8_t, r.reason);
    return out;
}

nb::dict reasons(PyReplay& self) {
    const auto& rows = self.native().engine().reasons();
    nb::dict out;
    out["time_ns"] = CALIBRIG_COLUMN(std::int64_t, r.time_ns);
    out["event"] = CALIBRIG_COLUMN(std::int64_t, r.event);
    out["reason"] = CALIBRIG_COLUMN(std::int8_t, r.reason);
    return out;
}

nb::dict updates(PyReplay& self) {
    const auto& rows = self.native().engine().updates();
    nb::dict out;
    out["time_ns"] = CALIBRIG_COLUMN(std::int64_t, r.time_ns);
    out["event"] = CALIBRIG_COLUMN(std::int64_t, r.event);
    out["parameters"] = CALIBRIG_COLUMN(std::int64_t, r.parameters);
    // Real time, not part of what is repeatable: from the newest stamp of the set to its first cycle; -1 = not known.
    const auto& blocks = self.native().engine().blocks();
    out["apply_ns"] = column<std::int64_t>(rows, [&](const UpdateRow& r) {
        const std::int64_t stamp = blocks[r.parameters]->stamp_ns;
        return r.applied_ns == 0 || stamp == 0 ? std::int64_t{-1} : r.applied_ns - stamp;
    });
    return out;
}

nb::dict counts(PyReplay& self) {
    nb::dict out;
    for (std::size_t i = 1; i < reason_count; ++i) out[reason_names[i]] = self.native().engine().counts()[i];
    return out;
}

// bid, ask, bid_lots, ask_lots, trade_price, trade_lots, start_twice_mid, end_twice_mid; cells, cell_ns, minute_ns
using MinutesTuple = std::tuple<Int64Column, Int64Column, Int64Column, Int64Column, Int64Column, Int64Column, Int64Column,
                                Int64Column, std::size_t, std::int64_t, std::int64_t>;
using Rows = nb::ndarray<const std::int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

nb::tuple run_days(const MinutesTuple& minutes, const Rows& rows, const OptionsTuple& options, const LimitsTuple& limits,
                   nb::list blocks, int threads) {
    const MinuteColumns columns{std::get<0>(minutes).data(), std::get<1>(minutes).data(), std::get<2>(minutes).data(),
                                std::get<3>(minutes).data(), std::get<4>(minutes).data(), std::get<5>(minutes).data(),
                                std::get<6>(minutes).data(), std::get<7>(minutes).data(), std::get<6>(minutes).shape(0),
                                std::get<8>(minutes),        std::get<9>(minutes),        std::get<10>(minutes)};
    std::vector<ParameterBlock> copies;
    for (nb::handle block : blocks) copies.push_back(nb::cast<const ParameterBlock&>(block));
    ReplayOptions replay_options = to_options(options);
    replay_options.keep_log = false;
    std::vector<PathOutcome> out(rows.shape(0) * copies.size());
    bool done = false;
    {
        nb::gil_scoped_release release;
        const auto interrupted = [] {
            nb::gil_scoped_acquire acquire;
            return PyErr_CheckSignals() != 0;
        };
        done = calibrig::run_days(columns, rows.data(), rows.shape(0), rows.shape(1), replay_options, to_limits(limits),
                                  copies, threads, interrupted, out.data());
    }
    if (!done) throw nb::python_error();
    const auto& results = out;
    return nb::make_tuple(column<double>(results, [](const PathOutcome& r) { return r.drawdown; }),
                          column<double>(results, [](const PathOutcome& r) { return r.pnl; }),
                          column<std::int64_t>(results, [](const PathOutcome& r) { return r.largest_position; }),
                          column<std::int64_t>(results, [](const PathOutcome& r) { return r.fills; }));
}

}  // namespace

void bind_replay(nb::module_& m) {
    nb::class_<ParameterBlock>(m, "Parameters")
        .def(nb::new_([](const std::vector<std::int64_t>& versions, const std::string& refusal,
                         std::optional<std::uint32_t> model_id, std::optional<std::uint32_t> previous_model_id,
                         std::int64_t previous_signal_version, std::int64_t max_position, std::int64_t order_lots,
                         double horizon_s, const std::optional<QuotingTuple>& quoting,
                         const std::optional<RegimeTuple>& risk, const std::optional<HawkesTuple>& hawkes) {
                 return new ParameterBlock(make_block(versions, refusal, model_id, previous_model_id,
                                                      previous_signal_version, max_position, order_lots, horizon_s,
                                                      quoting, risk, hawkes));
             }),
             nb::arg("versions"), nb::arg("refusal"), nb::arg("model_id").none(), nb::arg("previous_model_id").none(),
             nb::arg("previous_signal_version"), nb::arg("max_position"), nb::arg("order_lots"), nb::arg("horizon_s"),
             nb::arg("quoting").none(), nb::arg("risk").none(), nb::arg("hawkes").none());
    nb::class_<PyReplay>(m, "Replay")
        .def(
            "__init__",
            [](PyReplay* self, nb::object market, const OptionsTuple& options, const LimitsTuple& limits,
               nb::object bridge, const std::string& symbol, const std::string& applied_path) {
                try {
                    new (self) PyReplay(market, options, limits, bridge, symbol, applied_path);
                } catch (const std::system_error& error) {
                    raise_os_error(error, applied_path);
                }
            },
             nb::arg("market"), nb::arg("options"), nb::arg("limits"), nb::arg("bridge").none(), nb::arg("symbol") = "",
             nb::arg("applied_path") = "")
        .def("publish", &PyReplay::publish, nb::arg("block"), nb::arg("stamp_ns"))
        .def("follow", &PyReplay::follow)
        .def("unfollow", [](PyReplay& self) { self.native().engine().follow(nullptr); })
        .def("applied", [](PyReplay& self) { return describe_applied(*self.applied()); })
        .def("kill", [](PyReplay& self) { self.native().kill(); })
        .def(
            "run", [](PyReplay& self, std::int64_t ticks) { return self.native().run(ticks); },
            nb::call_guard<nb::gil_scoped_release>())
        .def_prop_ro("event", [](PyReplay& self) { return self.native().engine().event(); })
        .def("orders", &orders)
        .def("fills", &fills)
        .def("samples", &samples)
        .def("sessions", &sessions)
        .def("reasons", &reasons)
        .def("updates", &updates)
        .def("counts", &counts)
        .def("compute_ns", [](PyReplay& self) { return copy_array(self.native().compute_ns()); });
    m.def("run_days", &run_days, nb::arg("minutes"), nb::arg("rows"), nb::arg("options"), nb::arg("limits"),
          nb::arg("blocks"), nb::arg("threads"));
    nb::list names;
    for (const char* name : reason_names) names.append(name);
    m.attr("reason_names") = nb::tuple(names);
}

}  // namespace calibrig::bind

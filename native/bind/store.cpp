// Conversion only: the store's native block and the time-to-apply histograms as Python sees them.
#include "../model_store.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "bind.hpp"
#include "device.hpp"
#include "signal.hpp"
#include "store.hpp"

namespace nb = nanobind;

namespace calibrig::bind {
namespace {

double number(nb::handle record, const char* field) { return nb::cast<double>(record.attr(field)); }
double known(nb::handle record, const char* field) {
    const nb::object value = record.attr(field);
    return value.is_none() ? std::numeric_limits<double>::quiet_NaN() : nb::cast<double>(value);
}

// Cut at a character, never inside one.
template <std::size_t N>
void write_text(char (&to)[N], const std::string& text) {
    std::size_t n = text.size() < N ? text.size() : N - 1;
    while (n < text.size() && n > 0 && (static_cast<unsigned char>(text[n]) & 0xC0) == 0x80) --n;
    std::memcpy(to, text.data(), n);
}

// kind, record, version_id, updated_at, calibrated_at, known_ns, origin, verdict, updated_by, comment
using Entry = std::tuple<int, nb::object, std::uint64_t, std::int64_t, std::int64_t, std::int64_t, std::string,
                         std::string, std::string, std::string>;

struct Filled {
    SetNumbers numbers;
    std::vector<double> profile, medians;
    std::vector<std::int64_t> model;
};

void fill_hawkes(Filled& to, nb::handle p) {
    SetNumbers& n = to.numbers;
    n.alpha_self = number(p, "alpha_self");
    n.alpha_cross = number(p, "alpha_cross");
    n.beta = number(p, "beta");
    n.hawkes_gamma = number(p, "gamma");
    n.lambda_base = number(p, "lambda_base");
    n.asymmetry = number(p, "asymmetry");
    n.calibration_r_squared = known(p, "calibration_r_squared");
    const nb::object samples = p.attr("calibration_samples");
    n.calibration_samples = samples.is_none() ? -1 : nb::cast<std::int64_t>(samples);
    to.profile = nb::cast<std::vector<double>>(p.attr("profile"));
}
void fill_quoting(Filled& to, nb::handle p) {
    SetNumbers& n = to.numbers;
    n.gamma = number(p, "gamma");
    n.sigma = number(p, "sigma");
    n.kappa = number(p, "kappa");
    n.time_horizon_seconds = number(p, "time_horizon_seconds");
    n.arrival_rate = number(p, "arrival_rate");
    n.reference_price = number(p, "reference_price");
    n.tick_size = number(p, "tick_size");
    n.lot_size = number(p, "lot_size");
    n.seconds_per_year = number(p, "seconds_per_year");
    n.order_size = number(p, "order_size");
    n.backtest_sharpe = known(p, "backtest_sharpe");
    n.backtest_pnl = known(p, "backtest_pnl");
    n.touch_only = nb::cast<bool>(p.attr("touch_only")) ? 1 : 0;
}
void fill_risk(Filled& to, nb::handle p) {
    SetNumbers& n = to.numbers;
    n.max_position = nb::cast<std::int64_t>(p.attr("max_position"));
    const char* levels[] = {"normal", "elevated", "high_stress", "halted"};
    for (int i = 0; i < 4; ++i) {
        if (i < 3) n.thresholds[i] = number(p, (std::string(levels[i]) + "_volatility_threshold").c_str());
        n.multipliers[i] = number(p, (std::string(levels[i]) + "_multiplier").c_str());
    }
    n.volatility_half_life_s = number(p, "volatility_half_life_s");
    n.volatility_sample_s = number(p, "volatility_sample_s");
    n.hysteresis = number(p, "hysteresis");
    n.hysteresis_s = number(p, "hysteresis_s");
    n.halt_s = number(p, "halt_s");
    to.medians = nb::cast<std::vector<double>>(p.attr("volatility_medians"));
}
void fill_signal(Filled& to, nb::handle p) {
    SetNumbers& n = to.numbers;
    const SignalSpec spec = read_signal_record(p);
    n.model_kind = static_cast<std::int64_t>(spec.kind);
    n.feature_bits = spec.feature_bits;
    n.fraction_bits = spec.fraction_bits;
    n.activation_bits = spec.activation_bits;
    n.tree_depth = spec.tree_depth;
    n.bias = spec.bias;
    n.model_id = spec.model_id;
    n.skill_r_squared = known(p, "skill_r_squared");
    n.horizon_s = number(p, "horizon_s");
    to.model = calibrig::detail::model_words(spec);
}

Filled fill(const std::vector<Entry>& entries) {
    Filled to;
    for (const Entry& entry : entries) {
        const int kind = std::get<0>(entry);
        if (kind < 0 || kind >= store_kinds) throw std::invalid_argument("kind must lie in 0 .. 3");
        VersionNumbers& version = to.numbers.versions[kind];
        version.version_id = std::get<2>(entry);
        version.updated_at = std::get<3>(entry);
        version.calibrated_at = std::get<4>(entry);
        version.known_ns = std::get<5>(entry);
        write_text(version.origin, std::get<6>(entry));
        write_text(version.verdict, std::get<7>(entry));
        write_text(version.updated_by, std::get<8>(entry));
        write_text(version.comment, std::get<9>(entry));
        void (*const fillers[])(Filled&, nb::handle) = {fill_hawkes, fill_quoting, fill_risk, fill_signal};
        fillers[kind](to, std::get<1>(entry));
    }
    return to;
}

nb::dict describe(const StoreBlockView& view, const std::string& symbol, const SetCopy& set) {
    static const char* const kinds[] = {"hawkes", "quoting", "risk", "signal"};
    nb::dict versions;
    double oldest = 0.0;
    for (int kind = 0; kind < store_kinds; ++kind) {
        const VersionNumbers& from = set->versions[kind];
        if (from.version_id == 0) continue;
        const double age = view.calibration_age_s(from, utc_ns(), monotonic_ns());
        oldest = age > oldest ? age : oldest;
        nb::dict one;
        one["version_id"] = from.version_id;
        one["updated_at"] = from.updated_at;
        one["updated_by"] = std::string(from.updated_by);
        one["comment"] = std::string(from.comment);
        one["origin"] = std::string(from.origin);
        one["verdict"] = std::string(from.verdict);
        one["calibration_age_s"] = age;
        versions[kinds[kind]] = one;
    }
    nb::dict out;
    out["symbol"] = symbol;
    out["publication"] = set->publication;
    out["published_ns"] = set->published_ns;
    out["age_s"] = oldest;
    out["versions"] = versions;
    return out;
}

nb::object read_symbol(const StoreBlockView& view, const std::string& symbol) {
    const int slot = view.slot_of(symbol);
    SetCopy set;
    for (int attempt = 0; slot >= 0 && attempt < 1000; ++attempt)
        if (view.read(slot, set)) return describe(view, symbol, set);
    return nb::none();
}

// OSError with its number, where nanobind would make a RuntimeError without one.
template <class Make>
auto or_os_error(Make&& make) {
    try {
        return make();
    } catch (const std::system_error& error) {
        raise_os_error(error, "");
    }
}

nb::dict statistics(const Histogram& live) {
    const HistogramCopy copy = HistogramCopy::of(live);
    nb::dict out;
    out["count"] = copy.count;
    out["mean"] = copy.mean();
    out["p50"] = copy.percentile(0.5);
    out["p95"] = copy.percentile(0.95);
    out["p99"] = copy.percentile(0.99);
    out["p999"] = copy.percentile(0.999);
    out["max"] = static_cast<double>(copy.max);
    return out;
}

}  // namespace

nb::dict describe_applied(const ApplyBlock& block) {
    nb::dict out;
    out["symbol"] = calibrig::detail::get_text(block.symbol, 208);
    out["pid"] = block.pid.load(std::memory_order_relaxed);
    out["started_ns"] = block.started_ns.load(std::memory_order_relaxed);
    out["applied"] = block.applied.load(std::memory_order_relaxed);
    out["applied_ns"] = block.applied_ns.load(std::memory_order_relaxed);
    nb::list versions;
    for (const auto& version : block.versions) versions.append(version.load(std::memory_order_relaxed));
    out["versions"] = versions;
    out["from_stamp"] = statistics(block.from_stamp);
    out["from_handover"] = statistics(block.from_handover);
    return out;
}

void store(nb::module_ m) {
    m.doc() = "The store's native block, and how long new parameters take to be in force.";
    nb::class_<PyStoreBlock>(m, "BlockWriter")
        .def(
            "__init__",
            [](PyStoreBlock* self, const std::string& path, std::size_t capacity, const std::string& store_id,
               std::int64_t stale_after_ns, int mode) {
                or_os_error([&] {
                    new (self) PyStoreBlock{std::make_shared<StoreBlockWriter>(path, capacity, store_id, stale_after_ns,
                                                                               static_cast<mode_t>(mode))};
                });
            },
            nb::arg("path"), nb::arg("capacity"), nb::arg("store_id"), nb::arg("stale_after_ns"), nb::arg("mode"))
        .def("publish",
             [](PyStoreBlock& self, const std::string& symbol, const std::vector<Entry>& entries) {
                 const Filled set = fill(entries);
                 const int slot = self.writer->slot_of(symbol);
                 return slot < 0 ? -1
                                 : self.writer->publish(slot, set.numbers, set.profile, set.medians, set.model) ? 1 : 0;
             })
        .def("beat",
             [](PyStoreBlock& self, std::int64_t contact_ns, bool damaged) { self.writer->beat(contact_ns, damaged); })
        .def("show", [](PyStoreBlock& self) { or_os_error([&] { self.writer->show(); }); })
        .def("end", [](PyStoreBlock& self) { self.writer->end(); })
        .def("view", [](PyStoreBlock& self) { return new StoreBlockView(*self.writer); }, nb::keep_alive<0, 1>());
    nb::class_<StoreBlockView>(m, "BlockView")
        .def(
            "__init__",
            [](StoreBlockView* self, const std::string& path) {
                or_os_error([&] { new (self) StoreBlockView(path); });
            },
            nb::arg("path"))
        .def("symbols", &StoreBlockView::symbols)
        .def("read", &read_symbol)
        .def("stale", [](const StoreBlockView& self) { return self.stale(monotonic_ns()); })
        .def("contact_age_s",
             [](const StoreBlockView& self) { return static_cast<double>(self.contact_age_ns(monotonic_ns())) * 1e-9; })
        .def("wait", &StoreBlockView::wait, nb::call_guard<nb::gil_scoped_release>())
        .def("replaced", &StoreBlockView::replaced)
        .def_prop_ro("publications", &StoreBlockView::publications)
        .def_prop_ro("pid", &StoreBlockView::pid)
        .def_prop_ro("store_id", &StoreBlockView::store_id)
        .def_prop_ro("capacity", &StoreBlockView::capacity);
    m.def("read_applied", [](const std::string& path) {
        return or_os_error([&] { return describe_applied(*ApplyView(path)); });
    });
}

}  // namespace calibrig::bind

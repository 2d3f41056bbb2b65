// Arrays and plain tuples from Python, as the engine's headers want them.
#pragma once

#include <nanobind/nanobind.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <vector>

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "flow.hpp"
#include "quoting.hpp"
#include "regime.hpp"
#include "ticks.hpp"

namespace calibrig::bind {

namespace nb = nanobind;

void bind_replay(nb::module_& m);

template <class T>
using Column = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Int64Column = Column<std::int64_t>;
using SideColumn = Column<std::int8_t>;
using FloatColumn = Column<float>;
using DoubleColumn = Column<double>;
using MaskColumn = Column<std::uint8_t>;

// The arrays of one MarketData, kept alive as long as the columns that point into them.
struct Market {
    Market(Int64Column trade_time, Int64Column trade_price, Int64Column trade_lots, SideColumn trade_side,
           std::optional<FloatColumn> sub_tick, std::optional<MaskColumn> new_order, Int64Column quote_time,
           Int64Column bid, Int64Column bid_lots, Int64Column ask, Int64Column ask_lots, Int64Column sessions)
        : integers{trade_time, trade_price, trade_lots, quote_time, bid, bid_lots, ask, ask_lots, sessions},
          sides(trade_side), sub_ticks(sub_tick), new_orders(new_order) {
        columns.trades = trade_time.shape(0);
        columns.quotes = quote_time.shape(0);
        for (std::size_t i : {std::size_t{1}, std::size_t{2}}) check(integers[i].shape(0) == columns.trades);
        for (std::size_t i = 4; i < 8; ++i) check(integers[i].shape(0) == columns.quotes);
        check(sides.shape(0) == columns.trades && (!sub_tick || sub_tick->shape(0) == columns.trades) &&
              (!new_order || new_order->shape(0) == columns.trades) && sessions.shape(0) % 2 == 0);
        columns.trade_time = trade_time.data();
        columns.trade_price = trade_price.data();
        columns.trade_lots = trade_lots.data();
        columns.trade_side = trade_side.data();
        columns.trade_sub_tick = sub_tick ? sub_tick->data() : nullptr;
        columns.trade_new_order = new_order ? new_order->data() : nullptr;
        columns.quote_time = quote_time.data();
        columns.bid = bid.data();
        columns.bid_lots = bid_lots.data();
        columns.ask = ask.data();
        columns.ask_lots = ask_lots.data();
        columns.sessions = sessions.data();
        columns.session_count = sessions.shape(0) / 2;
    }

    MarketColumns columns;
    std::array<Int64Column, 9> integers;
    SideColumn sides;
    std::optional<FloatColumn> sub_ticks;
    std::optional<MaskColumn> new_orders;

private:
    static void check(bool equal) {
        if (!equal) throw std::invalid_argument("columns of one table must have equal lengths");
    }
};

// alpha_self, alpha_cross, beta, gamma, lambda_base, asymmetry, profile
using HawkesTuple = std::tuple<double, double, double, double, double, double, std::vector<double>>;
inline HawkesNumbers to_numbers(const HawkesTuple& t) {
    return {std::get<0>(t), std::get<1>(t), std::get<2>(t), std::get<3>(t),
            std::get<4>(t), std::get<5>(t), std::get<6>(t)};
}

// gamma, sigma_abs, kappa, horizon_s, arrival_rate, tick_size, lot_size, order_size, maker_fee, signal_weight, form,
// touch_only
using QuotingTuple = std::tuple<double, double, double, double, double, double, double, double, double, double, int, bool>;
inline QuotingParameters to_quoting(const QuotingTuple& t) {
    return {std::get<0>(t), std::get<1>(t), std::get<2>(t), std::get<3>(t),
            std::get<4>(t), std::get<5>(t), std::get<6>(t), std::get<7>(t),
            std::get<8>(t), std::get<9>(t), static_cast<QuotingForm>(std::get<10>(t)), std::get<11>(t)};
}

// thresholds, multipliers, half_life_s, sample_s, hysteresis, hysteresis_s, halt_s, medians, typical
using RegimeTuple = std::tuple<std::vector<double>, std::vector<double>, double, double, double, double, double,
                               std::vector<double>, double>;
inline RegimeParameters to_regime(const RegimeTuple& t) {
    if (std::get<0>(t).size() != 3 || std::get<1>(t).size() != 4)
        throw std::invalid_argument("give 3 thresholds and 4 multipliers");
    RegimeParameters p;
    for (std::size_t i = 0; i < 3; ++i) p.thresholds[i] = std::get<0>(t)[i];
    for (std::size_t i = 0; i < 4; ++i) p.multipliers[i] = std::get<1>(t)[i];
    p.half_life_s = std::get<2>(t);
    p.sample_s = std::get<3>(t);
    p.hysteresis = std::get<4>(t);
    p.hysteresis_s = std::get<5>(t);
    p.halt_s = std::get<6>(t);
    p.medians = std::get<7>(t);
    p.typical = std::get<8>(t);
    return p;
}

// A numpy array that owns its memory; `data` is where to write it.
template <class T>
nb::object new_array(std::size_t n, T*& data) {
    data = new T[n == 0 ? 1 : n];
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, T, nb::ndim<1>>(data, {n}, owner));
}

template <class T>
nb::object new_table(std::size_t rows, std::size_t columns, T*& data) {
    data = new T[rows * columns == 0 ? 1 : rows * columns];
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, T, nb::ndim<2>>(data, {rows, columns}, owner));
}

template <class T>
nb::object copy_array(const std::vector<T>& values) {
    T* data = nullptr;
    nb::object array = new_array(values.size(), data);
    if (!values.empty()) std::memcpy(data, values.data(), values.size() * sizeof(T));
    return array;
}

}  // namespace calibrig::bind

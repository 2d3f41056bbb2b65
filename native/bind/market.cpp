#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bind.hpp"
#include "market.hpp"
#include "market_book.hpp"
#include "market_capture.hpp"
#include "market_csv.hpp"

namespace nb = nanobind;

namespace calibrig::bind {

namespace {

using Int64Array = nb::ndarray<nb::numpy, std::int64_t, nb::ndim<1>>;
using Int64Column = nb::ndarray<std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

Int64Array own(std::unique_ptr<std::int64_t[]> data, std::size_t size) {
    std::int64_t* raw = data.release();
    nb::capsule owner(raw, [](void* p) noexcept { delete[] static_cast<std::int64_t*>(p); });
    return {raw, {size}, owner};
}

Int64Array own(std::vector<std::int64_t>&& values) {
    auto* held = new std::vector<std::int64_t>(std::move(values));
    nb::capsule owner(held, [](void* p) noexcept { delete static_cast<std::vector<std::int64_t>*>(p); });
    return {held->data(), {held->size()}, owner};
}

nb::tuple parse_table(nb::bytes text, const std::vector<int>& kinds, const std::vector<int>& decimals,
                      const std::string& delimiter, bool skip_bad) {
    if (kinds.size() != decimals.size() || kinds.empty() || delimiter.size() != 1)
        throw nb::value_error("parse_table: give one decimals per kind and a delimiter of one character");
    for (std::size_t i = 0; i < kinds.size(); ++i)
        if (kinds[i] < 0 || kinds[i] > 6 || decimals[i] < 0 || decimals[i] > 12)
            throw nb::value_error("parse_table: kinds are 0 to 6, decimals 0 to 12");
    market::TableReport report;
    std::vector<std::unique_ptr<std::int64_t[]>> data(kinds.size());
    {
        const nb::gil_scoped_release release;
        const auto lines = static_cast<std::size_t>(market::count_lines(text.c_str(), static_cast<std::int64_t>(text.size())));
        std::vector<market::Column> columns;
        for (std::size_t i = 0; i < kinds.size(); ++i) {
            const auto kind = static_cast<market::Kind>(kinds[i]);
            if (kind != market::Kind::skip) data[i].reset(new std::int64_t[lines]);
            columns.push_back({kind, decimals[i], data[i].get()});
        }
        report = market::parse_table(text.c_str(), static_cast<std::int64_t>(text.size()), columns, delimiter[0], skip_bad);
    }
    nb::list out;
    for (auto& column : data)
        if (column) out.append(own(std::move(column), static_cast<std::size_t>(report.rows)));
    nb::dict info;
    info["rows"] = report.rows;
    info["lines"] = report.lines;
    info["bad"] = report.bad;
    info["line"] = report.line;
    info["column"] = report.column;
    info["fault"] = static_cast<int>(report.fault);
    const auto length = static_cast<std::size_t>(report.field_length < 40 ? report.field_length : 40);
    info["field"] = report.field == nullptr ? nb::bytes("") : nb::bytes(report.field, length);
    return nb::make_tuple(out, info);
}

nb::dict parse_capture(nb::bytes text, bool skip_bad, bool build_book) {
    market::Capture c;
    {
        const nb::gil_scoped_release release;
        market::CaptureReader(c, build_book).read(text.c_str(), static_cast<std::int64_t>(text.size()), skip_bad);
    }
    nb::dict out, trades, quotes, depth;
    out["lines"] = c.lines;
    out["bad"] = c.bad;
    out["line"] = c.line;
    out["reason"] = nb::bytes(c.reason.data(), c.reason.size());
    out["levels"] = c.levels;
    out["uncrossed"] = c.uncrossed;
    out["snapshots"] = c.snapshots;
    out["others"] = c.others;
    out["off_market"] = c.off_market;
    nb::list symbols, grids;
    for (std::size_t i = 0; i < c.symbols.size(); ++i) {
        symbols.append(nb::bytes(c.symbols[i].data(), c.symbols[i].size()));
        grids.append(nb::make_tuple(c.prices[i].divisor, c.prices[i].seen, c.sizes[i].divisor, c.sizes[i].seen));
    }
    out["symbols"] = symbols;
    out["grids"] = grids;
    trades["local"] = own(std::move(c.trade_local));
    trades["event"] = own(std::move(c.trade_event));
    trades["time"] = own(std::move(c.trade_time));
    trades["id"] = own(std::move(c.trade_id));
    trades["price"] = own(std::move(c.trade_price));
    trades["size"] = own(std::move(c.trade_size));
    trades["maker"] = own(std::move(c.trade_maker));
    trades["symbol"] = own(std::move(c.trade_symbol));
    trades["aggregate"] = own(std::move(c.trade_aggregate));
    trades["line"] = own(std::move(c.trade_line));
    quotes["local"] = own(std::move(c.quote_local));
    quotes["event"] = own(std::move(c.quote_event));
    quotes["time"] = own(std::move(c.quote_time));
    quotes["id"] = own(std::move(c.quote_id));
    quotes["bid"] = own(std::move(c.quote_bid));
    quotes["bid_size"] = own(std::move(c.quote_bid_size));
    quotes["ask"] = own(std::move(c.quote_ask));
    quotes["ask_size"] = own(std::move(c.quote_ask_size));
    quotes["symbol"] = own(std::move(c.quote_symbol));
    quotes["line"] = own(std::move(c.quote_line));
    depth["local"] = own(std::move(c.depth_local));
    depth["event"] = own(std::move(c.depth_event));
    depth["first"] = own(std::move(c.depth_first));
    depth["last"] = own(std::move(c.depth_last));
    depth["previous"] = own(std::move(c.depth_previous));
    depth["symbol"] = own(std::move(c.depth_symbol));
    out["trades"] = trades;
    out["quotes"] = quotes;
    out["depth"] = depth;
    return out;
}

nb::tuple best_of_updates(Int64Column time, Int64Column message, Int64Column snapshot, Int64Column is_bid,
                          Int64Column price, Int64Column size) {
    const std::size_t n = time.shape(0);
    for (const auto& column : {message, snapshot, is_bid, price, size})
        if (column.shape(0) != n) throw nb::value_error("best_of_updates: give columns of equal length");
    std::unique_ptr<std::int64_t[]> out[5];
    for (auto& column : out) column.reset(new std::int64_t[n]);
    market::BestReport report;
    {
        const nb::gil_scoped_release release;
        for (std::size_t i = 0; i < n; ++i) out[0][i] = time.data()[i];
        report = market::best_of_updates(out[0].get(), message.data(), snapshot.data(), is_bid.data(), price.data(),
                                         size.data(), static_cast<std::int64_t>(n), out[1].get(), out[2].get(),
                                         out[3].get(), out[4].get());
    }
    nb::list columns;
    for (auto& column : out) columns.append(own(std::move(column), static_cast<std::size_t>(report.kept)));
    return nb::make_tuple(columns, report.uncrossed);
}

nb::dict carry_quotes(Int64Column time, Int64Column bid, Int64Column bid_size, Int64Column ask, Int64Column ask_size,
                      Int64Column suspicious) {
    const std::size_t n = time.shape(0);
    if (bid.shape(0) != n || bid_size.shape(0) != n || ask.shape(0) != n || ask_size.shape(0) != n ||
        suspicious.shape(0) != n)
        throw nb::value_error("carry_quotes: give columns of equal length");
    market::CarryReport report;
    {
        const nb::gil_scoped_release release;
        report = market::carry_quotes(time.data(), bid.data(), bid_size.data(), ask.data(), ask_size.data(),
                                      suspicious.data(), static_cast<std::int64_t>(n));
    }
    nb::dict out;
    out["kept"] = report.kept;
    out["one_sided"] = report.one_sided;
    out["unchanged"] = report.unchanged;
    out["transient"] = report.transient;
    out["suspicious"] = report.suspicious;
    out["negative"] = report.negative;
    return out;
}

}  // namespace

void market(nanobind::module_ m) {
    m.doc() = "market: delimited text and websocket captures into columns";
    m.def("parse_table", &parse_table, nb::arg("text"), nb::arg("kinds"), nb::arg("decimals"),
          nb::arg("delimiter") = ",", nb::arg("skip_bad") = false,
          "Read delimited text into int64 columns; returns (columns, report).");
    m.def("parse_capture", &parse_capture, nb::arg("text"), nb::arg("skip_bad") = false,
          nb::arg("build_book") = false, "Read a raw websocket capture into columns.");
    m.def("best_of_updates", &best_of_updates, nb::arg("time"), nb::arg("message"), nb::arg("snapshot"),
          nb::arg("is_bid"), nb::arg("price"), nb::arg("size"),
          "Build a book from level updates; returns (time, bid, bid size, ask, ask size) and the stale levels dropped.");
    m.def("carry_quotes", &carry_quotes, nb::arg("time"), nb::arg("bid"), nb::arg("bid_size"), nb::arg("ask"),
          nb::arg("ask_size"), nb::arg("suspicious"),
          "Carry one-sided updates forward, in place; returns how many states were kept and why the rest was not.");
}

}  // namespace calibrig::bind

// Raw websocket captures, one `<local ns> <json>` per line, into columns of trades, best quotes and depth updates.
#pragma once

#include <cstdint>
#include <cstring>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "market_book.hpp"
#include "market_csv.hpp"

namespace calibrig::market {

inline constexpr int kCaptureDecimals = 8;

struct Grid {  // greatest common divisor of what was seen, in 10^-8
    std::int64_t divisor = 0;
    std::int64_t seen = 0;
    void add(std::int64_t value) noexcept {
        ++seen;
        if (divisor != 1 && (divisor == 0 || value % divisor != 0)) divisor = std::gcd(divisor, value);
    }
};

struct Capture {
    std::vector<std::string> symbols;
    std::vector<Grid> prices, sizes;  // by symbol; depth levels included
    // trades; exchange times in ms, -1 where the stream has none
    std::vector<std::int64_t> trade_local, trade_event, trade_time, trade_id, trade_price, trade_size;
    std::vector<std::int64_t> trade_maker, trade_symbol, trade_aggregate, trade_line;
    std::vector<std::int64_t> quote_local, quote_event, quote_time, quote_id;
    std::vector<std::int64_t> quote_bid, quote_bid_size, quote_ask, quote_ask_size, quote_symbol, quote_line;
    std::vector<std::int64_t> depth_local, depth_event, depth_first, depth_last, depth_previous, depth_symbol;
    std::int64_t uncrossed = 0;  // levels dropped because their end was never told
    std::int64_t lines = 0, bad = 0, line = 0, levels = 0, snapshots = 0, others = 0, off_market = 0;
    std::string reason;
};

class CaptureReader {
public:
    // build_book: where a stream of depth updates is all there is, its best levels become the quotes.
    explicit CaptureReader(Capture& out, bool build_book = false) : out_(out), build_book_(build_book) {}

    void read(const char* text, std::int64_t size, bool skip_bad) {
        const char* const stop = text + size;
        std::int64_t line = 0;
        for (const char* p = text; p != stop;) {
            ++line;
            const char* newline = static_cast<const char*>(std::memchr(p, '\n', static_cast<std::size_t>(stop - p)));
            const char* last = newline == nullptr ? stop : newline;
            const char* next = newline == nullptr ? stop : newline + 1;
            if (last != p && last[-1] == '\r') --last;
            if (last != p) {
                ++out_.lines;
                line_ = line;
                reason_ = nullptr;
                if (!read_line(p, last)) {
                    if (out_.bad++ == 0) {
                        out_.line = line;
                        out_.reason = reason_ == nullptr ? "is not a JSON object after the receive time" : reason_;
                    }
                    if (!skip_bad) return;
                }
            }
            p = next;
        }
    }

private:
    struct Event {
        std::string_view e, E, T, s, t, p, q, m, u, U, pu, b, B, a, A, X, f;
        bool snapshot = false, book = false;
    };

    static std::string_view& slot(Event& event, std::string_view key, std::string_view& none) {
        if (key.size() == 1) switch (key[0]) {
                case 'e': return event.e;
                case 'E': return event.E;
                case 'T': return event.T;
                case 's': return event.s;
                case 't': return event.t;
                case 'p': return event.p;
                case 'q': return event.q;
                case 'm': return event.m;
                case 'u': return event.u;
                case 'U': return event.U;
                case 'b': return event.b;
                case 'B': return event.B;
                case 'a': return event.a;
                case 'A': return event.A;
                case 'X': return event.X;
                case 'f': return event.f;
                default: return none;
            }
        return key == "pu" ? event.pu : none;
    }

    bool fail(const char* reason) {
        if (reason_ == nullptr) reason_ = reason;
        return false;
    }

    static void blank(const char*& p, const char* end) {
        while (p != end && (*p == ' ' || *p == '\t')) ++p;
    }

    bool string(const char*& p, const char* end, std::string_view& value) {
        if (p == end || *p != '"') return fail("is not JSON: a string was expected");
        const char* begin = ++p;
        while (p != end && *p != '"') p += (*p == '\\' && p + 1 != end) ? 2 : 1;
        if (p >= end) return fail("ends inside a string (cut off?)");
        value = {begin, static_cast<std::size_t>(p - begin)};
        ++p;
        return true;
    }

    bool skip_value(const char*& p, const char* end) {
        int depth = 0;
        std::string_view none;
        while (p != end) {
            const char c = *p;
            if (c == '"') {
                if (!string(p, end, none)) return false;
                if (depth == 0) return true;
                continue;
            }
            if (c == '[' || c == '{') ++depth;
            if (c == ']' || c == '}') {
                if (depth == 0) return true;  // the end of the surrounding object
                if (--depth == 0) {
                    ++p;
                    return true;
                }
            }
            if (c == ',' && depth == 0) return true;
            ++p;
        }
        return depth == 0 ? true : fail("ends inside a list (cut off?)");
    }

    bool number(std::string_view text, std::int64_t& value, int decimals, const char* reason) {
        return parse_decimal(text.data(), text.data() + text.size(), decimals, value) == Fault::none ? true
                                                                                                     : fail(reason);
    }

    // [["price","size"], ...]
    bool levels(const char*& p, const char* end, bool bid) {
        ++p;
        for (;;) {
            blank(p, end);
            if (p == end) return fail("ends inside a list (cut off?)");
            if (*p == ']') {
                ++p;
                return true;
            }
            if (*p == ',') {
                ++p;
                continue;
            }
            if (*p++ != '[') return fail("has depth levels that are not [price, size]");
            std::string_view price, size;
            blank(p, end);
            if (!string(p, end, price)) return false;
            blank(p, end);
            if (p == end || *p++ != ',') return fail("has depth levels that are not [price, size]");
            blank(p, end);
            if (!string(p, end, size)) return false;
            blank(p, end);
            if (p == end || *p++ != ']') return fail("has depth levels that are not [price, size]");
            std::int64_t price_value = 0, size_value = 0;
            if (!number(price, price_value, kCaptureDecimals, "has a depth price that is not a number")) return false;
            if (!number(size, size_value, kCaptureDecimals, "has a depth size that is not a number")) return false;
            level_prices_.push_back(price_value);
            level_sizes_.push_back(size_value);
            level_bids_.push_back(bid);
        }
    }

    bool object(const char*& p, const char* end, Event& event, int depth) {
        if (p == end || *p != '{') return fail("is not a JSON object after the receive time");
        ++p;
        for (;;) {
            blank(p, end);
            if (p == end) return fail("ends inside an object (cut off?)");
            if (*p == '}') {
                ++p;
                return true;
            }
            if (*p == ',') {
                ++p;
                continue;
            }
            std::string_view key;
            if (!string(p, end, key)) return false;
            blank(p, end);
            if (p == end || *p++ != ':') return fail("is not JSON: a colon was expected");
            blank(p, end);
            if (p == end) return fail("ends inside an object (cut off?)");
            if (*p == '{' && key == "data" && depth == 0) {
                if (!object(p, end, event, 1)) return false;
            } else if (*p == '[' && (key == "b" || key == "a" || key == "bids" || key == "asks")) {
                event.book = true;
                if (!levels(p, end, key[0] == 'b')) return false;
            } else {
                if (key == "lastUpdateId") {
                    event.snapshot = true;
                    last_update_at_ = p;
                }
                std::string_view none;
                std::string_view& value = slot(event, key, none);
                if (*p == '"') {
                    if (!string(p, end, value)) return false;
                } else {
                    const char* begin = p;
                    if (!skip_value(p, end)) return false;
                    value = {begin, static_cast<std::size_t>(p - begin)};
                }
            }
        }
    }

    std::int64_t symbol_of(std::string_view name) {
        for (std::size_t i = 0; i < out_.symbols.size(); ++i)
            if (out_.symbols[i] == name) return static_cast<std::int64_t>(i);
        out_.symbols.emplace_back(name);
        out_.prices.emplace_back();
        out_.sizes.emplace_back();
        return static_cast<std::int64_t>(out_.symbols.size()) - 1;
    }

    bool optional_time(std::string_view text, std::int64_t& value) {
        value = -1;
        return text.empty() ? true : number(text, value, 0, "has an exchange time (E or T) that is not a number");
    }

    bool read_line(const char* p, const char* end) {
        const char* begin = p;
        while (p != end && *p != ' ' && *p != '\t') ++p;
        std::int64_t local = 0;
        if (parse_decimal(begin, p, 0, local) != Fault::none)
            return fail("does not start with the receive time in nanoseconds");
        blank(p, end);
        Event event;
        level_prices_.clear();
        level_sizes_.clear();
        level_bids_.clear();
        if (!object(p, end, event, 0)) return false;
        blank(p, end);
        if (p != end) return fail("has text after the JSON object");
        if (event.snapshot) {
            ++out_.snapshots;
            return build_book_ ? snapshot(end) : true;
        }
        std::int64_t event_time = -1, time = -1;
        if (!optional_time(event.E, event_time) || !optional_time(event.T, time)) return false;
        if (event.e == "trade" || event.e == "aggTrade") return trade(event, local, event_time, time);
        if (event.e == "depthUpdate") return depth(event, local, event_time, time);
        if (!event.book && (event.e == "bookTicker" || (event.e.empty() && !event.B.empty() && !event.A.empty())))
            return quote(event, local, event_time, time);
        ++out_.others;
        return true;
    }

    bool trade(const Event& event, std::int64_t local, std::int64_t event_time, std::int64_t time) {
        std::int64_t id = 0, price = 0, size = 0;
        const bool aggregate = event.e == "aggTrade";
        if (!number(event.p, price, kCaptureDecimals, "has a trade price (p) that is not a number")) return false;
        if (!number(event.q, size, kCaptureDecimals, "has a trade size (q) that is not a number")) return false;
        if (!number(aggregate ? event.a : event.t, id, 0, "has a trade id that is not a number")) return false;
        if (event.m != "true" && event.m != "false") return fail("has no maker flag (m) of true or false");
        if (price <= 0 || size <= 0 || (!event.X.empty() && event.X != "MARKET")) {
            ++out_.off_market;  // insurance fund, auto-deleveraging
            return true;
        }
        const std::int64_t symbol = symbol_of(event.s);
        out_.prices[static_cast<std::size_t>(symbol)].add(price);
        out_.sizes[static_cast<std::size_t>(symbol)].add(size);
        out_.trade_local.push_back(local);
        out_.trade_event.push_back(event_time);
        out_.trade_time.push_back(time);
        out_.trade_id.push_back(id);
        out_.trade_price.push_back(price);
        out_.trade_size.push_back(size);
        out_.trade_maker.push_back(event.m == "true");
        out_.trade_symbol.push_back(symbol);
        out_.trade_aggregate.push_back(aggregate);
        out_.trade_line.push_back(line_);
        return true;
    }

    bool quote(const Event& event, std::int64_t local, std::int64_t event_time, std::int64_t time) {
        std::int64_t id = 0, bid = 0, bid_size = 0, ask = 0, ask_size = 0;
        if (!number(event.b, bid, kCaptureDecimals, "has a bid price (b) that is not a number")) return false;
        if (!number(event.B, bid_size, kCaptureDecimals, "has a bid size (B) that is not a number")) return false;
        if (!number(event.a, ask, kCaptureDecimals, "has an ask price (a) that is not a number")) return false;
        if (!number(event.A, ask_size, kCaptureDecimals, "has an ask size (A) that is not a number")) return false;
        if (!number(event.u, id, 0, "has an update id (u) that is not a number")) return false;
        if (bid <= 0 || ask <= 0) return fail("has a bid or ask that is not above 0");
        const std::int64_t symbol = symbol_of(event.s);
        Grid& prices = out_.prices[static_cast<std::size_t>(symbol)];
        Grid& sizes = out_.sizes[static_cast<std::size_t>(symbol)];
        prices.add(bid);
        prices.add(ask);
        sizes.add(bid_size);
        sizes.add(ask_size);
        out_.quote_local.push_back(local);
        out_.quote_event.push_back(event_time);
        out_.quote_time.push_back(time);
        out_.quote_id.push_back(id);
        out_.quote_bid.push_back(bid);
        out_.quote_bid_size.push_back(bid_size);
        out_.quote_ask.push_back(ask);
        out_.quote_ask_size.push_back(ask_size);
        out_.quote_symbol.push_back(symbol);
        out_.quote_line.push_back(line_);
        return true;
    }

    bool depth(const Event& event, std::int64_t local, std::int64_t event_time, std::int64_t time) {
        std::int64_t first = 0, last = 0, previous = -1;
        if (!number(event.U, first, 0, "has a first update id (U) that is not a number")) return false;
        if (!number(event.u, last, 0, "has a last update id (u) that is not a number")) return false;
        if (!event.pu.empty() && !number(event.pu, previous, 0, "has a previous update id (pu) that is not a number"))
            return false;
        const std::int64_t symbol = symbol_of(event.s);
        Grid& prices = out_.prices[static_cast<std::size_t>(symbol)];
        Grid& sizes = out_.sizes[static_cast<std::size_t>(symbol)];
        for (const std::int64_t price : level_prices_) prices.add(price);
        for (const std::int64_t size : level_sizes_) sizes.add(size);
        out_.levels += static_cast<std::int64_t>(level_prices_.size());
        out_.depth_local.push_back(local);
        out_.depth_event.push_back(event_time);
        out_.depth_first.push_back(first);
        out_.depth_last.push_back(last);
        out_.depth_previous.push_back(previous);
        out_.depth_symbol.push_back(symbol);
        if (build_book_) book_quote(symbol, local, event_time, time, last);
        return true;
    }

    struct Book {
        LevelBook levels;
        LevelBook::Best best;
        std::int64_t last = -1;
    };

    Book& book_of(std::int64_t symbol) {
        while (books_.size() <= static_cast<std::size_t>(symbol)) books_.emplace_back();
        return books_[static_cast<std::size_t>(symbol)];
    }

    void apply(Book& book, std::int64_t update) {
        for (std::size_t i = 0; i < level_prices_.size(); ++i) {
            if (level_bids_[i])
                book.levels.set_bid(level_prices_[i], level_sizes_[i], update);
            else
                book.levels.set_ask(level_prices_[i], level_sizes_[i], update);
        }
    }

    void book_quote(std::int64_t symbol, std::int64_t local, std::int64_t event_time, std::int64_t time, std::int64_t last) {
        Book& book = book_of(symbol);
        if (last <= book.last) return;
        book.last = last;
        apply(book, last);
        out_.uncrossed += book.levels.uncross();
        const LevelBook::Best best = book.levels.best();
        if (best == book.best || best.bid == 0 || best.ask == 0) return;
        book.best = best;
        out_.quote_local.push_back(local);
        out_.quote_event.push_back(event_time);
        out_.quote_time.push_back(time);
        out_.quote_id.push_back(last);
        out_.quote_bid.push_back(best.bid);
        out_.quote_bid_size.push_back(best.bid_size);
        out_.quote_ask.push_back(best.ask);
        out_.quote_ask_size.push_back(best.ask_size);
        out_.quote_symbol.push_back(symbol);
        out_.quote_line.push_back(line_);
    }

    // A REST snapshot names no symbol: it is taken where the capture holds one. A later one starts the book anew, one
    // older than what is known is left out.
    bool snapshot(const char* end) {
        const char* p = last_update_at_;
        while (p != end && static_cast<unsigned>(*p - '0') <= 9U) ++p;
        std::int64_t update = 0;
        if (parse_decimal(last_update_at_, p, 0, update) != Fault::none) return fail("has a lastUpdateId that is not a number");
        if (out_.symbols.size() > 1) return true;
        Book& book = book_of(0);
        if (update < book.last) return true;
        book.levels.clear();
        book.last = update;
        apply(book, update);
        out_.uncrossed += book.levels.uncross();
        return true;
    }

    Capture& out_;
    bool build_book_;
    std::vector<Book> books_;
    const char* last_update_at_ = nullptr;
    std::vector<std::int64_t> level_prices_, level_sizes_;
    std::vector<bool> level_bids_;
    std::int64_t line_ = 0;
    const char* reason_ = nullptr;
};

}  // namespace calibrig::market

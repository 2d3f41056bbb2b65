// Best bid and ask of a book kept from level updates (price, new size; 0 removes).
#pragma once

#include <cstdint>
#include <functional>
#include <map>

namespace calibrig::market {

class LevelBook {
public:
    struct Level {
        std::int64_t size;
        std::int64_t update;  // number of the update that set it
    };
    struct Best {
        std::int64_t bid = 0, bid_size = 0, ask = 0, ask_size = 0;
        bool operator==(const Best&) const = default;
    };

    void set_bid(std::int64_t price, std::int64_t size, std::int64_t update) { set(bids_, price, size, update); }
    void set_ask(std::int64_t price, std::int64_t size, std::int64_t update) { set(asks_, price, size, update); }

    void clear() {
        bids_.clear();
        asks_.clear();
    }

    // Drop what cannot stand: of two levels that cross, the one set by the older update.
    std::int64_t uncross() {
        std::int64_t dropped = 0;
        while (!bids_.empty() && !asks_.empty() && bids_.begin()->first >= asks_.begin()->first) {
            if (bids_.begin()->second.update < asks_.begin()->second.update)
                bids_.erase(bids_.begin());
            else
                asks_.erase(asks_.begin());
            ++dropped;
        }
        return dropped;
    }

    // Prices are 0 while a side is empty.
    [[nodiscard]] Best best() const {
        Best best;
        if (!bids_.empty()) {
            best.bid = bids_.begin()->first;
            best.bid_size = bids_.begin()->second.size;
        }
        if (!asks_.empty()) {
            best.ask = asks_.begin()->first;
            best.ask_size = asks_.begin()->second.size;
        }
        return best;
    }

private:
    template <class Side>
    static void set(Side& side, std::int64_t price, std::int64_t size, std::int64_t update) {
        if (size <= 0)
            side.erase(price);
        else
            side[price] = Level{size, update};
    }

    std::map<std::int64_t, Level, std::greater<>> bids_;
    std::map<std::int64_t, Level> asks_;
};

struct BestReport {
    std::int64_t kept = 0;       // states written
    std::int64_t uncrossed = 0;  // levels dropped because their end was never told
};

// Rows of level updates become, in place, the best quotes after each message: rows of one `message` are one change, and
// a snapshot that follows updates starts the book anew. Columns hold n rows; time, bid .. ask_size receive the states.
inline BestReport best_of_updates(std::int64_t* time, const std::int64_t* message, const std::int64_t* snapshot,
                                  const std::int64_t* is_bid, const std::int64_t* price, const std::int64_t* size,
                                  std::int64_t n, std::int64_t* bid, std::int64_t* bid_size, std::int64_t* ask,
                                  std::int64_t* ask_size) {
    BestReport report;
    LevelBook book;
    LevelBook::Best known;
    for (std::int64_t i = 0; i < n; ++i) {
        if (snapshot[i] != 0 && (i == 0 || snapshot[i - 1] == 0)) book.clear();
        if (is_bid[i] != 0)
            book.set_bid(price[i], size[i], i);
        else
            book.set_ask(price[i], size[i], i);
        if (i + 1 < n && message[i + 1] == message[i]) continue;
        report.uncrossed += book.uncross();
        const LevelBook::Best best = book.best();
        if (best == known || best.bid == 0 || best.ask == 0) continue;
        known = best;
        time[report.kept] = time[i];
        bid[report.kept] = best.bid;
        bid_size[report.kept] = best.bid_size;
        ask[report.kept] = best.ask;
        ask_size[report.kept] = best.ask_size;
        ++report.kept;
    }
    return report;
}

}  // namespace calibrig::market

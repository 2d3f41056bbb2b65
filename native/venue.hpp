// The replay venue: one resting order a side, post-only, filled by the market's own events.
//
// conservative: the displayed size at joining stands ahead of the order and only trades reduce it.
// touch: any opposite trade at the price or through it fills the whole rest.  through: only trades strictly through it.
// Under every model an opposite quote at or beyond the resting price fills the rest: that quote would have met it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "ticks.hpp"

namespace calibrig {

enum class FillModel : int { conservative = 0, touch = 1, through = 2 };
enum class Action : std::uint8_t { place = 0, replace = 1, cancel = 2 };
enum class FillKind : std::uint8_t { queue = 0, touch = 1, through = 2, crossed = 3, liquidation = 4 };
enum class Answered : std::uint8_t { accepted = 0, rejected = 1, cancelled = 2, filled = 3 };

struct Message {
    Action action = Action::place;
    int side = 1;
    std::int64_t id = 0;            // of the new order; for cancel: of the order to cancel
    std::int64_t price = 0, lots = 0;
    std::int64_t replaces = 0;      // replace: the order it takes the place of ...
    std::int64_t known_filled = 0;  // ... and how much of that one the sender knew to be filled
};

struct Response {
    std::int64_t time_ns = 0;  // when the engine learns of it
    Answered what = Answered::accepted;
    int side = 1;
    std::int64_t id = 0, price = 0, lots = 0, leaves = 0;
};

struct Fill {
    std::int64_t time_ns = 0, order_id = 0, price = 0, lots = 0;
    int side = 1;
    FillKind kind = FillKind::queue;
};

class ReplayVenue {
public:
    static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
    static constexpr std::int64_t unseen = -1;  // queue not known: the level has not been the touch yet

    ReplayVenue(FillModel model, std::int64_t response_latency_ns)
        : model_(model), response_latency_ns_(response_latency_ns) {}

    void reset() {
        resting_[0] = resting_[1] = Resting{};
        flight_[0] = flight_[1] = Flight{};
        responses_.clear();
        first_response_ = 0;
        book_ = Quote{};
    }

    // One message a side may be on its way; it reaches the book after every market event up to arrive_ns.
    void submit(const Message& message, std::int64_t arrive_ns) noexcept {
        flight_[slot(message.side)] = {message, arrive_ns};
    }
    [[nodiscard]] std::int64_t next_arrival() const noexcept {
        return flight_[0].arrive_ns < flight_[1].arrive_ns ? flight_[0].arrive_ns : flight_[1].arrive_ns;
    }
    [[nodiscard]] std::int64_t next_response() const noexcept {
        return first_response_ < responses_.size() ? responses_[first_response_].time_ns : never;
    }
    Response take_response() {
        const Response response = responses_[first_response_++];
        if (first_response_ == responses_.size()) {
            responses_.clear();
            first_response_ = 0;
        }
        return response;
    }

    void take_arrival() {
        Flight& flight = flight_[flight_[0].arrive_ns <= flight_[1].arrive_ns ? 0 : 1];
        const Message message = flight.message;
        const std::int64_t now = flight.arrive_ns;
        flight.arrive_ns = never;
        handle(message, now);
    }

    void quote(std::int64_t t_ns, const Quote& now) {
        if (!now.sound()) return;  // an unsound book neither fills nor moves a queue
        book_ = now;
        for (Resting& order : resting_) {
            if (order.leaves == 0) continue;
            const bool buy = &order == &resting_[0];
            if (buy ? now.ask <= order.price : now.bid >= order.price) {
                fill(order, buy ? 1 : -1, order.leaves, FillKind::crossed, t_ns);
            } else if (order.ahead == unseen) {
                const std::int64_t touch = buy ? now.bid : now.ask;
                if (touch == order.price)
                    order.ahead = buy ? now.bid_lots : now.ask_lots;
                else if (buy ? touch < order.price : touch > order.price)
                    order.ahead = 0;
            }
        }
    }

    void trade(std::int64_t t_ns, const TradeTick& trade) {
        if (trade.side == 0) return;  // nobody knows whom it met
        Resting& order = resting_[trade.side < 0 ? 0 : 1];  // a seller meets the bid
        if (order.leaves == 0) return;
        const bool buy = trade.side < 0;
        const int side = buy ? 1 : -1;
        if (buy ? trade.price < order.price : trade.price > order.price) {
            fill(order, side, order.leaves, FillKind::through, t_ns);
        } else if (trade.price == order.price && !trade.off_grid) {
            if (model_ == FillModel::touch) {
                fill(order, side, order.leaves, FillKind::touch, t_ns);
            } else if (model_ == FillModel::conservative && order.ahead != unseen) {
                const std::int64_t met = order.ahead < trade.lots ? order.ahead : trade.lots;
                order.ahead -= met;
                const std::int64_t rest = trade.lots - met;
                if (rest > 0) fill(order, side, rest < order.leaves ? rest : order.leaves, FillKind::queue, t_ns);
            }
        }
    }

    // Take everything out of the book, in flight or resting; what was filled is still reported.
    void close() noexcept {
        resting_[0] = resting_[1] = Resting{};
        flight_[0] = flight_[1] = Flight{};
    }

    [[nodiscard]] const Quote& book() const noexcept { return book_; }
    // Fills since the last call of clear_fills, which whoever drives the venue takes and clears.
    [[nodiscard]] const std::vector<Fill>& fills() const noexcept { return fills_; }
    void clear_fills() noexcept { fills_.clear(); }

private:
    struct Resting {
        std::int64_t id = 0, price = 0, leaves = 0, filled = 0, ahead = unseen;
    };
    struct Flight {
        Message message{};
        std::int64_t arrive_ns = never;
    };

    static std::size_t slot(int side) noexcept { return side > 0 ? 0 : 1; }

    void handle(const Message& message, std::int64_t now) {
        Resting& order = resting_[slot(message.side)];
        if (message.action == Action::cancel) {
            const bool found = order.leaves > 0 && order.id == message.id;
            respond(now, found ? Answered::cancelled : Answered::rejected, message.side, message.id, 0, 0);
            if (found) order.leaves = 0;
            return;
        }
        std::int64_t lots = message.lots;
        if (message.action == Action::replace) {
            if (order.leaves == 0 || order.id != message.replaces) {
                respond(now, Answered::rejected, message.side, message.id, message.price, 0);
                return;
            }
            lots -= order.filled - message.known_filled;  // filled while the message was under way
            order.leaves = 0;
            respond(now, Answered::cancelled, message.side, message.replaces, 0, 0);
        }
        const bool buy = message.side > 0;
        const bool crosses = !book_.sound() || (buy ? message.price >= book_.ask : message.price <= book_.bid);
        if (crosses || lots <= 0) {
            respond(now, Answered::rejected, message.side, message.id, message.price, 0);
            return;
        }
        order = {message.id, message.price, lots, 0, queue_at_joining(buy, message.price)};
        respond(now, Answered::accepted, message.side, message.id, message.price, lots);
    }

    [[nodiscard]] std::int64_t queue_at_joining(bool buy, std::int64_t price) const noexcept {
        const std::int64_t touch = buy ? book_.bid : book_.ask;
        if (price == touch) return buy ? book_.bid_lots : book_.ask_lots;
        return (buy ? price > touch : price < touch) ? 0 : unseen;
    }

    void fill(Resting& order, int side, std::int64_t lots, FillKind kind, std::int64_t t_ns) {
        order.leaves -= lots;
        order.filled += lots;
        fills_.push_back({t_ns, order.id, order.price, lots, side, kind});
        responses_.push_back({t_ns + response_latency_ns_, Answered::filled, side, order.id, order.price, lots,
                              order.leaves});
    }

    void respond(std::int64_t now, Answered what, int side, std::int64_t id, std::int64_t price, std::int64_t leaves) {
        responses_.push_back({now + response_latency_ns_, what, side, id, price, 0, leaves});
    }

    FillModel model_;
    std::int64_t response_latency_ns_;
    std::array<Resting, 2> resting_{};
    std::array<Flight, 2> flight_{};
    std::vector<Response> responses_;
    std::size_t first_response_ = 0;
    std::vector<Fill> fills_;
    Quote book_{};
};

}  // namespace calibrig

// Recorded or simulated ticks through the engine and the replay venue, session by session, flat overnight.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "clock.hpp"
#include "engine.hpp"
#include "log.hpp"
#include "ticks.hpp"
#include "venue.hpp"

namespace calibrig {

struct ReplayOptions {
    FillModel fill_model = FillModel::conservative;
    std::int64_t order_latency_ns = 0, response_latency_ns = 0;
    std::int64_t maker_fee_1e9 = 0, taker_fee_1e9 = 0;  // 1e-9 of the traded value
    std::int64_t sample_ns = 0;                         // spacing of the samples; 0 = none
    int timed_every = 0;                                // one in this many cycles is timed; 0 = none
    bool keep_log = true;
};

struct SampleRow {
    std::int64_t time_ns, event, bid, ask, own_bid, own_ask, position;
    double pnl, z, signal, buy_intensity, sell_intensity, shift_ticks;
    std::int8_t regime;
    Reason reason;
};

struct FillRow {
    Fill fill;
    std::int64_t event, twice_mid, position;  // position after it, as the venue knows it
};

struct SessionRow {
    std::int64_t start_ns, end_ns, ticks, cash, fees_micro, largest_position, fills, lots, messages;
    double pnl, drawdown;
    Reason reason;  // at the close
};

class Replay {
public:
    Replay(const MarketColumns& market, const ReplayOptions& options, const Limits& limits, SignalSource* source)
        : market_(market), options_(options), venue_(options.fill_model, options.response_latency_ns),
          gateway_{this}, engine_(gateway_, limits, source, options.maker_fee_1e9) {
        engine_.keep_log(options.keep_log);
    }
    Replay(const Replay&) = delete;
    Replay& operator=(const Replay&) = delete;

    void publish(std::unique_ptr<ParameterBlock> block) { engine_.publish(std::move(block)); }
    void kill() noexcept { engine_.kill(); }

    // Go on for at most that many ticks; true when the last session is closed.
    bool run(std::int64_t ticks) {
        while (session_ < market_.session_count) {
            if (!open_) begin();
            while (!walk_.done()) {
                if (ticks-- == 0) return false;
                step();
            }
            close();
        }
        return true;
    }

    [[nodiscard]] auto& engine() noexcept { return engine_; }
    [[nodiscard]] const auto& engine() const noexcept { return engine_; }
    [[nodiscard]] const Log<SampleRow>& samples() const noexcept { return samples_; }
    [[nodiscard]] const std::vector<SessionRow>& sessions() const noexcept { return sessions_; }
    [[nodiscard]] const Log<FillRow>& fills() const noexcept { return fills_; }
    [[nodiscard]] const std::vector<std::int32_t>& compute_ns() const noexcept { return compute_ns_; }

private:
    struct Gateway {
        Replay* replay;
        void submit(const Message& message, std::int64_t decided_ns, std::int64_t device_ns) noexcept {
            replay->venue_.submit(message, decided_ns + device_ns + replay->options_.order_latency_ns);
        }
    };

    void begin() {
        const std::int64_t start = market_.sessions[2 * session_], end = market_.sessions[2 * session_ + 1];
        walk_ = TickWalk(market_, session_);
        venue_.reset();
        engine_.begin_session(start, end);
        next_sample_ns_ = options_.sample_ns > 0 ? start : ReplayVenue::never;
        position_ = day_fills_ = day_lots_ = 0;
        at_begin_ = {engine_.event(), engine_.messages()};
        open_ = true;
    }

    void step() {
        const bool is_trade = walk_.next_is_trade();
        const std::int64_t t = walk_.next_time();
        drain(t - 1);
        if (t >= next_sample_ns_) sample(t);
        if (is_trade) {
            const TradeTick trade = market_.trade(walk_.take_trade());
            venue_.trade(t, trade);
            after_market(t);
            timed([&] { engine_.on_trade(t, trade); });
        } else {
            const Quote quote = market_.quote(walk_.take_quote());
            venue_.quote(t, quote);
            after_market(t);
            timed([&] { engine_.on_quote(t, quote); });
        }
    }

    void after_market(std::int64_t t) {
        if (!venue_.fills().empty()) take_fills();
        drain(t);
    }

    // Everything due at or before `bound`: arrivals at the venue, then what the engine learns, then its timer.
    void drain(std::int64_t bound) {
        while (true) {
            const std::int64_t arrival = venue_.next_arrival(), response = venue_.next_response();
            const std::int64_t timer = engine_.next_timer();
            if (arrival > bound && response > bound && timer > bound) return;
            if (arrival <= response && arrival <= timer)
                venue_.take_arrival();
            else if (response <= timer)
                engine_.on_response(venue_.take_response());
            else
                engine_.on_timer(timer);
        }
    }

    template <class Work>
    void timed(Work&& work) {
        if (options_.timed_every == 0 || ++until_timed_ < options_.timed_every) return work();
        until_timed_ = 0;
        const std::uint64_t from = clock_.start();
        work();
        compute_ns_.push_back(static_cast<std::int32_t>(clock_.elapsed_ns(from, clock_.stop())));
    }

    void sample(std::int64_t t) {
        next_sample_ns_ += ((t - next_sample_ns_) / options_.sample_ns + 1) * options_.sample_ns;
        const Quote& book = engine_.features().book();
        const bool bid = engine_.working_lots(1) > 0, ask = engine_.working_lots(-1) > 0;
        samples_.push_back({t, engine_.event() + 1, book.bid, book.ask, bid ? engine_.working_price(1) : 0,
                            ask ? engine_.working_price(-1) : 0, engine_.position(), engine_.pnl(),
                            engine_.regime().z(), engine_.signal().signal, engine_.intensity().buy,
                            engine_.intensity().sell, engine_.shift_ticks(),
                            static_cast<std::int8_t>(engine_.regime().level()), engine_.reason()});
    }

    void take_fills() {
        for (const Fill& fill : venue_.fills()) add_fill(fill);
        venue_.clear_fills();
    }

    void add_fill(const Fill& fill) {
        position_ += fill.side * fill.lots;
        ++day_fills_;
        day_lots_ += fill.lots;
        if (options_.keep_log)
            fills_.push_back({fill, engine_.event() + 1, venue_.book().bid + venue_.book().ask, position_});
    }

    void close() {
        const std::int64_t end = market_.sessions[2 * session_ + 1];
        drain(end - 1);
        venue_.close();
        while (venue_.next_response() != ReplayVenue::never) engine_.on_response(venue_.take_response());
        const Reason reason = engine_.reason();
        if (const std::int64_t position = engine_.position(); position != 0) {
            const int side = position > 0 ? -1 : 1;
            const std::int64_t price = side < 0 ? venue_.book().bid : venue_.book().ask;
            const std::int64_t lots = position > 0 ? position : -position;
            add_fill({end, 0, price, lots, side, FillKind::liquidation});
            engine_.settle(price, lots, side, options_.taker_fee_1e9);
        }
        sessions_.push_back({market_.sessions[2 * session_], end, engine_.event() - at_begin_[0], engine_.cash(),
                             engine_.fees_micro(), engine_.largest_position(),
                             day_fills_, day_lots_,
                             engine_.messages() - at_begin_[1], engine_.pnl(), engine_.drawdown(), reason});
        open_ = false;
        ++session_;
    }

    MarketColumns market_;
    ReplayOptions options_;
    const Clock& clock_ = Clock::get();
    ReplayVenue venue_;
    Gateway gateway_;
    Engine<Gateway> engine_;
    TickWalk walk_;
    std::size_t session_ = 0;
    bool open_ = false;
    int until_timed_ = 0;
    std::int64_t next_sample_ns_ = 0, position_ = 0, day_fills_ = 0, day_lots_ = 0;
    std::array<std::int64_t, 2> at_begin_{};  // event, messages
    Log<SampleRow> samples_;
    std::vector<SessionRow> sessions_;
    Log<FillRow> fills_;
    std::vector<std::int32_t> compute_ns_;
};

}  // namespace calibrig

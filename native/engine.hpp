// The trading engine, the same in replay and live: tick -> features -> intensity -> signal -> quotes -> checks -> orders.
//
// It fails closed: whenever a reason not to trade holds, working orders are cancelled, none are sent, and the reason is
// on record. Decisions are integers made from basic arithmetic, so they are the same on every machine.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "apply_block.hpp"
#include "checks.hpp"
#include "features.hpp"
#include "flow.hpp"
#include "log.hpp"
#include "quoting.hpp"
#include "regime.hpp"
#include "store_block.hpp"
#include "venue.hpp"

namespace calibrig {

struct SignalAnswer {
    double signal = 0.0;
    std::uint32_t model_id = 0;
    std::int64_t device_ns = 0;
    bool ok = false;
};

// Where the signal comes from: the bridge, behind one virtual call.
class SignalSource {
public:
    virtual ~SignalSource() = default;
    virtual SignalAnswer predict(const double* features) noexcept = 0;
};

// One parameter version set, prepared off the hot path and owned by the engine until it is destroyed.
struct ParameterBlock {
    std::uint32_t sequence = 0;                // 0, 1, 2 .. in the order of publication
    std::array<std::int64_t, 4> versions{};    // hawkes, quoting, risk, signal; 0 = not versioned
    Reason refusal = Reason::none;             // why no order may be sent with it
    std::int64_t expires_ns = Limits::unlimited;
    bool has_model = false;
    std::uint32_t model_id = 0;                // the model the bridge must answer with
    std::uint32_t previous_model_id = 0;       // accepted too: the swap of the bridge and of the engine are two steps
    std::int64_t previous_signal_version = 0;
    std::int64_t stamp_ns = 0, handed_ns = 0;  // UTC: newest new version, and when the engine was given it; 0 = not live
    std::int64_t max_position = 0, order_lots = 1;
    double horizon_s = 0.0;
    QuotingModel quoting;
    RegimeParameters risk;
    OrderFlow flow;
};

struct OrderRow {
    std::int64_t id = 0, time_ns = 0, event = 0, price = 0, lots = 0, replaces = 0, signal_version = 0;
    std::uint32_t parameters = 0;
    std::int8_t side = 1;
    Action action = Action::place;
};

struct ReasonRow {
    std::int64_t time_ns = 0, event = 0;
    Reason reason = Reason::none;
};

struct UpdateRow {
    std::int64_t time_ns = 0, event = 0;
    std::uint32_t parameters = 0;
    std::int64_t applied_ns = 0;  // UTC, where the set was published live; 0 otherwise
};

// Fee in millionths of tick x lot, rounded half away from zero; rate in 1e-9 of the value.
inline std::int64_t fee_micro(std::int64_t price, std::int64_t lots, std::int64_t rate_1e9) noexcept {
    const __int128 nano = static_cast<__int128>(price) * lots * rate_1e9;
    return static_cast<std::int64_t>((nano + (nano < 0 ? -500 : 500)) / 1000);
}

// Gateway: void submit(const Message&, std::int64_t decided_ns, std::int64_t device_ns).
template <class Gateway>
class Engine {
public:
    Engine(Gateway& gateway, const Limits& limits, SignalSource* source, std::int64_t maker_fee_1e9)
        : gateway_(gateway), limits_(limits), checks_(limits), executions_(limits.max_executions_per_s, 1'000'000'000),
          source_(source), maker_fee_1e9_(maker_fee_1e9) {}

    // --- from any thread ---

    // Takes effect at the next cycle. The engine keeps the block.
    void publish(std::unique_ptr<ParameterBlock> block) {
        const std::lock_guard lock(publishing_);
        block->sequence = static_cast<std::uint32_t>(blocks_.size());
        blocks_.push_back(std::move(block));
        pending_.store(blocks_.back().get(), std::memory_order_release);
    }
    // From then on the loop sends nothing while the store behind that block is stale: its process died, its server is
    // gone, its versions are damaged. Null ends that. The block must outlive the engine.
    void follow(const StoreBlockView* block) noexcept { followed_.store(block, std::memory_order_release); }
    // Where the time from stamp to use is counted; call before the loop runs.
    void count_applied(ApplyMemory* applied) noexcept { applied_ = applied; }
    void kill() noexcept { killed_.store(true, std::memory_order_release); }

    // --- from the one thread that runs the loop ---

    void begin_session(std::int64_t start_ns, std::int64_t end_ns) {
        start_ns_ = last_tick_ns_ = last_quote_ns_ = start_ns;
        end_ns_ = end_ns;
        features_.reset();
        checks_.reset();
        executions_.clear();
        sides_[0] = sides_[1] = Side{};
        position_ = cash_ = fees_micro_ = 0;
        pnl_ = peak_ = drawdown_ = 0.0;
        largest_position_ = 0;
        silence_ = 2;  // nothing works before the first tick, so nothing can be too old
        latched_ = Reason::none;
        block_reason_ = Reason::none;
        signal_ = SignalAnswer{};
        recent_count_ = 0;
        if (now_ != nullptr) {
            regime_.reset(start_ns, end_ns, start_ns);
            now_->flow.reset(start_ns, end_ns);
        }
    }

    void on_quote(std::int64_t t_ns, const Quote& quote) {
        if (!enter(t_ns)) return;
        features_.quote(t_ns, quote);
        last_quote_ns_ = t_ns;
        cycle(t_ns);
    }

    void on_trade(std::int64_t t_ns, const TradeTick& trade) {
        if (!enter(t_ns)) return;
        features_.trade(t_ns, trade.side, trade.lots);
        if (trade.new_order && trade.side != 0) {
            recent_[recent_count_++ % recent_.size()] = {t_ns, trade.side};
            if (now_ != nullptr && source_ != nullptr) now_->flow.order(t_ns, trade.side);
        }
        cycle(t_ns);
    }

    // The time at which something must happen even if no tick comes.
    [[nodiscard]] std::int64_t next_timer() const noexcept {
        return silence_ == 0   ? last_tick_ns_ + limits_.feed_gap_ns
               : silence_ == 1 ? last_tick_ns_ + limits_.feed_loss_ns
                               : ReplayVenue::never;
    }
    void on_timer(std::int64_t t_ns) {
        if (++silence_ > 1) latch(Reason::feed_loss);
        block(t_ns, killed_.load(std::memory_order_acquire) ? Reason::killed
                    : latched_ != Reason::none              ? latched_
                                                            : Reason::feed_gap);
    }

    void on_response(const Response& response) {
        Side& side = sides_[slot(response.side)];
        switch (response.what) {
            case Answered::filled: take_fill(side, response); break;
            case Answered::accepted:
                side.in_flight = false;
                side.working = {response.id, response.price, response.leaves, 0, side.flight_limit};
                break;
            case Answered::cancelled:
                if (side.working.id == response.id) side.working = Working{};
                if (side.flight_action == Action::cancel) side.in_flight = false;
                break;
            case Answered::rejected:
                side.in_flight = false;
                if (side.flight_action == Action::place) break;
                if (side.flight_action == Action::cancel && side.working.id == response.id) side.working = Working{};
                break;
        }
        if (block_reason_ != Reason::none) cancel(side, response.side, response.time_ns);
    }

    // A trade at the close that leaves the engine flat; the book of the day ends with it.
    void settle(std::int64_t price, std::int64_t lots, int side, std::int64_t taker_fee_1e9) noexcept {
        position_ += side * lots;
        cash_ -= side * lots * price;
        fees_micro_ += fee_micro(price, lots, taker_fee_1e9);
        mark();
    }

    // --- what can be read between two calls ---
    [[nodiscard]] std::int64_t position() const noexcept { return position_; }
    [[nodiscard]] std::int64_t cash() const noexcept { return cash_; }
    [[nodiscard]] std::int64_t fees_micro() const noexcept { return fees_micro_; }
    [[nodiscard]] double pnl() const noexcept { return pnl_; }  // ticks x lots, marked at mid, after fees
    [[nodiscard]] double drawdown() const noexcept { return drawdown_; }
    [[nodiscard]] const Features& features() const noexcept { return features_; }
    [[nodiscard]] const RegimeMachine& regime() const noexcept { return regime_; }
    [[nodiscard]] const SignalAnswer& signal() const noexcept { return signal_; }
    [[nodiscard]] const RelativeIntensity& intensity() const noexcept { return intensity_; }
    [[nodiscard]] double shift_ticks() const noexcept { return shift_ticks_; }
    [[nodiscard]] Reason reason() const noexcept { return block_reason_; }
    [[nodiscard]] std::int64_t largest_position() const noexcept { return largest_position_; }
    // Index of the last tick, from 0; may be read from any thread.
    [[nodiscard]] std::int64_t event() const noexcept { return event_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::int64_t messages() const noexcept { return messages_; }
    [[nodiscard]] std::int64_t working_price(int side) const noexcept { return sides_[slot(side)].working.price; }
    [[nodiscard]] std::int64_t working_lots(int side) const noexcept { return sides_[slot(side)].working.leaves; }
    [[nodiscard]] const Log<OrderRow>& orders() const noexcept { return orders_; }
    [[nodiscard]] const Log<ReasonRow>& reasons() const noexcept { return reasons_; }
    [[nodiscard]] const Log<UpdateRow>& updates() const noexcept { return updates_; }
    [[nodiscard]] const std::array<std::int64_t, reason_count>& counts() const noexcept { return counts_; }
    [[nodiscard]] const std::vector<std::unique_ptr<ParameterBlock>>& blocks() const noexcept { return blocks_; }
    void keep_log(bool keep) noexcept { keep_log_ = keep; }

private:
    struct Working {
        std::int64_t id = 0, price = 0, leaves = 0, filled = 0;
        std::int64_t limit = 0;  // position limit in force when it was made
    };
    struct Side {
        Working working{};
        bool in_flight = false;
        Action flight_action = Action::place;
        std::int64_t flight_limit = 0;
    };
    struct Recent {
        std::int64_t time_ns;
        int side;
    };
    static std::size_t slot(int side) noexcept { return side > 0 ? 0 : 1; }

    // False if the tick may not be used.
    bool enter(std::int64_t t_ns) {
        event_.store(event() + 1, std::memory_order_relaxed);
        silence_ = 0;
        if (pending_.load(std::memory_order_relaxed) != nullptr) adopt(t_ns);
        if (t_ns < last_tick_ns_) {
            latch(Reason::clock_jump);
            block(last_tick_ns_, Reason::clock_jump);
            return false;
        }
        last_tick_ns_ = t_ns;
        if (now_ != nullptr) regime_.advance(t_ns, features_.mid());
        return true;
    }

    void adopt(std::int64_t t_ns) {
        ParameterBlock* next = pending_.exchange(nullptr, std::memory_order_acquire);
        const bool first = now_ == nullptr;
        now_ = next;
        regime_.configure(now_->risk);
        if (first) regime_.reset(start_ns_, end_ns_, t_ns);
        now_->flow.reset(start_ns_, end_ns_);
        const std::size_t kept = recent_count_ < recent_.size() ? recent_count_ : recent_.size();
        for (std::size_t i = recent_count_ - kept; i < recent_count_; ++i)
            now_->flow.order(recent_[i % recent_.size()].time_ns, recent_[i % recent_.size()].side);
        const bool live = now_->handed_ns != 0;
        const std::int64_t applied_ns = live ? utc_ns() : 0;
        updates_.push_back({t_ns, event(), now_->sequence, applied_ns});
        if (live && applied_ != nullptr)
            applied_->record(now_->versions.data(), applied_ns, now_->stamp_ns, now_->handed_ns);
    }

    void cycle(std::int64_t t_ns) {
        mark();
        predict(t_ns);
        const Reason reason = judge(t_ns);
        if (reason != Reason::none) return block(t_ns, reason);
        if (block_reason_ != Reason::none) note_reason(t_ns, block_reason_ = Reason::none);
        const double multiplier = now_->risk.multipliers[static_cast<std::size_t>(regime_.level())];
        const auto limit = static_cast<std::int64_t>(static_cast<double>(now_->max_position) * multiplier);
        auto lots = static_cast<std::int64_t>(static_cast<double>(now_->order_lots) * multiplier);
        if (lots < 1) lots = 1;
        const Quote& book = features_.book();
        const double left_s = static_cast<double>(end_ns_ - t_ns) * 1e-9;
        const QuotePrices prices = now_->quoting.prices(book.bid, book.ask, position_, signal_.signal,
                                                        left_s < now_->horizon_s ? left_s : now_->horizon_s);
        shift_ticks_ = prices.shift_ticks;
        steer(t_ns, 1, prices.bid, lots, limit - position_, limit);
        steer(t_ns, -1, prices.ask, lots, limit + position_, limit);
    }

    void predict(std::int64_t t_ns) noexcept {
        if (source_ == nullptr || now_ == nullptr || !features_.valid()) return;
        intensity_ = now_->flow.read(t_ns);
        alignas(64) double row[Features::count];
        features_.write(row, intensity_.buy, intensity_.sell, intensity_.imbalance);
        signal_ = source_->predict(row);
    }

    // The first reason not to trade, in the order of the enumeration.
    [[nodiscard]] Reason judge(std::int64_t t_ns) noexcept {
        if (killed_.load(std::memory_order_acquire)) return Reason::killed;
        if (latched_ != Reason::none) return latched_;
        if (now_ == nullptr) return Reason::missing_parameters;
        if (now_->refusal != Reason::none) return now_->refusal;
        if (t_ns >= now_->expires_ns) return Reason::stale_parameters;
        const StoreBlockView* followed = followed_.load(std::memory_order_acquire);
        if (followed != nullptr && stale_check_(*followed)) return Reason::stale_parameters;
        if (t_ns >= end_ns_) return Reason::session_closed;
        if (!features_.valid()) return features_.mid() == 0.0 ? Reason::no_book : Reason::crossed_book;
        if (t_ns - last_quote_ns_ > limits_.quote_age_ns) return Reason::frozen_book;
        if (source_ != nullptr) {
            if (!signal_.ok) return Reason::bridge_fault;
            if (!now_->has_model) return Reason::missing_parameters;
            if (signal_.model_id != now_->model_id && signal_.model_id != now_->previous_model_id)
                return Reason::model_mismatch;
        }
        if (now_->risk.multipliers[static_cast<std::size_t>(regime_.level())] == 0.0) return Reason::regime_halted;
        return Reason::none;
    }

    // Move the order of one side to (price, at most `lots` and `allowed`), or take it out where nothing is allowed.
    void steer(std::int64_t t_ns, int direction, std::int64_t price, std::int64_t lots, std::int64_t allowed,
               std::int64_t limit) {
        Side& side = sides_[slot(direction)];
        if (side.in_flight) return;
        const bool working = side.working.leaves > 0;
        if (allowed <= 0) return cancel(side, direction, t_ns);
        if (lots > allowed) lots = allowed;
        if (working && side.working.price == price && side.working.leaves <= lots) return;
        const Quote& book = features_.book();
        // the worst case on this side: the replaced order's unseen fills count against the new order's lots
        const std::int64_t exposure = position_ + direction * lots;
        const Reason refused = checks_.judge(t_ns, direction, price, lots, book.bid, book.ask, exposure, limit);
        if (refused != Reason::none) {
            ++counts_[static_cast<std::size_t>(refused)];
            if (working) cancel(side, direction, t_ns);  // the old price is not wanted any more
            return;
        }
        const Message message{working ? Action::replace : Action::place, direction, ++next_id_, price, lots,
                              working ? side.working.id : 0, working ? side.working.filled : 0};
        side.flight_limit = limit;
        checks_.note_order(t_ns, direction, price, lots);
        send(side, message, t_ns);
    }

    void cancel(Side& side, int direction, std::int64_t t_ns) {
        if (side.in_flight || side.working.leaves == 0) return;
        checks_.note_cancel(t_ns);
        send(side, {Action::cancel, direction, side.working.id, side.working.price, 0, 0, 0}, t_ns);
    }

    void send(Side& side, const Message& message, std::int64_t t_ns) {
        side.in_flight = true;
        side.flight_action = message.action;
        ++messages_;
        if (keep_log_) {
            const bool previous = source_ != nullptr && signal_.model_id != now_->model_id;
            orders_.push_back({message.id, t_ns, event(), message.price, message.lots, message.replaces,
                               now_ == nullptr ? 0
                               : previous      ? now_->previous_signal_version
                                               : now_->versions[3],
                               now_ == nullptr ? 0u : now_->sequence, static_cast<std::int8_t>(message.side), message.action});
        }
        gateway_.submit(message, t_ns, signal_.device_ns);
    }

    void block(std::int64_t t_ns, Reason reason) {
        if (block_reason_ != reason) note_reason(t_ns, block_reason_ = reason);
        cancel(sides_[0], 1, t_ns);
        cancel(sides_[1], -1, t_ns);
    }
    void note_reason(std::int64_t t_ns, Reason reason) {
        ++counts_[static_cast<std::size_t>(reason)];
        if (keep_log_) reasons_.push_back({t_ns, event(), reason});
    }
    void latch(Reason reason) noexcept {
        if (latched_ == Reason::none) latched_ = reason;
    }

    void take_fill(Side& side, const Response& response) noexcept {
        if (side.working.id == response.id) {
            side.working.leaves = response.leaves;
            side.working.filled += response.lots;
        }
        position_ += response.side * response.lots;
        cash_ -= response.side * response.lots * response.price;
        fees_micro_ += fee_micro(response.price, response.lots, maker_fee_1e9_);
        const std::int64_t held = position_ < 0 ? -position_ : position_;
        if (held > largest_position_) largest_position_ = held;
        if (response.side * position_ > 0 && held > side.working.limit) latch(Reason::limit_breach);
        if (!executions_.allows(response.time_ns)) latch(Reason::executions);
        executions_.note(response.time_ns);
        mark();
    }

    void mark() noexcept {
        const Quote& book = features_.book();
        const std::int64_t half_ticks = 2 * cash_ + position_ * (book.bid + book.ask);
        pnl_ = 0.5 * static_cast<double>(half_ticks) - 1e-6 * static_cast<double>(fees_micro_);
        if (pnl_ > peak_) peak_ = pnl_;
        if (peak_ - pnl_ > drawdown_) drawdown_ = peak_ - pnl_;
        if (limits_.max_session_loss > 0.0 && pnl_ < -limits_.max_session_loss) latch(Reason::drawdown);
    }

    Gateway& gateway_;
    Limits limits_;
    OrderChecks checks_;
    RateWindow executions_;
    SignalSource* source_;

    std::mutex publishing_;
    std::vector<std::unique_ptr<ParameterBlock>> blocks_;
    std::atomic<ParameterBlock*> pending_{nullptr};
    std::atomic<const StoreBlockView*> followed_{nullptr};
    ApplyMemory* applied_ = nullptr;
    StaleCheck stale_check_;
    std::atomic<bool> killed_{false};
    std::atomic<std::int64_t> event_{-1};
    ParameterBlock* now_ = nullptr;

    Features features_;
    RegimeMachine regime_;
    RelativeIntensity intensity_{};
    SignalAnswer signal_{};
    std::array<Side, 2> sides_{};
    std::array<Recent, 1024> recent_{};
    std::size_t recent_count_ = 0;

    std::int64_t start_ns_ = 0, end_ns_ = 0, last_tick_ns_ = 0, last_quote_ns_ = 0;
    std::int64_t position_ = 0, cash_ = 0, fees_micro_ = 0, messages_ = 0, next_id_ = 0;
    std::int64_t largest_position_ = 0, maker_fee_1e9_ = 0;
    int silence_ = 2;  // 0: ticks come; 1: feed gap reported; 2: feed loss reported, or no tick yet
    double pnl_ = 0.0, peak_ = 0.0, drawdown_ = 0.0, shift_ticks_ = 0.0;
    Reason latched_ = Reason::none, block_reason_ = Reason::none;
    bool keep_log_ = true;
    Log<OrderRow> orders_;
    Log<ReasonRow> reasons_;
    Log<UpdateRow> updates_;
    std::array<std::int64_t, reason_count> counts_{};
};

}  // namespace calibrig

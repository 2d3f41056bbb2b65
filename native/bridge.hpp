// The hardware-in-the-loop bridge: one call per prediction, in software or on a card, with honest timing and health.
//
// One thread predicts; any thread may swap mode, model and device, or read. The predicting thread takes no lock,
// allocates nothing and throws nothing.
#pragma once

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mutex>
#include <thread>
#include <utility>

#include "bridge_block.hpp"
#include "device_session.hpp"
#include "signal.hpp"

namespace calibrig {

enum class Mode : std::uint8_t { software_stub, hardware_fpga, hybrid_fallback };
enum class Hold : std::uint8_t {
    spin,    // live: the stub's latency passes in real time
    charge,  // replay: returns at once; device_ns is the nominal latency to charge to the venue's clock
};
enum class Source : std::uint8_t { none, software, hardware, fallback };

struct Answer {
    double signal = 0.0;         // in [-1, 1]; meaningless where source is none
    std::uint64_t sequence = 0;  // 1, 2, 3 .. per bridge
    std::uint32_t model_id = 0;
    Source source = Source::none;
    std::int64_t device_ns = 0;
    Fault fault = Fault::none;  // with source none: why there is no answer; with fallback: why not the card's

    bool ok() const noexcept { return source != Source::none; }
};

struct BridgeOptions {
    std::int64_t stub_latency_ns = 400;
    std::int64_t deadline_ns = 2'000;
    std::uint64_t verify = 0;            // 0: no shadow checks, 1: every call, N: one in N at random
    std::int64_t sla_ns = 0;             // device path; 0: the stub's latency, at least 400
    std::int64_t roundtrip_sla_ns = 0;   // 0: none
    std::uint64_t seed = 0;              // of the choice of shadow checks
    std::string status_path;             // file of the block that another process reads; empty: none
};

class Bridge {
   public:
    using ModelPtr = std::shared_ptr<const SignalModel>;
    using DevicePtr = std::shared_ptr<Device>;
    struct Wanted {
        Mode mode = Mode::software_stub;
        ModelPtr model;
        DevicePtr device;
        Golden golden;
    };

    Bridge(Mode mode, ModelPtr model, DevicePtr device, Golden golden, const BridgeOptions& options)
        : options_(options),
          block_(options.status_path) {
        ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
        wanted_ = {mode, std::move(model), std::move(device), std::move(golden)};
        block_->mode.store(static_cast<std::uint64_t>(mode), std::memory_order_relaxed);
        block_->model_id.store(wanted_.model->model_id(), std::memory_order_relaxed);
    }
    Bridge(const Bridge&) = delete;
    Bridge& operator=(const Bridge&) = delete;
    ~Bridge() { close(); }

    // Checks the device (identity, then golden vectors) and opens for calls. What the check found; none is good.
    // A failed check still opens HYBRID_FALLBACK, on software, with the prober at work; HARDWARE_FPGA stays shut.
    Fault initialize() {
        std::lock_guard swapping(swap_);
        if (status() != Status::uninitialized) return status() == Status::closed ? Fault::closed : Fault::none;
        return install(wanted_, Event::initialized);
    }
    void close() {
        std::lock_guard swapping(swap_);
        if (lifecycle_ == Status::closed) return;
        const Status before = status();
        lifecycle_ = Status::closed;
        publish(nullptr);
        note(before, Status::closed, Event::closed, Fault::none);
        block_.hide();
    }

    // Replaces mode, model and device together; the predicting thread sees either the old three or the new.
    Fault swap(Mode mode, ModelPtr model, DevicePtr device, Golden golden) {
        std::lock_guard swapping(swap_);
        Wanted next{mode, std::move(model), std::move(device), std::move(golden)};
        if (lifecycle_ != Status::ready) {
            if (lifecycle_ == Status::uninitialized) wanted_ = std::move(next);
            return lifecycle_ == Status::closed ? Fault::closed : Fault::none;
        }
        return install(next, Event::swapped);
    }

    Answer predict(const double features[16], Hold hold) noexcept {
        Answer answer;
        const std::uint64_t call = calls_entered_.load(std::memory_order_relaxed);
        if ((call & 1) != 0) [[unlikely]] {
            answer.fault = Fault::concurrent;
            return answer;
        }
        // Odd while inside. Pairs with membarrier in publish: the store cannot pass the load of active_ unseen.
        calls_entered_.store(call + 1, std::memory_order_release);
        std::atomic_signal_fence(std::memory_order_seq_cst);
        Setting* setting = active_.load(std::memory_order_acquire);
        if (setting != nullptr && setting->mode == Mode::software_stub) [[likely]]
            answer_in_software(*setting, features, hold, answer);
        else
            answer_otherwise(setting, features, hold, answer);
        calls_entered_.store(call + 2, std::memory_order_release);
        return answer;
    }

    Status status() const {
        std::lock_guard reading(control_);
        const Status lifecycle = lifecycle_;
        return lifecycle != Status::ready || !current_ ? lifecycle : current_->health->status();
    }
    Mode mode() const {
        std::lock_guard reading(control_);
        return current_ ? current_->mode : wanted_.mode;
    }
    Wanted wanted() {  // what a swap that changes one of the three starts from
        std::lock_guard swapping(swap_);
        return wanted_;
    }
    const BridgeBlock& block() const noexcept { return *block_; }
    const BridgeOptions& options() const noexcept { return options_; }
    std::int64_t sla_ns() const noexcept { return sla_ns_; }
    void reset_maximum() noexcept {
        for (Histogram* histogram : {&block_->device, &block_->roundtrip, &block_->both})
            histogram->max.store(0, std::memory_order_relaxed);
    }

   private:
    // Immutable while published, but for the health that the predicting thread keeps in it.
    struct Setting {
        Setting(Mode wanted_mode, ModelPtr wanted_model)
            : mode(wanted_mode), model_id(wanted_model->model_id()), run(wanted_model->call()),
              model(std::move(wanted_model)) {}
        const Mode mode;
        const std::uint32_t model_id;
        const SignalModel::Call run;
        Health* health = &own;
        const ModelPtr model;
        std::shared_ptr<DeviceSession> session;  // none in SOFTWARE_STUB
        Health own;
    };

    [[gnu::always_inline]] void begin(const Setting& setting, Answer& answer) noexcept {
        answer.sequence = ++sequence_;
        answer.model_id = setting.model_id;
        counters_->calls.store(sequence_, std::memory_order_relaxed);
    }

    [[gnu::always_inline]] void answer_in_software(Setting& setting, const double* features, Hold hold,
                                                   Answer& answer) noexcept {
        begin(setting, answer);
        const std::uint64_t from = clock_.start();
        const std::int64_t value = setting.run(features);
        if (value == refused) [[unlikely]] return refuse(answer);
        answer.signal = setting.run.to_signal(value);
        answer.source = Source::software;
        const std::int64_t kernel_ns = clock_.elapsed_ns(from, clock_.stop());
        Histogram::add(counters_->software, 1);
        if (kernel_ns < stub_ns_) return hold_back(setting, from, kernel_ns, hold, answer);
        answer.device_ns = hold == Hold::charge ? stub_ns_ : kernel_ns;
        counters_->both.record(static_cast<std::uint64_t>(kernel_ns));
        settle(setting, kernel_ns > software_sla_ns_, Fault::none);
    }
    // Faster than the stub: the rest of its latency passes, in real time or on the venue's clock.
    [[gnu::noinline]] void hold_back(Setting& setting, std::uint64_t from, std::int64_t kernel_ns, Hold hold,
                                     Answer& answer) noexcept {
        std::int64_t roundtrip_ns = kernel_ns;
        if (hold == Hold::spin) {
            std::uint64_t now = clock_.start();
            while (now - from < hold_ticks_) now = clock_.start();
            roundtrip_ns = clock_.to_ns(now - from);
        }
        answer.device_ns = stub_ns_;
        if (roundtrip_ns == stub_ns_) {
            counters_->both.record(static_cast<std::uint64_t>(stub_ns_));
        } else {
            counters_->device.record(static_cast<std::uint64_t>(stub_ns_));
            counters_->roundtrip.record(static_cast<std::uint64_t>(roundtrip_ns));
        }
        settle(setting, is_breach(stub_ns_, roundtrip_ns), Fault::none);
    }

    [[gnu::noinline]] void refuse(Answer& answer) noexcept {
        answer.fault = Fault::bad_features;
        count_fault(answer.fault);
    }

    // Not SOFTWARE_STUB: a card, or a bridge that is not open.
    [[gnu::noinline]] void answer_otherwise(Setting* setting, const double* features, Hold hold,
                                            Answer& answer) noexcept {
        if (setting == nullptr) {
            const bool closed = lifecycle_.load(std::memory_order_relaxed) == Status::closed;
            answer.fault = closed ? Fault::closed : Fault::uninitialized;
            return;
        }
        begin(*setting, answer);
        alignas(64) std::int16_t quantised[n_features];
        const std::uint64_t from = clock_.start();
        if (!setting->model->quantise(features, quantised)) [[unlikely]] return refuse(answer);
        answer_on_device(*setting, quantised, from, answer);
        if (hold == Hold::charge) answer.device_ns = stub_ns_;
    }

    void answer_on_device(Setting& setting, const std::int16_t* quantised, std::uint64_t from,
                          Answer& answer) noexcept {
        const Status before = setting.health->status();
        DeviceAnswer reply;
        reply.fault = Fault::left;
        if (before != Status::failed) [[likely]] {
            reply = setting.session->ask(quantised, answer.sequence, options_.deadline_ns);
            if (reply.fault == Fault::none && is_shadowed(answer.sequence)) check_shadow(setting, quantised, reply);
        }
        answer.fault = reply.fault;
        std::uint8_t entry = 0;
        if (reply.fault == Fault::none) [[likely]] {
            answer.signal = setting.run.to_signal(reply.value);
            answer.source = Source::hardware;
            answer.device_ns = reply.device_ns;
            Histogram::add(counters_->hardware, 1);
            counters_->device.record(static_cast<std::uint64_t>(reply.device_ns));
        } else {
            entry = reply.fault == Fault::left ? Window::fallback : (Window::failure | Window::fallback);
            count_fault(reply.fault);
            if (reply.fault != Fault::left) Histogram::add(counters_->failures, 1);
            if (setting.mode == Mode::hybrid_fallback) fall_back(setting, quantised, answer);
        }
        const std::int64_t roundtrip_ns = clock_.elapsed_ns(from, clock_.stop());
        if (answer.ok()) counters_->roundtrip.record(static_cast<std::uint64_t>(roundtrip_ns));
        if (entry == 0) entry = is_breach(reply.device_ns, roundtrip_ns);
        if (before != Status::failed) settle(setting, entry, reply.fault);
    }

    void fall_back(Setting& setting, const std::int16_t* quantised, Answer& answer) noexcept {
        const std::uint64_t from = clock_.start();
        answer.signal = setting.run.to_signal(setting.model->evaluate(quantised));
        answer.source = Source::fallback;
        answer.device_ns = clock_.elapsed_ns(from, clock_.stop());
        Histogram::add(counters_->fallbacks, 1);
    }

    bool is_shadowed(std::uint64_t sequence) const noexcept {
        if (options_.verify <= 1) return options_.verify == 1;
        std::uint64_t z = (sequence + options_.seed) * 0x9E3779B97F4A7C15ull;  // splitmix64
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
        return (z ^ (z >> 31)) % options_.verify == 0;
    }
    void check_shadow(Setting& setting, const std::int16_t* quantised, DeviceAnswer& reply) noexcept {
        Histogram::add(counters_->shadow_checks, 1);
        if (setting.model->evaluate(quantised) == reply.value) [[likely]] return;
        Histogram::add(counters_->mismatches, 1);
        reply.fault = Fault::mismatch;
    }

    std::uint8_t is_breach(std::int64_t device_ns, std::int64_t roundtrip_ns) const noexcept {
        static_assert(Window::breach == 1);
        return device_ns > sla_ns_ || roundtrip_ns > roundtrip_sla_ns_;
    }
    void count_fault(Fault fault) noexcept { Histogram::add(counters_->faults[static_cast<int>(fault)], 1); }

    // One call enters the window; the window may bring an event.
    [[gnu::always_inline]] void settle(Setting& setting, std::uint8_t entry, Fault fault) noexcept {
        Health& health = *setting.health;
        if (entry == 0 && setting.session) setting.session->count_good();
        if (health.window.pass(entry) && health.status() == Status::ready) [[likely]] return;
        judge(setting, entry, fault);
    }
    [[gnu::noinline]] void judge(Setting& setting, std::uint8_t entry, Fault fault) noexcept {
        Health& health = *setting.health;
        if (!health.window.record(entry) && health.status() == Status::ready) return;
        if (fault == Fault::mismatch) return step(health, Event::answer_mismatched, fault);
        if (fault == Fault::removed) return step(health, Event::device_removed, fault);
        if (setting.session && health.window.reached_failure_limit()) return step(health, Event::failure_limit, fault);
        step(health, health.window.is_breached() ? Event::window_breached : Event::window_clean, fault);
    }
    void step(Health& health, Event event, Fault fault) noexcept {
        const Status from = health.status(), to = next_status(from, event);
        if (from == to) return;
        note(from, to, event, fault);
        health.set(to);  // last: with FAILED the device passes to the prober
    }
    void note(Status from, Status to, Event event, Fault fault) noexcept {
        block_->status.store(static_cast<std::uint64_t>(to), std::memory_order_release);
        if (from != to) block_->push_change(from, to, event, fault);
    }

    // With swap_ held.
    Fault install(Wanted& next, Event event) {
        auto setting = std::make_shared<Setting>(next.mode, next.model);
        Fault found = Fault::none;
        const std::shared_ptr<Setting> old = current_;
        if (next.mode != Mode::software_stub) {
            const bool same_device = old && old->session && old->session->device() == next.device.get();
            if (same_device && old->model == next.model) {
                setting->session = old->session;  // its health goes on
            } else {
                if (same_device) release_device(next);
                setting->session = std::make_shared<DeviceSession>(
                    next.device, next.model, next.golden, options_.deadline_ns,
                    [this](Event e, Status from, Status to, Fault f) { note(from, to, e, f); },
                    [this] { block_->probes.fetch_add(1, std::memory_order_relaxed); });
                found = setting->session->check();
                if (found != Fault::none && next.mode == Mode::hardware_fpga) return found;
            }
            setting->health = &setting->session->health();
        }
        const Status before = status();
        if (!(old && old->session && old->session == setting->session)) {
            const Status base = event == Event::initialized ? Status::uninitialized : before;
            setting->health->set(next_status(base, found == Fault::none ? event : Event::device_dead));
            if (setting->session) setting->session->start_prober();
        }
        const Status after = setting->health->status();
        if (old && old->session && old->session != setting->session) old->session->stop_prober();
        wanted_ = next;
        lifecycle_ = Status::ready;
        publish(setting);
        block_->mode.store(static_cast<std::uint64_t>(next.mode), std::memory_order_relaxed);
        block_->model_id.store(next.model->model_id(), std::memory_order_relaxed);
        if (event == Event::swapped) block_->swaps.fetch_add(1, std::memory_order_relaxed);
        note(before, after, found == Fault::none ? event : Event::device_dead, found);
        return found;
    }
    // One device cannot serve the old model and be checked for the new one at once: software answers meanwhile.
    void release_device(const Wanted& next) {
        auto interim = std::make_shared<Setting>(Mode::software_stub, next.model);
        interim->own.set(Status::ready);
        publish(interim);
    }

    // The new setting is seen by the next call; the old one is freed when no call can be inside it.
    void publish(std::shared_ptr<Setting> next) {
        std::shared_ptr<Setting> old;
        {
            std::lock_guard changing(control_);
            active_.store(next.get(), std::memory_order_release);
            old = std::exchange(current_, std::move(next));
        }
        if (!old) return;
        if (::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) {
            retired_.push_back(std::move(old));  // no proof that nobody is inside: freed with the bridge
            return;
        }
        const std::uint64_t call = calls_entered_.load(std::memory_order_acquire);
        if ((call & 1) == 0) return;
        while (calls_entered_.load(std::memory_order_acquire) == call) std::this_thread::yield();
    }

    const BridgeOptions options_;
    BlockMemory block_;

    // What every call touches, side by side.
    alignas(64) std::atomic<Setting*> active_{nullptr};
    std::atomic<std::uint64_t> calls_entered_{0};
    std::uint64_t sequence_ = 0;
    BridgeBlock* const counters_ = &*block_;
    const Clock clock_ = Clock::get();
    const std::int64_t stub_ns_ = options_.stub_latency_ns;
    const std::int64_t sla_ns_ = options_.sla_ns > 0 ? options_.sla_ns : std::max<std::int64_t>(stub_ns_, 400);
    const std::int64_t roundtrip_sla_ns_ = options_.roundtrip_sla_ns > 0 ? options_.roundtrip_sla_ns : INT64_MAX;
    const std::int64_t software_sla_ns_ = std::min(sla_ns_, roundtrip_sla_ns_);  // where both paths are the same
    const std::uint64_t hold_ticks_ = clock_.to_ticks(stub_ns_);

    alignas(64) mutable std::mutex control_;  // current_
    std::mutex swap_;                         // one swap at a time; held while a device is checked
    Wanted wanted_;
    std::atomic<Status> lifecycle_{Status::uninitialized};
    std::shared_ptr<Setting> current_;
    std::vector<std::shared_ptr<Setting>> retired_;
};

}  // namespace calibrig

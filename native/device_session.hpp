// One device under one model: asking it, checking its answers, and probing it back to life off the hot path.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "clock.hpp"
#include "device.hpp"
#include "health.hpp"
#include "signal.hpp"

namespace calibrig {

// Status and window. The window belongs to the predicting thread; to the prober while the status is FAILED.
class Health {
   public:
    Window window;
    Status status() const noexcept { return status_.load(std::memory_order_acquire); }
    void set(Status status) noexcept { status_.store(status, std::memory_order_release); }

   private:
    std::atomic<Status> status_{Status::uninitialized};
};

// Integer inputs with the answers they must give.
struct Golden {
    std::vector<std::array<std::int16_t, n_features>> features;
    std::vector<std::int32_t> values;
};

struct DeviceAnswer {
    std::int32_t value = 0;
    std::int64_t device_ns = 0;
    Fault fault = Fault::none;
};

class DeviceSession {
   public:
    static constexpr int probes_to_return = 64;
    static constexpr std::int64_t first_backoff_ns = 1'000'000, last_backoff_ns = 1'000'000'000;
    static constexpr std::uint64_t good_calls_to_forgive = 1024;
    static constexpr std::uint64_t probe_bit = std::uint64_t{1} << 63;
    using Note = std::function<void(Event, Status, Status, Fault)>;

    DeviceSession(std::shared_ptr<Device> device, std::shared_ptr<const SignalModel> model, Golden golden,
                  std::int64_t deadline_ns, Note note, std::function<void()> count_probe)
        : device_(std::move(device)),
          model_(std::move(model)),
          golden_(std::move(golden)),
          deadline_ticks_(clock_.to_ticks(deadline_ns)),
          note_(std::move(note)),
          count_probe_(std::move(count_probe)) {}
    DeviceSession(const DeviceSession&) = delete;
    DeviceSession& operator=(const DeviceSession&) = delete;
    ~DeviceSession() { stop_prober(); }

    Health& health() noexcept { return health_; }
    const Device* device() const noexcept { return device_.get(); }

    // A call of the predicting thread.
    DeviceAnswer ask(const std::int16_t* quantised, std::uint64_t call, std::int64_t deadline_ns) noexcept {
        return exchange(quantised, on_the_wire(call), deadline_ns);
    }

    // What is on the wire is not the call's number but salt + number * golden ratio: an answer that carries another
    // call's number, off by a little or left over from another process, can then never pass for this call's. The top
    // bit tells probes from calls.
    std::uint64_t on_the_wire(std::uint64_t number, bool probe = false) const noexcept {
        return ((salt_ + number * 0x9E3779B97F4A7C15ull) & ~probe_bit) | (probe ? probe_bit : 0);
    }

    // One request, polled until a valid answer or the deadline. Answers to other requests and torn ones are not
    // taken; they may be followed by the right one, so the poll goes on.
    DeviceAnswer exchange(const std::int16_t* quantised, std::uint64_t sequence, std::int64_t deadline_ns) noexcept {
        DeviceAnswer answer;
        const RequestLine request = make_request(sequence, model_->model_id(), quantised);
        const std::uint64_t from = clock_.start();
        if (!device_->submit(request)) {
            answer.fault = Fault::removed;
            return answer;
        }
        ReplyLine reply;
        Fault seen = Fault::timeout;
        std::int64_t left_ns = deadline_ns;
        do {
            if (device_->poll(sequence, left_ns, reply) && reply.sequence != last_sequence_) {
                const Fault fault = check_reply(reply, sequence, model_->model_id(), model_->one());
                if (fault == Fault::none) {
                    last_sequence_ = sequence;
                    answer.value = reply.value;
                    answer.device_ns = to_device_ns(reply.cycles);
                    return answer;
                }
                seen = fault;
                if (fault != Fault::sequence && fault != Fault::crc) break;
            }
            left_ns = deadline_ns - clock_.to_ns(clock_.start() - from);
        } while (left_ns > 0);
        answer.fault = device_->present() ? seen : Fault::removed;
        return answer;
    }

    // Identity, then golden vectors: 64 good answers.
    Fault check() noexcept {
        const DeviceIdentity who = device_->identity();
        if (who.word != card_identity_word || who.abi_version != card_abi_version) return Fault::removed;
        if (who.model_id != model_->model_id()) return Fault::model;
        ns_per_cycle_ = who.clock_hz > 0 ? 1e9 / static_cast<double>(who.clock_hz) : 0.0;
        for (int good = 0; good < probes_to_return; ++good)
            if (const Fault fault = probe(good); fault != Fault::none) return fault;
        return Fault::none;
    }

    void start_prober() {
        if (!prober_.joinable()) prober_ = std::thread([this] { run_prober(); });
    }
    void stop_prober() {
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        wake_.notify_all();
        if (prober_.joinable()) prober_.join();
    }
    // Predicting thread: good answers since the last return decide whether the next failure is forgiven.
    void count_good() noexcept {
        good_calls_.store(good_calls_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }

   private:
    std::int64_t to_device_ns(std::uint32_t cycles) const noexcept {
        return static_cast<std::int64_t>(static_cast<double>(cycles) * ns_per_cycle_ + 0.999999);
    }
    Fault probe(int index) noexcept {
        count_probe_();
        const std::size_t at = static_cast<std::size_t>(index) % golden_.values.size();
        const DeviceAnswer answer =
            exchange(golden_.features[at].data(), on_the_wire(++probes_, true), clock_.to_ns(deadline_ticks_));
        if (answer.fault != Fault::none) return answer.fault;
        return answer.value == golden_.values[at] ? Fault::none : Fault::mismatch;
    }

    void run_prober() {
        std::int64_t backoff_ns = first_backoff_ns;
        bool relapse = false;
        std::unique_lock lock(mutex_);
        while (!stopping_) {
            wake_.wait_for(lock, std::chrono::nanoseconds(first_backoff_ns));
            if (stopping_ || health_.status() != Status::failed) continue;
            const bool forgiven = good_calls_.exchange(0, std::memory_order_relaxed) >= good_calls_to_forgive;
            backoff_ns = relapse && !forgiven ? std::min(2 * backoff_ns, last_backoff_ns) : first_backoff_ns;
            relapse = true;
            while (!stopping_) {
                wake_.wait_for(lock, std::chrono::nanoseconds(backoff_ns), [this] { return stopping_; });
                if (stopping_) return;
                lock.unlock();
                const bool good = check() == Fault::none;
                lock.lock();
                if (good) break;
                backoff_ns = std::min(2 * backoff_ns, last_backoff_ns);
            }
            if (stopping_) return;
            health_.window.clear();
            const Status to = next_status(Status::failed, Event::probes_passed);
            note_(Event::probes_passed, Status::failed, to, Fault::none);
            health_.set(to);  // last: the device passes back to the predicting thread
        }
    }

    const Clock& clock_ = Clock::get();
    std::shared_ptr<Device> device_;
    std::shared_ptr<const SignalModel> model_;
    Golden golden_;
    std::uint64_t deadline_ticks_;
    Note note_;
    std::function<void()> count_probe_;
    Health health_;
    double ns_per_cycle_ = 0.0;
    const std::uint64_t salt_ = static_cast<std::uint64_t>(utc_ns()) * 0xBF58476D1CE4E5B9ull;
    std::uint64_t last_sequence_ = 0, probes_ = 0;
    std::atomic<std::uint64_t> good_calls_{0};

    std::mutex mutex_;
    std::condition_variable wake_;
    bool stopping_ = false;
    std::thread prober_;
};

}  // namespace calibrig

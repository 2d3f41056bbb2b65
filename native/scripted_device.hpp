// A card that misbehaves on purpose: by a script, or at random from a seed. For tests and fault campaigns.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "clock.hpp"
#include "device.hpp"
#include "signal.hpp"

namespace calibrig {

enum class Misbehaviour : std::uint8_t {
    none,
    hang,             // no answer, ever
    slow,             // the right answer, after slow_ns
    late_cycles,      // the right answer at once, but it reports late_cycles in the device
    wrong_sequence,   // a valid line for another request
    stale,            // the line of the request before, again
    all_ones,
    all_zeros,
    bit_flip,         // one to three bits of the 28 that count, flipped
    torn,             // the beginning of the new line, the rest of the old one
    out_of_order,     // the answer to the request before first, then the right one
    duplicate,        // the right answer, twice; the second is still there for the next request
    wrong_model,      // a valid line of another model
    device_status,    // a valid line with an error of the device
    out_of_range,     // a valid line with a value outside [-1, 1]
    wrong_arithmetic, // a valid line with another value in range
    removed,          // gone for some requests, then back
};
inline constexpr int n_misbehaviours = 17;

class ScriptedDevice final : public Device {
   public:
    struct Options {
        std::uint64_t seed = 0;
        double rate = 0.0;                     // share of requests that misbehave, once the script is used up
        std::vector<Misbehaviour> kinds;       // drawn from evenly
        std::int64_t slow_ns = 10'000;
        std::uint32_t cycles = 5, late_cycles = 1'000'000, clock_hz = 160'000'000;
        int removed_for = 5;                   // requests
    };
    std::atomic<bool> dead{false};         // answers nothing at all
    std::atomic<bool> probes_fail{false};  // answers calls, but no probes
    std::atomic<std::uint64_t> injected[n_misbehaviours]{};

    ScriptedDevice(std::shared_ptr<const SignalModel> model, Options options)
        : model_(std::move(model)), options_(std::move(options)), state_(options_.seed * 2 + 1) {}

    void add_to_script(const std::vector<Misbehaviour>& kinds) {
        std::lock_guard lock(mutex_);
        script_.insert(script_.end(), kinds.begin(), kinds.end());
    }

    DeviceIdentity identity() noexcept override {
        if (dead.load(std::memory_order_relaxed)) return {};
        return {card_identity_word, card_abi_version, model_->model_id(), 1, options_.clock_hz};
    }
    bool present() noexcept override { return gone_ == 0; }

    bool submit(const RequestLine& request) noexcept override {
        const bool probe = (request.sequence >> 63) != 0;
        if (gone_ > 0) {
            --gone_;
            return false;
        }
        if (dead.load(std::memory_order_relaxed) || (probe && probes_fail.load(std::memory_order_relaxed)))
            return true;
        if (request.crc != crc32(&request, offsetof(RequestLine, crc))) return true;
        const Misbehaviour kind = probe ? Misbehaviour::none : choose();
        injected[static_cast<int>(kind)].fetch_add(1, std::memory_order_relaxed);
        if (kind == Misbehaviour::removed) {
            gone_ = options_.removed_for;
            return false;
        }
        queue_answers(kind, make_reply(request));
        return true;
    }

    bool poll(std::uint64_t, std::int64_t, ReplyLine& reply) noexcept override {
        if (first_ < last_ && clock_.start() >= queue_[first_ % capacity].ready_at) {
            line_ = queue_[first_++ % capacity].line;
            written_ = true;
        }
        if (written_) reply = line_;
        return written_;
    }

   private:
    struct Write {
        ReplyLine line;
        std::uint64_t ready_at;
    };
    static constexpr std::uint64_t capacity = 64;

    std::uint64_t draw() noexcept {  // splitmix64
        std::uint64_t z = state_ += 0x9E3779B97F4A7C15ull;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
        return z ^ (z >> 31);
    }
    Misbehaviour choose() noexcept {
        {
            std::lock_guard lock(mutex_);
            if (!script_.empty()) {
                const Misbehaviour kind = script_.front();
                script_.pop_front();
                return kind;
            }
        }
        if (options_.kinds.empty() || static_cast<double>(draw() >> 11) * 0x1p-53 >= options_.rate)
            return Misbehaviour::none;
        return options_.kinds[draw() % options_.kinds.size()];
    }
    ReplyLine make_reply(const RequestLine& request) noexcept {
        ReplyLine reply{};
        reply.sequence = request.sequence;
        reply.value = model_->evaluate(request.features);
        reply.cycles = options_.cycles;
        reply.model_id = model_->model_id();
        reply.crc = crc32(&reply, offsetof(ReplyLine, crc));
        return reply;
    }
    static void seal(ReplyLine& line) noexcept { line.crc = crc32(&line, offsetof(ReplyLine, crc)); }

    void queue_answers(Misbehaviour kind, const ReplyLine& right) noexcept {
        ReplyLine line = right;
        std::int64_t delay_ns = 0;
        switch (kind) {
            case Misbehaviour::hang: return remember(right);
            case Misbehaviour::slow: delay_ns = options_.slow_ns; break;
            case Misbehaviour::late_cycles: line.cycles = options_.late_cycles; seal(line); break;
            case Misbehaviour::wrong_sequence: line.sequence += 1 + draw() % 1000; seal(line); break;
            case Misbehaviour::stale: line = before_; break;
            case Misbehaviour::all_ones: std::memset(&line, 0xFF, sizeof line); break;
            case Misbehaviour::all_zeros: std::memset(&line, 0, sizeof line); break;
            case Misbehaviour::bit_flip: flip(line); break;
            case Misbehaviour::torn: {
                const std::size_t kept = 8 + 4 * (draw() % 5);
                std::memcpy(reinterpret_cast<char*>(&line) + kept, reinterpret_cast<const char*>(&before_) + kept,
                            sizeof line - kept);
                break;
            }
            case Misbehaviour::out_of_order: push(before_, 0); break;
            case Misbehaviour::duplicate: push(line, 0); break;
            case Misbehaviour::wrong_model: line.model_id ^= static_cast<std::uint32_t>(1 + draw() % 0xFFFFFFFE); seal(line); break;
            case Misbehaviour::device_status: line.status = static_cast<std::uint16_t>(1 + draw() % 0xFFFF); seal(line); break;
            case Misbehaviour::out_of_range: {
                const std::int64_t beyond = model_->one() + 1 + static_cast<std::int64_t>(draw() % 1'000'000);
                line.value = static_cast<std::int32_t>((draw() & 1) != 0 ? beyond : -beyond);
                seal(line);
                break;
            }
            case Misbehaviour::wrong_arithmetic: line.value += line.value > 0 ? -1 : 1; seal(line); break;
            default: break;
        }
        push(line, delay_ns);
        remember(right);
    }
    void flip(ReplyLine& line) noexcept {
        auto* bytes = reinterpret_cast<unsigned char*>(&line);
        const std::uint64_t first = draw() % 224, stride = 1 + draw() % 73, count = 1 + draw() % 3;
        for (std::uint64_t k = 0; k < count; ++k) {  // distinct: 2 * 73 < 224
            const std::uint64_t bit = (first + k * stride) % 224;
            bytes[bit / 8] = static_cast<unsigned char>(bytes[bit / 8] ^ (1u << (bit % 8)));
        }
    }
    void push(const ReplyLine& line, std::int64_t delay_ns) noexcept {
        if (last_ - first_ < capacity) queue_[last_++ % capacity] = {line, clock_.start() + clock_.to_ticks(delay_ns)};
    }
    void remember(const ReplyLine& right) noexcept { before_ = right; }

    const Clock& clock_ = Clock::get();
    std::shared_ptr<const SignalModel> model_;
    const Options options_;
    std::uint64_t state_;
    std::mutex mutex_;
    std::deque<Misbehaviour> script_;
    Write queue_[capacity]{};
    std::uint64_t first_ = 0, last_ = 0;
    ReplyLine line_{}, before_{};
    bool written_ = false;
    int gone_ = 0;
};

}  // namespace calibrig

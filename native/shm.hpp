// A card in shared memory: one request line, one reply line and the register window, between two processes.
#pragma once

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <system_error>

#include "clock.hpp"
#include "device.hpp"
#include "signal.hpp"

namespace calibrig {

// Offsets in the file: the card's BAR, then what a card with a bus would have elsewhere.
namespace card {
inline constexpr std::size_t identity = 0x100, abi_version = 0x104, model_id = 0x108, build_id = 0x10C,
                             counter = 0x110, clock_hz = 0x118, answers = 0x11C, errors = 0x120,
                             capabilities = 0x124;
inline constexpr std::size_t server_pid = 0x200, request = 0x400, reply = 0x800, size = 0x1000;
}  // namespace card

// The mapped file. Lines cross as eight 64-bit atomics, the sequence last, so a reader sees it with what precedes it.
class CardMemory {
   public:
    CardMemory(const std::string& path, bool create) : path_(path), created_(create) {
        const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0), 0600);
        if (file < 0) throw std::system_error(errno, std::generic_category(), path);
        struct statfs system{};
        if (::fstatfs(file, &system) == 0 && system.f_type == HUGETLBFS_MAGIC)
            bytes_ = static_cast<std::size_t>(system.f_bsize);
        struct stat is{};
        const bool sized = create ? ::ftruncate(file, static_cast<off_t>(bytes_)) == 0
                                  : ::fstat(file, &is) == 0 && static_cast<std::size_t>(is.st_size) >= card::size;
        void* at = sized ? ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0)
                         : MAP_FAILED;
        const int error = sized ? errno : create ? errno : EINVAL;
        ::close(file);
        if (at == MAP_FAILED) {
            if (create) ::unlink(path.c_str());
            throw std::system_error(error, std::generic_category(), path);
        }
        base_ = static_cast<unsigned char*>(at);
    }
    CardMemory(const CardMemory&) = delete;
    CardMemory& operator=(const CardMemory&) = delete;
    ~CardMemory() {
        ::munmap(base_, bytes_);
        if (created_) ::unlink(path_.c_str());
    }

    std::uint64_t load64(std::size_t offset, std::memory_order order = std::memory_order_relaxed) const noexcept {
        return std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(base_ + offset)).load(order);
    }
    void store64(std::size_t offset, std::uint64_t value,
                 std::memory_order order = std::memory_order_relaxed) noexcept {
        std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(base_ + offset)).store(value, order);
    }
    std::uint32_t load32(std::size_t offset) const noexcept {
        return std::atomic_ref<std::uint32_t>(*reinterpret_cast<std::uint32_t*>(base_ + offset))
            .load(std::memory_order_relaxed);
    }
    void store32(std::size_t offset, std::uint32_t value) noexcept {
        std::atomic_ref<std::uint32_t>(*reinterpret_cast<std::uint32_t*>(base_ + offset))
            .store(value, std::memory_order_relaxed);
    }
    template <int Words>
    void read_line(std::size_t offset, void* out) const noexcept {
        std::uint64_t words[Words];
        words[0] = load64(offset, std::memory_order_acquire);
        for (int w = 1; w < Words; ++w) words[w] = load64(offset + 8 * w, std::memory_order_acquire);
        std::memcpy(out, words, sizeof words);
    }
    template <int Words>
    void write_line(std::size_t offset, const void* in) noexcept {
        std::uint64_t words[Words];
        std::memcpy(words, in, sizeof words);
        for (int w = 1; w < Words; ++w) store64(offset + 8 * w, words[w]);
        store64(offset, words[0], std::memory_order_release);
    }

   private:
    std::string path_;
    bool created_;
    std::size_t bytes_ = card::size;
    unsigned char* base_ = nullptr;
};

// The host's side.
class SharedMemoryDevice final : public Device {
   public:
    explicit SharedMemoryDevice(const std::string& path) : memory_(path, false) {}

    DeviceIdentity identity() noexcept override {
        return {memory_.load32(card::identity), memory_.load32(card::abi_version), memory_.load32(card::model_id),
                memory_.load32(card::build_id), memory_.load32(card::clock_hz)};
    }
    bool submit(const RequestLine& request) noexcept override {
        counter_ = memory_.load64(card::counter);
        memory_.write_line<8>(card::request, &request);
        return true;
    }
    bool poll(std::uint64_t sequence, std::int64_t, ReplyLine& reply) noexcept override {
        if (memory_.load64(card::reply) != sequence && memory_.load64(card::reply) == seen_) return false;
        memory_.read_line<4>(card::reply, &reply);
        seen_ = reply.sequence;
        return true;
    }
    // Asked after a deadline only: the counter moved, or the serving process still exists.
    bool present() noexcept override {
        if (memory_.load32(card::identity) != card_identity_word) return false;
        if (memory_.load64(card::counter) != counter_) return true;
        const auto pid = static_cast<pid_t>(memory_.load64(card::server_pid));
        return pid > 0 && (::kill(pid, 0) == 0 || errno == EPERM);
    }
    std::uint32_t read32(std::size_t offset) const noexcept { return memory_.load32(offset); }
    void write32(std::size_t offset, std::uint32_t value) noexcept { memory_.store32(offset, value); }

   private:
    CardMemory memory_;
    std::uint64_t counter_ = 0, seen_ = 0;
};

// The card's side, in software: the same fixed point as the bridge, so it answers bit for bit like silicon would.
class SoftwareCard {
   public:
    SoftwareCard(const std::string& path, std::shared_ptr<const SignalModel> model, std::uint32_t clock_hz)
        : memory_(path, true), model_(std::move(model)) {
        memory_.store32(card::abi_version, card_abi_version);
        memory_.store32(card::model_id, model_->model_id());
        memory_.store32(card::clock_hz, clock_hz);
        memory_.store64(card::server_pid, static_cast<std::uint64_t>(::getpid()));
        memory_.store32(card::identity, card_identity_word);
        cycles_per_ns_ = static_cast<double>(clock_hz) * 1e-9;
    }
    // Serves until `stop`; with echo, answers without running the model (to measure the line alone).
    void serve(const std::atomic<bool>& stop, bool echo = false) noexcept {
        memory_.store64(card::server_pid, static_cast<std::uint64_t>(::getpid()));
        // A request may be waiting already: whatever has no answer yet is new.
        std::uint64_t last = memory_.load64(card::reply), idle = 0, turns = 0;
        while (!stop.load(std::memory_order_relaxed)) {
            if ((++turns & 0xFF) == 0) memory_.store64(card::counter, memory_.load64(card::counter) + 1);
            if (memory_.load64(card::request, std::memory_order_acquire) == last) {
                if (++idle > 20'000) ::sched_yield();
                continue;
            }
            idle = 0;
            RequestLine request;
            memory_.read_line<8>(card::request, &request);
            if (request.crc != crc32(&request, offsetof(RequestLine, crc))) {
                memory_.store32(card::errors, memory_.load32(card::errors) + 1);
                continue;  // still being written, or torn: never answered
            }
            last = request.sequence;
            answer(request, echo);
        }
        memory_.store32(card::identity, 0);
    }

   private:
    void answer(const RequestLine& request, bool echo) noexcept {
        const std::uint64_t from = clock_.start();
        ReplyLine reply{};
        reply.sequence = request.sequence;
        reply.value = echo ? 0 : model_->evaluate(request.features);
        reply.model_id = model_->model_id();
        reply.status = request.model_id == model_->model_id() ? 0 : 1;
        reply.cycles = static_cast<std::uint32_t>(static_cast<double>(clock_.to_ns(clock_.start() - from)) *
                                                  cycles_per_ns_) + 1;
        reply.crc = crc32(&reply, offsetof(ReplyLine, crc));
        memory_.write_line<4>(card::reply, &reply);
        memory_.store32(card::answers, memory_.load32(card::answers) + 1);
        memory_.store64(card::counter, memory_.load64(card::counter) + 1);
    }

    const Clock& clock_ = Clock::get();
    CardMemory memory_;
    std::shared_ptr<const SignalModel> model_;
    double cycles_per_ns_ = 0.0;
};

}  // namespace calibrig

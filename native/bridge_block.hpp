// What a running bridge shows: counters, histograms and status changes, in memory another process may map.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <system_error>

#include "clock.hpp"
#include "device.hpp"
#include "health.hpp"
#include "histogram.hpp"

namespace calibrig {

struct StatusChange {
    std::uint64_t index = 0;
    std::int64_t time_ns = 0;  // UTC
    Status from{}, to{};
    Event event{};
    Fault fault{};
};

struct BridgeBlock {
    static constexpr std::uint64_t magic_word = 0x32304742'42494C43ull;  // "CLIBBG02"
    static constexpr std::uint64_t ring_size = 256;

    std::atomic<std::uint64_t> magic, size, pid, started_ns;
    std::atomic<std::uint64_t> status, mode, model_id;
    std::atomic<std::uint64_t> calls, hardware, software, fallbacks, failures, shadow_checks, mismatches, swaps, probes;
    std::atomic<std::uint64_t> faults[16];
    std::atomic<std::uint64_t> changes;  // status changes ever
    struct Slot {
        std::atomic<std::uint64_t> index, time_ns, packed;
    } ring[ring_size];
    Histogram device, roundtrip;
    Histogram both;  // calls whose latency is the same on either path: recorded once

    HistogramCopy copy_device() const { return copy_with_both(device); }
    HistogramCopy copy_roundtrip() const { return copy_with_both(roundtrip); }

    // Any thread; lock-free. A reader sees a slot only when its index matches before and after.
    void push_change(Status from, Status to, Event event, Fault fault) noexcept {
        const std::uint64_t index = changes.fetch_add(1, std::memory_order_relaxed) + 1;
        Slot& slot = ring[index % ring_size];
        slot.index.store(0, std::memory_order_release);
        slot.time_ns.store(static_cast<std::uint64_t>(utc_ns()), std::memory_order_relaxed);
        slot.packed.store(static_cast<std::uint64_t>(from) | static_cast<std::uint64_t>(to) << 8 |
                              static_cast<std::uint64_t>(event) << 16 | static_cast<std::uint64_t>(fault) << 24,
                          std::memory_order_relaxed);
        slot.index.store(index, std::memory_order_release);
    }
    bool read_change(std::uint64_t index, StatusChange& out) const noexcept {
        const Slot& slot = ring[index % ring_size];
        if (slot.index.load(std::memory_order_acquire) != index) return false;
        const std::uint64_t time = slot.time_ns.load(std::memory_order_acquire);
        const std::uint64_t packed = slot.packed.load(std::memory_order_acquire);
        if (slot.index.load(std::memory_order_acquire) != index) return false;
        out = {index, static_cast<std::int64_t>(time), static_cast<Status>(packed & 0xFF),
               static_cast<Status>(packed >> 8 & 0xFF), static_cast<Event>(packed >> 16 & 0xFF),
               static_cast<Fault>(packed >> 24 & 0xFF)};
        return true;
    }

   private:
    HistogramCopy copy_with_both(const Histogram& path) const {
        HistogramCopy copy = HistogramCopy::of(path);
        copy.merge(HistogramCopy::of(both));
        return copy;
    }
};

// The block's memory: private, or a file (under /dev/shm) that `bridge status` reads; the file goes with the bridge.
class BlockMemory {
   public:
    explicit BlockMemory(const std::string& path) : path_(path) {
        int flags = MAP_PRIVATE | MAP_ANONYMOUS, file = -1;
        if (!path_.empty()) {
            file = ::open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
            if (file < 0 || ::ftruncate(file, sizeof(BridgeBlock)) != 0) fail(file);
            flags = MAP_SHARED;
        }
        void* at = ::mmap(nullptr, sizeof(BridgeBlock), PROT_READ | PROT_WRITE, flags, file, 0);
        if (at == MAP_FAILED) fail(file);
        if (file >= 0) ::close(file);
        block_ = new (at) BridgeBlock;  // fresh pages are zero; the atomics need no constructor to run
        block_->size.store(sizeof(BridgeBlock), std::memory_order_relaxed);
        block_->pid.store(static_cast<std::uint64_t>(::getpid()), std::memory_order_relaxed);
        block_->started_ns.store(static_cast<std::uint64_t>(utc_ns()), std::memory_order_relaxed);
        block_->magic.store(BridgeBlock::magic_word, std::memory_order_release);
    }
    BlockMemory(const BlockMemory&) = delete;
    BlockMemory& operator=(const BlockMemory&) = delete;
    ~BlockMemory() {
        ::munmap(block_, sizeof(BridgeBlock));
        hide();
    }
    // Takes the file away; the memory stays.
    void hide() noexcept {
        if (!path_.empty()) ::unlink(path_.c_str());
        path_.clear();
    }
    BridgeBlock& operator*() const noexcept { return *block_; }
    BridgeBlock* operator->() const noexcept { return block_; }

   private:
    [[noreturn]] void fail(int file) const {
        const int error = errno;
        if (file >= 0) {
            ::close(file);
            ::unlink(path_.c_str());
        }
        throw std::system_error(error, std::generic_category(), path_);
    }
    std::string path_;
    BridgeBlock* block_ = nullptr;
};

// Another process's view of a block: read-only.
class BlockView {
   public:
    explicit BlockView(const std::string& path) {
        const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (file < 0) throw std::system_error(errno, std::generic_category(), path);
        struct stat is{};
        const bool sized = ::fstat(file, &is) == 0 && static_cast<std::size_t>(is.st_size) == sizeof(BridgeBlock);
        void* at = sized ? ::mmap(nullptr, sizeof(BridgeBlock), PROT_READ, MAP_SHARED, file, 0) : MAP_FAILED;
        ::close(file);
        if (at == MAP_FAILED) throw std::system_error(EINVAL, std::generic_category(), path);
        block_ = static_cast<const BridgeBlock*>(at);
        if (block_->magic.load(std::memory_order_acquire) != BridgeBlock::magic_word) {
            ::munmap(at, sizeof(BridgeBlock));
            throw std::system_error(EINVAL, std::generic_category(), path);
        }
    }
    BlockView(const BlockView&) = delete;
    BlockView& operator=(const BlockView&) = delete;
    ~BlockView() { ::munmap(const_cast<BridgeBlock*>(block_), sizeof(BridgeBlock)); }
    const BridgeBlock& operator*() const noexcept { return *block_; }

   private:
    const BridgeBlock* block_ = nullptr;
};

}  // namespace calibrig

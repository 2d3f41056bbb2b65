// How long new parameters take to be in force: from a version's stamp, and from being handed over, to the first cycle
// that used them. Written by the loop when it takes a set over, read by any thread or process.
#pragma once

#include "clock.hpp"
#include "histogram.hpp"
#include "mapped_file.hpp"

namespace calibrig {

struct ApplyBlock {
    static constexpr std::uint64_t magic_word = 0x3130594C50504143ull;  // "CAPPLY01"

    std::atomic<std::uint64_t> magic, size, pid, started_ns;
    std::atomic<std::uint64_t> symbol[26];  // 200 bytes and a zero
    std::atomic<std::uint64_t> applied;     // sets ever taken over
    std::atomic<std::uint64_t> versions[4]; // hawkes, quoting, risk, signal in force; 0 = none
    std::atomic<std::uint64_t> applied_ns;  // UTC: when
    Histogram from_stamp, from_handover;
};

class ApplyMemory {
   public:
    explicit ApplyMemory(const std::string& path, std::string_view symbol = "")
        : file_(path.empty() ? MappedFile::anonymous(bytes()) : MappedFile::create(path, bytes(), 0640)) {
        ApplyBlock& block = *::new (file_.data()) ApplyBlock;
        block.size.store(bytes(), std::memory_order_relaxed);
        block.pid.store(static_cast<std::uint64_t>(::getpid()), std::memory_order_relaxed);
        block.started_ns.store(static_cast<std::uint64_t>(utc_ns()), std::memory_order_relaxed);
        for (std::size_t at = 0; at < symbol.size() && at < 200; at += 8) {
            std::uint64_t word = 0;
            std::memcpy(&word, symbol.data() + at, symbol.size() - at < 8 ? symbol.size() - at : 8);
            block.symbol[at / 8].store(word, std::memory_order_relaxed);
        }
        block.magic.store(ApplyBlock::magic_word, std::memory_order_release);
        if (!path.empty()) file_.show();
    }
    ~ApplyMemory() { file_.hide(); }
    ApplyMemory(const ApplyMemory&) = delete;
    ApplyMemory& operator=(const ApplyMemory&) = delete;

    // From the loop, when it has taken a set over (`now`, UTC). A stamp or handover of 0 is not known and not counted.
    void record(const std::int64_t* versions, std::int64_t now, std::int64_t stamp_ns, std::int64_t handed_ns) noexcept {
        ApplyBlock& block = **this;
        for (int kind = 0; kind < 4; ++kind)
            block.versions[kind].store(static_cast<std::uint64_t>(versions[kind]), std::memory_order_relaxed);
        block.applied_ns.store(static_cast<std::uint64_t>(now), std::memory_order_relaxed);
        if (stamp_ns > 0) block.from_stamp.record(now - stamp_ns);
        if (handed_ns > 0) block.from_handover.record(now - handed_ns);
        Histogram::add(block.applied, 1);
    }
    ApplyBlock& operator*() const noexcept { return *reinterpret_cast<ApplyBlock*>(file_.data()); }

   private:
    static constexpr std::size_t bytes() noexcept { return (sizeof(ApplyBlock) + 4095) / 4096 * 4096; }
    MappedFile file_;
};

class ApplyView {
   public:
    explicit ApplyView(const std::string& path) : file_(MappedFile::open(path)) {
        if (file_.size() < sizeof(ApplyBlock) || (**this).magic.load(std::memory_order_acquire) != ApplyBlock::magic_word)
            throw std::system_error(EINVAL, std::generic_category(), path);
    }
    const ApplyBlock& operator*() const noexcept { return *reinterpret_cast<const ApplyBlock*>(file_.data()); }

   private:
    MappedFile file_;
};

}  // namespace calibrig

// The store as a read-only native block: one consistent set of parameters per symbol, in memory that a trading loop of
// this or another process maps. One writer; readers take no lock, and are never held up by a writer that stopped half-way.
//
// A symbol has four buffers in a ring. The writer fills the next one and then says which is newest, so a reader copies
// a buffer nobody writes to, and looks at its number again afterwards. All words cross as atomics.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <climits>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string_view>
#include <type_traits>
#include <vector>

#include "clock.hpp"
#include "mapped_file.hpp"

namespace calibrig {

enum class StoreKind : int { hawkes = 0, quoting = 1, risk = 2, signal = 3 };
inline constexpr int store_kinds = 4;

struct VersionNumbers {
    std::uint64_t version_id = 0;      // 0: there is no such record
    std::int64_t updated_at = 0;       // ns since 1970 UTC
    std::int64_t calibrated_at = -1;   // the same; below 0: never calibrated, or by a wrong clock
    std::int64_t known_ns = 0;         // monotonic time at which the writer learnt of the version
    char origin[16]{}, verdict[24]{}, updated_by[64]{}, comment[256]{};  // cut to fit, always ended by a zero

    void end_texts() noexcept {
        origin[sizeof origin - 1] = verdict[sizeof verdict - 1] = 0;
        updated_by[sizeof updated_by - 1] = comment[sizeof comment - 1] = 0;
    }
};

// The fixed part of a symbol's set. Where a figure is not known it is NaN, a count -1.
struct SetNumbers {
    std::uint64_t publication = 0;  // 1, 2, 3 .. of this symbol in this block
    std::int64_t published_ns = 0;  // ns since 1970 UTC: when it was put here
    std::int64_t known_ns = 0;      // monotonic: the same
    VersionNumbers versions[store_kinds]{};
    // hawkes
    double alpha_self = 0, alpha_cross = 0, beta = 0, hawkes_gamma = 0, lambda_base = 0, asymmetry = 0;
    double calibration_r_squared = 0;
    std::int64_t calibration_samples = -1;
    // quoting
    double gamma = 0, sigma = 0, kappa = 0, time_horizon_seconds = 0, arrival_rate = 0, reference_price = 0;
    double tick_size = 0, lot_size = 0, seconds_per_year = 0, order_size = 0, backtest_sharpe = 0, backtest_pnl = 0;
    std::int64_t touch_only = 0;
    // risk
    std::int64_t max_position = 0;
    double thresholds[3]{}, multipliers[4]{};
    double volatility_half_life_s = 0, volatility_sample_s = 0, hysteresis = 0, hysteresis_s = 0, halt_s = 0;
    // signal
    std::int64_t model_kind = 0, feature_bits = 0, fraction_bits = 0, activation_bits = 0, tree_depth = 0;
    std::int64_t bias = 0, model_id = 0;
    double skill_r_squared = 0, horizon_s = 0;
    // what follows this part: doubles of the Hawkes profile and of the volatility medians, integers of the model
    std::uint64_t profile_bins = 0, median_bins = 0, model_words = 0;

    [[nodiscard]] const VersionNumbers& version(StoreKind kind) const noexcept {
        return versions[static_cast<int>(kind)];
    }
    [[nodiscard]] bool has(StoreKind kind) const noexcept { return version(kind).version_id != 0; }
};
static_assert(std::is_trivially_copyable_v<SetNumbers> && sizeof(SetNumbers) % 8 == 0);

struct StoreBlock {
    static constexpr std::uint64_t magic_word = 0x3130424F54534C43ull;  // "CLSTOB01"
    static constexpr std::uint64_t layout = 1;
    static constexpr std::size_t header_bytes = 4096, ring = 4, symbol_bytes = 808;
    static constexpr std::size_t fixed_words = sizeof(SetNumbers) / 8;
    static constexpr std::size_t max_bins = 1440, max_model_words = 6144;
    static constexpr std::size_t max_words = fixed_words + 2 * max_bins + max_model_words;
    static constexpr std::uint64_t damaged = 1, ended = 2;

    struct Header {
        std::atomic<std::uint64_t> magic, size, layout_number, slot_bytes, capacity, pid, started_ns, stale_after_ns;
        std::atomic<std::uint64_t> store_id[4];  // 32 characters
        std::atomic<std::uint64_t> wall_ns, steady_ns;  // of one moment: a stepped clock makes nothing young
        alignas(64) std::atomic<std::uint64_t> contact_ns;  // monotonic: when the backend last answered
        std::atomic<std::uint64_t> flags;
        alignas(64) std::atomic<std::uint32_t> publications;  // of any symbol; a futex
        std::atomic<std::uint32_t> symbols;
    };
    struct Buffer {
        alignas(64) std::atomic<std::uint64_t> number;  // 2 n while publication n is whole, odd while it is written
        std::atomic<std::uint64_t> words[max_words];
    };
    struct Slot {
        alignas(64) std::atomic<std::uint64_t> newest;  // number of the newest whole publication
        std::atomic<std::uint64_t> symbol[symbol_bytes / 8];
        Buffer buffers[ring];
    };
    static_assert(sizeof(Header) <= header_bytes && std::atomic<std::uint64_t>::is_always_lock_free);

    static std::size_t bytes(std::size_t capacity) noexcept { return header_bytes + capacity * sizeof(Slot); }
    static Header* header(unsigned char* base) noexcept { return reinterpret_cast<Header*>(base); }
    static Slot* slots(unsigned char* base) noexcept { return reinterpret_cast<Slot*>(base + header_bytes); }
};

namespace detail {

inline void put_text(std::atomic<std::uint64_t>* words, std::size_t bytes, std::string_view text) noexcept {
    for (std::size_t at = 0; at < bytes; at += 8) {
        std::uint64_t word = 0;
        if (at < text.size()) std::memcpy(&word, text.data() + at, text.size() - at < 8 ? text.size() - at : 8);
        words[at / 8].store(word, std::memory_order_relaxed);
    }
}
inline std::string get_text(const std::atomic<std::uint64_t>* words, std::size_t bytes) {
    std::string text(bytes, '\0');
    for (std::size_t at = 0; at < bytes; at += 8) {
        const std::uint64_t word = words[at / 8].load(std::memory_order_relaxed);
        std::memcpy(text.data() + at, &word, 8);
    }
    return text.substr(0, text.find('\0'));
}

}  // namespace detail

// The writing side: the process that holds the store. Calls come one at a time.
class StoreBlockWriter {
   public:
    // An empty path keeps the block in this process.
    StoreBlockWriter(const std::string& path, std::size_t capacity, std::string_view store_id,
                     std::int64_t stale_after_ns, mode_t mode = 0600)
        : capacity_(capacity),
          file_(path.empty() ? MappedFile::anonymous(StoreBlock::bytes(capacity))
                             : MappedFile::create(path, StoreBlock::bytes(capacity), mode)) {
        StoreBlock::Header& head = *::new (file_.data()) StoreBlock::Header;  // fresh pages are zero
        head.size.store(file_.size(), std::memory_order_relaxed);
        head.layout_number.store(StoreBlock::layout, std::memory_order_relaxed);
        head.slot_bytes.store(sizeof(StoreBlock::Slot), std::memory_order_relaxed);
        head.capacity.store(capacity, std::memory_order_relaxed);
        head.pid.store(static_cast<std::uint64_t>(::getpid()), std::memory_order_relaxed);
        head.started_ns.store(static_cast<std::uint64_t>(utc_ns()), std::memory_order_relaxed);
        head.stale_after_ns.store(static_cast<std::uint64_t>(stale_after_ns), std::memory_order_relaxed);
        head.wall_ns.store(static_cast<std::uint64_t>(utc_ns()), std::memory_order_relaxed);
        head.steady_ns.store(static_cast<std::uint64_t>(monotonic_ns()), std::memory_order_relaxed);
        detail::put_text(head.store_id, 32, store_id);
        head.magic.store(StoreBlock::magic_word, std::memory_order_release);
    }
    StoreBlockWriter(const StoreBlockWriter&) = delete;
    StoreBlockWriter& operator=(const StoreBlockWriter&) = delete;
    ~StoreBlockWriter() { end(); }

    // Lets other processes see the file, once the first sets are in it.
    void show() {
        if (!file_.path().empty()) file_.show();
    }
    // The symbol's slot, made where it has none; -1 where all are taken.
    int slot_of(const std::string& symbol) {
        StoreBlock::Header& head = header();
        const std::uint32_t used = head.symbols.load(std::memory_order_relaxed);
        for (std::uint32_t i = 0; i < used; ++i)
            if (detail::get_text(slot(i).symbol, StoreBlock::symbol_bytes) == symbol) return static_cast<int>(i);
        if (used == capacity_ || symbol.size() >= StoreBlock::symbol_bytes) return -1;
        detail::put_text(slot(used).symbol, StoreBlock::symbol_bytes, symbol);
        head.symbols.store(used + 1, std::memory_order_release);
        return static_cast<int>(used);
    }
    // False where the tail is too long for a buffer: the set before stays the newest.
    bool publish(int at, SetNumbers numbers, std::span<const double> profile, std::span<const double> medians,
                 std::span<const std::int64_t> model) noexcept {
        if (profile.size() > StoreBlock::max_bins || medians.size() > StoreBlock::max_bins ||
            model.size() > StoreBlock::max_model_words)
            return false;
        StoreBlock::Slot& to = slot(static_cast<std::size_t>(at));
        const std::uint64_t next = to.newest.load(std::memory_order_relaxed) + 1;
        numbers.publication = next;
        numbers.published_ns = utc_ns();
        numbers.known_ns = monotonic_ns();
        numbers.profile_bins = profile.size();
        numbers.median_bins = medians.size();
        numbers.model_words = model.size();
        StoreBlock::Buffer& buffer = to.buffers[next % StoreBlock::ring];
        buffer.number.store(2 * next - 1, std::memory_order_relaxed);
        std::atomic<std::uint64_t>* word = buffer.words;
        put(word, &numbers, StoreBlock::fixed_words);
        put(word, profile.data(), profile.size());
        put(word, medians.data(), medians.size());
        put(word, model.data(), model.size());
        buffer.number.store(2 * next, std::memory_order_release);
        to.newest.store(next, std::memory_order_release);
        header().publications.fetch_add(1, std::memory_order_release);
        ::syscall(SYS_futex, &header().publications, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
        return true;
    }
    // The backend has answered at that monotonic time, and whether what it answers is damaged.
    void beat(std::int64_t contact_ns, bool is_damaged) noexcept {
        header().flags.store(is_damaged ? StoreBlock::damaged : 0, std::memory_order_relaxed);
        header().contact_ns.store(static_cast<std::uint64_t>(contact_ns), std::memory_order_release);
    }
    // Readers are told that nothing comes any more; the file goes.
    void end() noexcept {
        header().flags.store(StoreBlock::ended, std::memory_order_release);
        file_.hide();
    }
    [[nodiscard]] const MappedFile& file() const noexcept { return file_; }

   private:
    StoreBlock::Header& header() const noexcept { return *StoreBlock::header(file_.data()); }
    StoreBlock::Slot& slot(std::size_t at) const noexcept { return StoreBlock::slots(file_.data())[at]; }
    // Release: a reader that sees any of these words also sees the odd number before them.
    static void put(std::atomic<std::uint64_t>*& to, const void* from, std::size_t words) noexcept {
        const auto* bytes = static_cast<const unsigned char*>(from);
        for (std::size_t i = 0; i < words; ++i, ++to) {
            std::uint64_t word;
            std::memcpy(&word, bytes + 8 * i, 8);
            to->store(word, std::memory_order_release);
        }
    }

    std::size_t capacity_;
    MappedFile file_;
};

// A reader's own copy of a symbol's set. Allocates when it is made, never again.
class SetCopy {
   public:
    SetCopy() : words_(StoreBlock::max_words - StoreBlock::fixed_words), spare_(words_.size()) {}

    const SetNumbers& numbers() const noexcept { return numbers_; }
    const SetNumbers* operator->() const noexcept { return &numbers_; }
    std::span<const double> profile() const noexcept { return {doubles(0), numbers_.profile_bins}; }
    std::span<const double> medians() const noexcept { return {doubles(numbers_.profile_bins), numbers_.median_bins}; }
    std::span<const std::int64_t> model() const noexcept {
        return {reinterpret_cast<const std::int64_t*>(words_.data()) + numbers_.profile_bins + numbers_.median_bins,
                numbers_.model_words};
    }

   private:
    friend class StoreBlockView;
    const double* doubles(std::uint64_t from) const noexcept {
        return reinterpret_cast<const double*>(words_.data()) + from;
    }
    SetNumbers numbers_{};
    std::vector<std::uint64_t> words_, spare_;  // the tail, and where the next one is copied to
};

// Another process's (or thread's) view. Read-only.
class StoreBlockView {
   public:
    explicit StoreBlockView(const std::string& path) : file_(MappedFile::open(path)) { attach(file_.data(), path); }
    // The block of this process.
    explicit StoreBlockView(const StoreBlockWriter& writer) { attach(writer.file().data(), "this process"); }

    [[nodiscard]] int slot_of(std::string_view symbol) const {
        const std::uint32_t used = header().symbols.load(std::memory_order_acquire);
        for (std::uint32_t i = 0; i < used && i < capacity_; ++i)
            if (detail::get_text(slot(i).symbol, StoreBlock::symbol_bytes) == symbol) return static_cast<int>(i);
        return -1;
    }
    [[nodiscard]] std::vector<std::string> symbols() const {
        std::vector<std::string> names;
        const std::uint32_t used = header().symbols.load(std::memory_order_acquire);
        for (std::uint32_t i = 0; i < used && i < capacity_; ++i)
            names.push_back(detail::get_text(slot(i).symbol, StoreBlock::symbol_bytes));
        return names;
    }
    // Number of the newest set of a slot; 0 before the first. One load: cheap enough for every cycle.
    [[nodiscard]] std::uint64_t newest(int at) const noexcept {
        return slot(static_cast<std::size_t>(at)).newest.load(std::memory_order_acquire);
    }
    // Copies the newest set. False where there is none, or where the writer came round while it was copied, three times
    // running: `out` is then as it was, ask again at the next cycle.
    bool read(int at, SetCopy& out) const noexcept {
        const StoreBlock::Slot& from = slot(static_cast<std::size_t>(at));
        for (int attempt = 0; attempt < 3; ++attempt) {
            const std::uint64_t wanted = from.newest.load(std::memory_order_acquire);
            if (wanted == 0) return false;
            const StoreBlock::Buffer& buffer = from.buffers[wanted % StoreBlock::ring];
            if (buffer.number.load(std::memory_order_acquire) != 2 * wanted) continue;
            SetNumbers numbers;
            get(buffer.words, &numbers, StoreBlock::fixed_words);
            if (numbers.profile_bins > StoreBlock::max_bins || numbers.median_bins > StoreBlock::max_bins ||
                numbers.model_words > StoreBlock::max_model_words)
                continue;  // torn, or a damaged file
            get(buffer.words + StoreBlock::fixed_words, out.spare_.data(),
                numbers.profile_bins + numbers.median_bins + numbers.model_words);
            if (buffer.number.load(std::memory_order_relaxed) != 2 * wanted) continue;
            for (VersionNumbers& version : numbers.versions) version.end_texts();
            out.numbers_ = numbers;
            out.words_.swap(out.spare_);
            return true;
        }
        return false;
    }

    [[nodiscard]] std::int64_t contact_age_ns(std::int64_t now_ns) const noexcept {
        const std::int64_t age = now_ns - static_cast<std::int64_t>(header().contact_ns.load(std::memory_order_acquire));
        return age > 0 ? age : 0;
    }
    // Fails closed: no contact for too long, damage, a writer that ended or died. `now_ns` is monotonic.
    [[nodiscard]] bool stale(std::int64_t now_ns) const noexcept {
        return flagged() || contact_age_ns(now_ns) > stale_after_ns_;
    }
    // What the writer says of itself: damage, or its end. One load.
    [[nodiscard]] bool flagged() const noexcept { return header().flags.load(std::memory_order_relaxed) != 0; }
    // Age of a kind's calibration, s; infinite where it has none. At least the time for which it has been known.
    [[nodiscard]] double calibration_age_s(const VersionNumbers& version, std::int64_t wall_ns,
                                           std::int64_t now_ns) const noexcept {
        constexpr std::int64_t tolerance_ns = 60'000'000'000;  // further in the future: a wrong clock
        if (version.calibrated_at < 0 || version.calibrated_at > wall_ns + tolerance_ns)
            return std::numeric_limits<double>::infinity();
        const std::int64_t passed = now_ns - static_cast<std::int64_t>(header().steady_ns.load(std::memory_order_relaxed));
        const std::int64_t latest = static_cast<std::int64_t>(header().wall_ns.load(std::memory_order_relaxed)) + passed;
        std::int64_t age = (wall_ns > latest ? wall_ns : latest) - version.calibrated_at;
        if (now_ns - version.known_ns > age) age = now_ns - version.known_ns;
        return age > 0 ? static_cast<double>(age) * 1e-9 : 0.0;
    }
    // Sleeps until something is published after `seen`, or the time has passed; the number of publications now.
    std::uint32_t wait(std::uint32_t seen, std::int64_t timeout_ns) const noexcept {
        const std::uint32_t now = publications();
        if (now != seen || timeout_ns <= 0) return now;
        const timespec limit{timeout_ns / 1'000'000'000, timeout_ns % 1'000'000'000};
        ::syscall(SYS_futex, &header().publications, FUTEX_WAIT, seen, &limit, nullptr, 0);
        return publications();
    }
    [[nodiscard]] std::uint32_t publications() const noexcept {
        return header().publications.load(std::memory_order_acquire);
    }
    [[nodiscard]] std::uint64_t pid() const noexcept { return header().pid.load(std::memory_order_relaxed); }
    [[nodiscard]] std::string store_id() const { return detail::get_text(header().store_id, 32); }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
    // Whether a later writer has put another block in this one's place.
    [[nodiscard]] bool replaced() const noexcept { return !file_.path().empty() && file_.replaced(); }

   private:
    void attach(unsigned char* base, const std::string& path) {
        if (base == nullptr) throw std::invalid_argument(path + " is not mapped");
        base_ = base;
        const StoreBlock::Header& head = header();
        const std::size_t size = file_.data() != nullptr ? file_.size() : head.size.load(std::memory_order_relaxed);
        if (head.magic.load(std::memory_order_acquire) != StoreBlock::magic_word)
            throw std::invalid_argument(path + " is no block of a store");
        capacity_ = head.capacity.load(std::memory_order_relaxed);
        if (head.layout_number.load(std::memory_order_relaxed) != StoreBlock::layout ||
            head.slot_bytes.load(std::memory_order_relaxed) != sizeof(StoreBlock::Slot) ||
            head.size.load(std::memory_order_relaxed) != size || capacity_ > size / sizeof(StoreBlock::Slot) ||
            StoreBlock::bytes(capacity_) != size)
            throw std::invalid_argument(path + " was written by another version of calibrig; use the same on both sides");
        stale_after_ns_ = static_cast<std::int64_t>(head.stale_after_ns.load(std::memory_order_relaxed));
    }
    const StoreBlock::Header& header() const noexcept { return *StoreBlock::header(base_); }
    const StoreBlock::Slot& slot(std::size_t at) const noexcept { return StoreBlock::slots(base_)[at]; }
    // Acquire: none of these loads moves behind the second look at the buffer's number.
    static void get(const std::atomic<std::uint64_t>* from, void* to, std::size_t words) noexcept {
        auto* bytes = static_cast<unsigned char*>(to);
        for (std::size_t i = 0; i < words; ++i) {
            const std::uint64_t word = from[i].load(std::memory_order_acquire);
            std::memcpy(bytes + 8 * i, &word, 8);
        }
    }

    MappedFile file_;
    unsigned char* base_ = nullptr;
    std::size_t capacity_ = 0;
    std::int64_t stale_after_ns_ = 0;
};

// Asked at every cycle of one loop. Reads the cycle counter, and the clock (three times dearer) once a millisecond.
class StaleCheck {
   public:
    bool operator()(const StoreBlockView& view) noexcept {
        const std::uint64_t now = clock_.start();
        if (&view == view_ && !stale_ && now - looked_ < millisecond_) [[likely]] return view.flagged();
        view_ = &view;
        looked_ = now;
        return stale_ = view.stale(monotonic_ns());
    }

   private:
    const Clock& clock_ = Clock::get();
    const std::uint64_t millisecond_ = clock_.to_ticks(1'000'000);
    const StoreBlockView* view_ = nullptr;
    std::uint64_t looked_ = 0;
    bool stale_ = true;
};

}  // namespace calibrig

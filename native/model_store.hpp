// The store as a C++ strategy reads it: the source document's names, over the native block (store_block.hpp).
//
// A Python process holds the store and shares it: `calibrig store share`, or `ModelStore.share(path)`. What is read here
// is one consistent set per symbol, with its age; writing stays with the store.
#pragma once

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "apply_block.hpp"
#include "flow.hpp"
#include "quoting.hpp"
#include "regime.hpp"
#include "signal.hpp"
#include "store_block.hpp"

namespace calibrig {

struct ParameterVersion {
    std::uint64_t version_id = 0;
    std::int64_t updated_at = 0;  // ns since 1970 UTC
    std::string updated_by, comment, origin, verdict;  // cut at 63, 255, 15 and 23 bytes
};

// Units as in docs/store.md. A quality figure that is not known is NaN, a count -1.
struct HawkesParameters {
    double alpha_self, alpha_cross, beta, gamma, lambda_base, asymmetry;
    std::vector<double> profile;
    double calibration_r_squared;
    std::int64_t calibration_samples;
    ParameterVersion version;
};

struct AvellanedaStoikovParameters {
    double gamma, sigma, kappa, time_horizon_seconds, arrival_rate, reference_price, tick_size, lot_size;
    double seconds_per_year, order_size;
    bool touch_only;
    double backtest_sharpe, backtest_pnl;
    ParameterVersion version;

    // Price units per sqrt second.
    [[nodiscard]] double sigma_abs() const noexcept { return reference_price * sigma / std::sqrt(seconds_per_year); }
};

struct RiskParameters {
    std::int64_t max_position;
    double normal_volatility_threshold, elevated_volatility_threshold, high_stress_volatility_threshold;
    double normal_multiplier, elevated_multiplier, high_stress_multiplier, halted_multiplier;
    double volatility_half_life_s, volatility_sample_s;
    std::vector<double> volatility_medians;
    double hysteresis, hysteresis_s, halt_s;
    ParameterVersion version;
};

struct SignalParameters {
    SignalSpec spec;  // what SignalModel and HardwareInTheLoopBridge are made from
    double skill_r_squared, horizon_s;
    ParameterVersion version;
};

struct CalibrationQuality {
    std::string symbol;
    double hawkes_r_squared, as_sharpe, signal_r_squared, age_s;
};

namespace detail {

inline ParameterVersion to_version(const VersionNumbers& from) {
    return {from.version_id, from.updated_at, from.updated_by, from.comment, from.origin, from.verdict};
}

// The numbers of a model in the order of the block's tail; the writer's half is append_model.
class ModelWords {
   public:
    explicit ModelWords(std::span<const std::int64_t> words) : words_(words) {}
    template <class T>
    T one() {
        if (at_ == words_.size()) throw std::invalid_argument("the block holds an incomplete signal model");
        if constexpr (std::is_floating_point_v<T>) {
            T value;
            std::memcpy(&value, &words_[at_++], sizeof value);
            return value;
        } else {
            return static_cast<T>(words_[at_++]);
        }
    }
    template <class T>
    std::vector<T> many() {
        const auto n = one<std::uint64_t>();
        if (n > words_.size() - at_) throw std::invalid_argument("the block holds an incomplete signal model");
        std::vector<T> values;
        for (std::uint64_t i = 0; i < n; ++i) values.push_back(one<T>());
        return values;
    }

   private:
    std::span<const std::int64_t> words_;
    std::size_t at_ = 0;
};

template <class T>
void append_words(std::vector<std::int64_t>& to, const std::vector<T>& values) {
    to.push_back(static_cast<std::int64_t>(values.size()));
    for (const T value : values) {
        std::int64_t word = 0;
        if constexpr (std::is_floating_point_v<T>)
            std::memcpy(&word, &value, sizeof word);
        else
            word = value;
        to.push_back(word);
    }
}

inline std::vector<std::int64_t> model_words(const SignalSpec& spec) {
    std::vector<std::int64_t> words;
    append_words(words, spec.offset);
    append_words(words, spec.scale);
    append_words(words, spec.weights);
    append_words(words, spec.tree_features);
    append_words(words, spec.tree_thresholds);
    append_words(words, spec.tree_leaves);
    words.push_back(static_cast<std::int64_t>(spec.layers.size()));
    for (const SignalSpec::Layer& layer : spec.layers) {
        words.push_back(layer.shift);
        append_words(words, layer.bias);
        words.push_back(static_cast<std::int64_t>(layer.weights.size()));
        for (const auto& row : layer.weights) append_words(words, row);
    }
    return words;
}

inline SignalSpec to_spec(const SetCopy& set) {
    if (set->model_kind < 0 || set->model_kind > static_cast<std::int64_t>(SignalKind::network))
        throw std::invalid_argument("the block holds a signal model of an unknown kind");
    SignalSpec spec;
    spec.kind = static_cast<SignalKind>(set->model_kind);
    spec.feature_bits = static_cast<int>(set->feature_bits);
    spec.bias = set->bias;
    spec.fraction_bits = static_cast<int>(set->fraction_bits);
    spec.model_id = static_cast<std::uint32_t>(set->model_id);
    spec.activation_bits = static_cast<int>(set->activation_bits);
    spec.tree_depth = static_cast<int>(set->tree_depth);
    ModelWords words(set.model());
    spec.offset = words.many<double>();
    spec.scale = words.many<double>();
    spec.weights = words.many<std::int16_t>();
    spec.tree_features = words.many<std::int16_t>();
    spec.tree_thresholds = words.many<std::int16_t>();
    spec.tree_leaves = words.many<std::int32_t>();
    for (auto layers = words.one<std::uint64_t>(); layers > 0; --layers) {
        SignalSpec::Layer layer;
        layer.shift = words.one<int>();
        layer.bias = words.many<std::int32_t>();
        for (auto rows = words.one<std::uint64_t>(); rows > 0; --rows)
            layer.weights.push_back(words.many<std::int16_t>());
        spec.layers.push_back(std::move(layer));
    }
    return spec;
}

}  // namespace detail

inline HawkesParameters to_hawkes(const SetCopy& set) {
    return {set->alpha_self, set->alpha_cross, set->beta, set->hawkes_gamma, set->lambda_base, set->asymmetry,
            {set.profile().begin(), set.profile().end()}, set->calibration_r_squared, set->calibration_samples,
            detail::to_version(set->version(StoreKind::hawkes))};
}
inline AvellanedaStoikovParameters to_quoting(const SetCopy& set) {
    return {set->gamma, set->sigma, set->kappa, set->time_horizon_seconds, set->arrival_rate, set->reference_price,
            set->tick_size, set->lot_size, set->seconds_per_year, set->order_size, set->touch_only != 0,
            set->backtest_sharpe, set->backtest_pnl, detail::to_version(set->version(StoreKind::quoting))};
}
inline RiskParameters to_risk(const SetCopy& set) {
    return {set->max_position, set->thresholds[0], set->thresholds[1], set->thresholds[2], set->multipliers[0],
            set->multipliers[1], set->multipliers[2], set->multipliers[3], set->volatility_half_life_s,
            set->volatility_sample_s, {set.medians().begin(), set.medians().end()}, set->hysteresis, set->hysteresis_s,
            set->halt_s, detail::to_version(set->version(StoreKind::risk))};
}
inline SignalParameters to_signal(const SetCopy& set) {
    return {detail::to_spec(set), set->skill_r_squared, set->horizon_s,
            detail::to_version(set->version(StoreKind::signal))};
}

class ModelStore {
   public:
    // The path of the block, or of the store beside which it lies (`name.db`, `sqlite:///name.db`: `name.db.block`).
    // A server has no such place: `calibrig store share PATH --store URL`, and PATH here. (Its URL may hold a password,
    // so the message does not repeat it.)
    explicit ModelStore(std::string path) : path_(std::move(path)) {
        for (const char* scheme : {"sqlite:///", "json:///"})
            if (path_.starts_with(scheme)) path_.erase(0, std::strlen(scheme));
        if (path_.find("://") != std::string::npos)
            throw std::invalid_argument("a loop in C++ reads the block of a store; run `calibrig store share PATH --store "
                                        "URL` and give PATH here");
        if (!path_.ends_with(".block")) path_ += ".block";
    }

    void initialize() {
        try {
            view_.emplace(path_);
        } catch (const std::system_error& error) {
            if (error.code().value() == ENOENT)
                throw std::runtime_error("there is no block at " + path_ + "; run: calibrig store share");
            throw;
        }
    }
    std::optional<HawkesParameters> get_hawkes_parameters(const std::string& symbol) const {
        return get(symbol, StoreKind::hawkes, to_hawkes);
    }
    std::optional<AvellanedaStoikovParameters> get_as_parameters(const std::string& symbol) const {
        return get(symbol, StoreKind::quoting, to_quoting);
    }
    std::optional<RiskParameters> get_risk_parameters(const std::string& symbol) const {
        return get(symbol, StoreKind::risk, to_risk);
    }
    std::optional<SignalParameters> get_signal_model(const std::string& symbol) const {
        return get(symbol, StoreKind::signal, to_signal);
    }

    // Whether any calibration of the symbol is older than that, default, or missing (Hawkes and quoting must be there).
    // True as well where nothing is shared for it.
    bool needs_recalibration(const std::string& symbol, std::int64_t max_age_seconds) const {
        const std::optional<SetCopy> set = read(symbol);
        if (!set || !(*set)->has(StoreKind::hawkes) || !(*set)->has(StoreKind::quoting)) return true;
        return age_s(*set) > static_cast<double>(max_age_seconds);
    }
    std::vector<CalibrationQuality> get_calibration_quality() const {
        constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
        std::vector<CalibrationQuality> found;
        for (const std::string& symbol : view().symbols())
            if (const std::optional<SetCopy> set = read(symbol)) {
                const SetNumbers& n = set->numbers();
                found.push_back({symbol, n.has(StoreKind::hawkes) ? n.calibration_r_squared : unknown,
                                 n.has(StoreKind::quoting) ? n.backtest_sharpe : unknown,
                                 n.has(StoreKind::signal) ? n.skill_r_squared : unknown, age_s(*set)});
            }
        return found;
    }
    // True while the store cannot be reached, is damaged, or its process is gone: send no new orders.
    bool stale() const { return view().stale(monotonic_ns()); }
    double contact_age_s() const { return static_cast<double>(view().contact_age_ns(monotonic_ns())) * 1e-9; }
    const std::string& path() const noexcept { return path_; }
    const StoreBlockView& view() const {
        if (!view_) throw std::logic_error("the store is not open; call initialize() first");
        return *view_;
    }

   private:
    std::optional<SetCopy> read(const std::string& symbol) const {
        const int slot = view().slot_of(symbol);
        if (slot < 0) return std::nullopt;
        std::optional<SetCopy> set(std::in_place);
        for (int attempt = 0; attempt < 1000; ++attempt)  // not the loop's path: a writer in a hurry is waited for
            if (view().read(slot, *set)) return set;
        return std::nullopt;
    }
    template <class Convert>
    auto get(const std::string& symbol, StoreKind kind, Convert convert) const
        -> std::optional<decltype(convert(std::declval<const SetCopy&>()))> {
        const std::optional<SetCopy> set = read(symbol);
        if (!set || !(*set)->has(kind)) return std::nullopt;
        return convert(*set);
    }
    double age_s(const SetCopy& set) const {
        double oldest = 0.0;
        for (const VersionNumbers& version : set->versions)
            if (version.version_id != 0) {
                const double age = view().calibration_age_s(version, utc_ns(), monotonic_ns());
                if (age > oldest) oldest = age;
            }
        return oldest;
    }

    std::string path_;
    std::optional<StoreBlockView> view_;
};

// One symbol for one trading loop: `poll` at the start of each cycle takes a newer set over. No lock, no allocation.
class LiveParameters {
   public:
    // With a path, how long new sets took to be in force can be read there: `calibrig store applied PATH`.
    LiveParameters(const ModelStore& store, std::string symbol, const std::string& applied_path = "")
        : path_(store.path()), symbol_(std::move(symbol)), view_(path_), store_id_(view_.store_id()),
          applied_(applied_path, symbol_) {}

    // True when a newer set was taken over. Never an older one, never one of another store.
    bool poll() noexcept {
        if (slot_ < 0 && !find()) return false;
        if (view_.newest(slot_) == taken_) [[likely]] return false;
        if (!view_.read(slot_, next_)) return false;
        taken_ = next_->publication;
        for (int kind = 0; kind < store_kinds; ++kind)
            if (next_->versions[kind].version_id < now_->versions[kind].version_id) {
                withdrawn_ = true;
                return false;
            }
        withdrawn_ = false;
        std::int64_t stamp = 0, versions[store_kinds];
        for (int kind = 0; kind < store_kinds; ++kind) {
            const VersionNumbers& version = next_->versions[kind];
            versions[kind] = static_cast<std::int64_t>(version.version_id);
            const bool is_newer = began_ && version.version_id != now_->versions[kind].version_id;
            if (is_newer && version.updated_at > stamp) stamp = version.updated_at;
        }
        std::swap(now_, next_);
        applied_.record(versions, utc_ns(), stamp, stamp == 0 ? 0 : now_->published_ns);
        began_ = true;
        return true;
    }
    // Ask at each cycle, too: true means no new orders. Looks for a new block where the writer has been restarted.
    bool stale() noexcept {
        if (began_ && !withdrawn_ && slot_ >= 0 && !check_(view_)) [[likely]] return false;
        const std::int64_t now = monotonic_ns();
        if (now - looked_ns_ > 100'000'000) {
            looked_ns_ = now;
            reattach();
        }
        return true;  // until `poll` has looked into what was found
    }
    const SetCopy& now() const noexcept { return now_; }
    const ApplyBlock& applied() const noexcept { return *applied_; }

   private:
    bool find() noexcept {
        try {
            slot_ = view_.slot_of(symbol_);
        } catch (...) {
            slot_ = -1;
        }
        return slot_ >= 0;
    }
    void reattach() noexcept {
        try {
            if (!view_.replaced()) return;
            StoreBlockView fresh(path_);
            if (fresh.store_id() != store_id_) return;
            view_ = std::move(fresh);
            slot_ = -1;
            taken_ = 0;
        } catch (...) {
            return;  // not whole yet: looked at again
        }
    }

    std::string path_, symbol_;
    StoreBlockView view_;
    std::string store_id_;
    ApplyMemory applied_;
    SetCopy now_, next_;
    StaleCheck check_;
    std::uint64_t taken_ = 0;
    std::int64_t looked_ns_ = 0;
    int slot_ = -1;
    bool began_ = false, withdrawn_ = false;
};

// Buy and sell intensity, event by event.
class HawkesEngine {
   public:
    HawkesEngine(double alpha_self, double alpha_cross, double beta, double gamma, double lambda_base)
        : online_(alpha_self, alpha_cross, beta, gamma, lambda_base, 0.0, {1.0}) {}
    explicit HawkesEngine(const HawkesParameters& p)
        : online_(p.alpha_self, p.alpha_cross, p.beta, p.gamma, p.lambda_base, p.asymmetry, p.profile) {}
    void reset(std::int64_t session_start_ns, std::int64_t session_end_ns) { online_.reset(session_start_ns, session_end_ns); }
    void update(std::int64_t time_ns, int side) noexcept {
        if (side != 0) online_.event(time_ns, side > 0 ? 0 : 1);
    }
    std::array<double, 2> compute_intensity(std::int64_t time_ns) noexcept { return online_.intensity(time_ns); }

   private:
    HawkesOnline online_;
};

// Quotes on the tick grid, for a sound book; position in lots.
class AvellanedaStoikov {
   public:
    explicit AvellanedaStoikov(const AvellanedaStoikovParameters& p, std::int64_t limit_lots = 100,
                               QuotingForm form = QuotingForm::stationary, double maker_fee = 0.0)
        : horizon_s_(p.time_horizon_seconds),
          model_({p.gamma, p.sigma_abs(), p.kappa, p.time_horizon_seconds, p.arrival_rate, p.tick_size, p.lot_size,
                  p.order_size, maker_fee, 1.0, form, p.touch_only},
                 limit_lots) {}
    QuotePrices compute_quotes(std::int64_t bid_ticks, std::int64_t ask_ticks, std::int64_t position_lots,
                               double signal = 0.0) const noexcept {
        return model_.prices(bid_ticks, ask_ticks, position_lots, signal, horizon_s_);
    }

   private:
    double horizon_s_;
    QuotingModel model_;
};

}  // namespace calibrig

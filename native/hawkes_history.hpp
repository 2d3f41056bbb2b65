// A history of events laid out for the Hawkes kernels: border states once per set of nodes, then log-likelihood,
// gradient and Hessian sums in passes that split exactly over lanes, blocks and threads.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include "hawkes_kernels.hpp"
#include "isa.hpp"
#include "parallel.hpp"

namespace calibrig {

namespace isa_baseline { HawkesKernels hawkes_kernels() noexcept; }
#if defined(__x86_64__)
namespace isa_avx2 { HawkesKernels hawkes_kernels() noexcept; }
namespace isa_avx512 { HawkesKernels hawkes_kernels() noexcept; }
#endif

inline HawkesKernels hawkes_kernels(Isa isa) noexcept {
#if defined(__x86_64__)
    if (isa == Isa::avx512) return isa_avx512::hawkes_kernels();
    if (isa == Isa::avx2) return isa_avx2::hawkes_kernels();
#endif
    (void)isa;
    return isa_baseline::hawkes_kernels();
}

// Weights of the kernel on the nodes of a history, owned.
struct HawkesWeightTable {
    std::vector<double> c, c_v, c_w, c_vv, c_vw, c_ww, p;
    double base_buy = 0, base_sell = 0, n_self = 0, n_cross = 0;
    [[nodiscard]] HawkesWeights view() const noexcept {
        return {c.data(), c_v.data(), c_w.data(), c_vv.data(), c_vw.data(), c_ww.data(), p.data(),
                base_buy, base_sell, n_self, n_cross};
    }
};

class HawkesHistory {
public:
    struct Events {
        const std::int64_t* time_ns;
        const double* offset_ns;  // added to time_ns (ties spread inside the clock's step), or null
        const std::int8_t* side;  // +1 or -1
        std::size_t count;
    };
    struct Session {
        std::int64_t start_ns, end_ns;                  // observed
        std::int64_t profile_start_ns, profile_end_ns;  // what the time-of-day profile spans
    };

    HawkesHistory(const Events& events, const std::vector<Session>& sessions, const std::vector<double>& profile,
                  int lane_steps, int threads, Isa isa)
        : kernels_(calibrig::hawkes_kernels(isa)), count_(events.count) {
        if (count_ == 0 || lane_steps < 2) throw std::invalid_argument("a history needs events and two steps a lane");
        cut_into_blocks(events, sessions, static_cast<std::size_t>(lane_steps) * hawkes_lanes);
        const Block& last = blocks_.back();
        const std::size_t rows = last.at + last.steps * hawkes_lanes;
        gap_s_.reset(new double[rows]);
        signed_b_.reset(new double[rows]);
        rows_ = rows;
        elapsed_s_.assign(blocks_.size() * hawkes_lanes, 0.0);
        for_each_block(threads, {}, [&](std::size_t block) { lay_out(block, events, profile); });
    }

    [[nodiscard]] std::size_t count() const noexcept { return count_; }
    [[nodiscard]] std::size_t sessions() const noexcept { return session_count_; }
    [[nodiscard]] std::size_t node_count() const noexcept { return start_.size() * static_cast<std::size_t>(depth_); }
    [[nodiscard]] std::size_t bytes() const noexcept { return 8 * (2 * rows_ + border_.capacity() + tail_.capacity()); }

    // Choose nodes and compute the states at every border: the one pass that later passes reuse.
    bool prepare(std::vector<double> start, int depth, int threads, const StopRequest& stop) {
        start_ = std::move(start);
        depth_ = depth;
        const std::size_t m = node_count();
        border_.assign(blocks_.size() * m * 2 * hawkes_lanes, 0.0);
        tail_.assign(sessions() * m * 2, 0.0);
        close_fall_.assign(sessions() * m * 2, 0.0);
        std::vector<double> local(border_.size());
        if (!for_each_block(threads, stop, [&](std::size_t block) { local_states(block, local.data()); })) return false;
        join_states(local);
        return true;
    }

    // Sum over the events of session s of exp(-x (end - t)): [session][total or signed][node].
    [[nodiscard]] const std::vector<double>& tails() const noexcept { return tail_; }

    // Sums of one pass over each session, [session][hawkes_sums] (see HawkesSum); the first is the sum of log lambda.
    bool evaluate(int order, const HawkesWeightTable& table, int threads, const StopRequest& stop,
                  std::vector<double>& result) const {
        const HawkesWeights weights = table.view();
        constexpr std::size_t part = hawkes_sums * hawkes_lanes;
        std::vector<double> sums(blocks_.size() * part);
        const bool done = for_each_block(threads, stop, [&](std::size_t block) {
            Scratch scratch(*this, block);
            kernels_.evaluate[order](nodes(), weights, scratch.stretch, &sums[block * part]);
        });
        if (!done) return false;
        result.assign(sessions() * hawkes_sums, 0.0);
        for (std::size_t block = 0; block < blocks_.size(); ++block) {
            const double* row = &sums[block * part];
            double* out = &result[blocks_[block].session * hawkes_sums];
            for (int lane = 0; lane < hawkes_lanes; ++lane)
                out[0] += std::log(row[lane]) + row[sum_exponent * hawkes_lanes + lane] * 0.693147180559945309417;
            for (int k = 2; k < hawkes_sums; ++k)
                for (int lane = 0; lane < hawkes_lanes; ++lane) out[k] += row[k * hawkes_lanes + lane];
        }
        return true;
    }

    // For events first .. last - 1: both intensities just before each, and what the excitation's compensator grew
    // by since the event before (of any side; over the close of a session too). out: four columns.
    bool trace(const HawkesWeightTable& table, std::size_t first, std::size_t last, int threads,
               const StopRequest& stop, const std::array<double*, 4>& out) const {
        const HawkesWeights weights = table.view();
        const double plus = 0.5 * (table.n_self + table.n_cross), minus = 0.5 * (table.n_self - table.n_cross);
        const bool done = for_each_block(threads, stop, [&](std::size_t block) {
            const Block& b_ = blocks_[block];
            if (b_.first >= last || b_.first + b_.count <= first) return;
            Scratch scratch(*this, block);
            Aligned rows(trace_steps * 4 * hawkes_lanes);
            for (std::size_t step = 0; step < b_.steps; step += trace_steps) {  // few enough to stay in the first cache
                HawkesStretch part = scratch.stretch;
                part.gap_s += step * hawkes_lanes;
                part.signed_b += step * hawkes_lanes;
                part.steps = static_cast<int>(std::min(trace_steps, b_.steps - step));
                kernels_.trace(nodes(), weights, part, rows.data.get());
                for (int lane = 0; lane < hawkes_lanes; ++lane) {
                    const auto [lane_first, length] = b_.lane_range(lane);
                    const std::size_t stop = std::min(length, step + trace_steps);
                    for (std::size_t s = step; s < stop; ++s) {
                        const std::size_t event = lane_first + s;
                        if (event < first || event >= last) continue;
                        const double* row = &rows.data[(s - step) * 4 * hawkes_lanes + static_cast<std::size_t>(lane)];
                        const double b = std::abs(signed_b_[b_.position(s, lane)]);
                        const double even = plus * row[0], odd = minus * row[hawkes_lanes];
                        const double even_fall = plus * row[2 * hawkes_lanes], odd_fall = minus * row[3 * hawkes_lanes];
                        out[0][event - first] = table.base_buy * b + even + odd;
                        out[1][event - first] = table.base_sell * b + even - odd;
                        out[2][event - first] = even_fall + odd_fall;
                        out[3][event - first] = even_fall - odd_fall;
                    }
                }
            }
        });
        if (!done) return false;
        // The first event of a session also carries what fell between the last event before it and the close.
        const std::size_t m = node_count();
        for (const Block& block : blocks_) {
            if (!block.opens || block.session == 0 || block.first < first || block.first >= last) continue;
            const double* fall = &close_fall_[2 * (block.session - 1) * m];
            double total = 0.0, signed_ = 0.0;
            for (std::size_t k = 0; k < m; ++k) {
                total += table.p[k] * fall[k];
                signed_ += table.p[k] * fall[m + k];
            }
            out[2][block.first - first] += plus * total + minus * signed_;
            out[3][block.first - first] += plus * total - minus * signed_;
        }
        return true;
    }

private:
    // Consecutive events of one session in eight lanes. Lanes differ in length by one event at most: the first
    // `last_lanes` hold `steps` events, the others one less, and padding.
    struct Block {
        std::size_t first, count, at, session;
        bool opens, closes;
        Session span;
        std::size_t steps = 0, last_lanes = 0;
        double before = 1.0;  // side of the event before the first

        [[nodiscard]] std::pair<std::size_t, std::size_t> lane_range(int lane) const noexcept {
            const auto l = static_cast<std::size_t>(lane);
            return {first + l * (steps - 1) + std::min(l, last_lanes), steps - 1 + (l < last_lanes ? 1 : 0)};
        }
        [[nodiscard]] std::size_t position(std::size_t step, int lane) const noexcept {
            return at + step * hawkes_lanes + static_cast<std::size_t>(lane);
        }
    };

    // Numbers aligned to cache lines: a vector that straddles two costs twice.
    struct Aligned {
        struct Free { void operator()(double* p) const noexcept { ::operator delete[](p, std::align_val_t{64}); } };
        std::unique_ptr<double[], Free> data;
        explicit Aligned(std::size_t n) : data(static_cast<double*>(::operator new[](n * sizeof(double), std::align_val_t{64}))) {}
    };

    static constexpr std::size_t trace_steps = 64;

    struct Scratch {
        Aligned state, work;
        std::array<double, hawkes_lanes> sign;
        HawkesStretch stretch;
        Scratch(const HawkesHistory& h, std::size_t index)
            : state(2 * h.node_count() * hawkes_lanes), work(hawkes_scratch(static_cast<int>(h.node_count()))) {
            const std::size_t half = h.node_count() * hawkes_lanes;
            const double* from = &h.border_[index * 2 * half];
            std::copy(from, from + 2 * half, state.data.get());
            const Block& block = h.blocks_[index];
            for (int l = 0; l < hawkes_lanes; ++l) sign[static_cast<std::size_t>(l)] = h.sign_before(block, l);
            stretch = {&h.gap_s_[block.at], &h.signed_b_[block.at], static_cast<int>(block.steps),
                       static_cast<int>(block.last_lanes), state.data.get(), state.data.get() + half, sign.data(),
                       work.data.get()};
        }
    };

    [[nodiscard]] HawkesNodes nodes() const noexcept { return {static_cast<int>(start_.size()), depth_, start_.data()}; }

    // Side of the event before a lane's first: the last event of the lane before, or of the block before.
    [[nodiscard]] double sign_before(const Block& block, int lane) const noexcept {
        if (lane == 0) return block.before;
        const auto [first, length] = block.lane_range(lane - 1);
        return length == 0 ? 1.0 : side_at(block, length - 1, lane - 1);
    }
    [[nodiscard]] double side_at(const Block& block, std::size_t step, int lane) const noexcept {
        return std::signbit(signed_b_[block.position(step, lane)]) ? -1.0 : 1.0;
    }

    void cut_into_blocks(const Events& events, const std::vector<Session>& sessions, std::size_t size) {
        std::size_t first = 0, at = 0;
        for (const Session& session : sessions) {
            const auto* end = std::lower_bound(events.time_ns + first, events.time_ns + count_, session.end_ns);
            const auto last = static_cast<std::size_t>(end - events.time_ns);
            if (last == first) continue;
            if (events.time_ns[first] < session.start_ns) break;
            for (std::size_t begin = first; begin < last; begin += size) {
                Block block{begin, std::min(size, last - begin), at, session_count_, begin == first,
                            begin + size >= last, session};
                block.steps = (block.count + hawkes_lanes - 1) / hawkes_lanes;
                block.last_lanes = block.count - (block.steps - 1) * hawkes_lanes;
                block.before = begin == 0 || events.side[begin - 1] > 0 ? 1.0 : -1.0;
                at += block.steps * hawkes_lanes;
                blocks_.push_back(block);
            }
            ++session_count_;
            const double offset = events.offset_ns ? events.offset_ns[last - 1] : 0.0;
            const double left_ns = static_cast<double>(session.end_ns - events.time_ns[last - 1]) - offset;
            close_gap_s_.push_back(std::max(left_ns, 0.0) * 1e-9);  // a spread tie may lie just past a cut
            first = last;
        }
        if (first != count_) throw std::invalid_argument("an event lies outside its sessions");
    }

    // Rows are written once and in order; the cases are apart so that the common one has no branch.
    void lay_out(std::size_t index, const Events& events, const std::vector<double>& profile) {
        const Block& block = blocks_[index];
        const bool tied = events.offset_ns != nullptr, flat = profile.size() == 1;
        if (flat) tied ? lay_out_rows<true, true>(block, events, profile) : lay_out_rows<false, true>(block, events, profile);
        else tied ? lay_out_rows<true, false>(block, events, profile) : lay_out_rows<false, false>(block, events, profile);
        if (block.opens) gap_s_[block.at] = 1e30;
        double* elapsed = &elapsed_s_[index * hawkes_lanes];
        for (std::size_t step = 0; step < block.steps; ++step)
            for (std::size_t lane = 0; lane < hawkes_lanes; ++lane) elapsed[lane] += gap_s_[block.position(step, static_cast<int>(lane))];
    }

    template <bool tied, bool flat>
    void lay_out_rows(const Block& block, const Events& events, const std::vector<double>& profile) {
        const Session& span = block.span;
        const auto bins = static_cast<double>(profile.size());
        const double scale = bins / static_cast<double>(span.profile_end_ns - span.profile_start_ns);
        const std::int64_t* const time = events.time_ns;
        const double* const offset = events.offset_ns;
        const std::size_t start = block.first == 0 ? 1 : 0;  // the very first event has none before it
        std::array<std::size_t, hawkes_lanes> first;
        for (int lane = 0; lane < hawkes_lanes; ++lane) first[static_cast<std::size_t>(lane)] = block.lane_range(lane).first;
        double* gap_s = &gap_s_[block.at];
        double* signed_b = &signed_b_[block.at];
        const auto put = [&](std::size_t i, std::size_t before, std::size_t at) {
            double gap = static_cast<double>(time[i] - time[before]);
            if constexpr (tied) gap += offset[i] - offset[before];
            gap_s[at] = gap * 1e-9;
            double b = profile[0];
            if constexpr (!flat) {
                double phase = static_cast<double>(time[i] - span.profile_start_ns);
                if constexpr (tied) phase += offset[i];
                b = profile[static_cast<std::size_t>(std::clamp(phase * scale, 0.0, bins - 1.0))];
            }
            signed_b[at] = std::copysign(b, static_cast<double>(events.side[i]));
        };
        put(first[0], first[0] - 1 + start, 0);
        for (std::size_t lane = 1; lane < hawkes_lanes; ++lane)
            if (first[lane] < block.first + block.count) put(first[lane], first[lane] - 1, lane);
        for (std::size_t step = 1; step + 1 < block.steps; ++step)
            for (std::size_t lane = 0; lane < hawkes_lanes; ++lane)
                put(first[lane] + step, first[lane] + step - 1, step * hawkes_lanes + lane);
        const std::size_t last = block.steps - 1;
        if (last > 0)
            for (std::size_t lane = 0; lane < block.last_lanes; ++lane)
                put(first[lane] + last, first[lane] + last - 1, last * hawkes_lanes + lane);
        for (std::size_t lane = block.last_lanes; lane < hawkes_lanes; ++lane) {  // padding
            gap_s[last * hawkes_lanes + lane] = 0.0;
            signed_b[last * hawkes_lanes + lane] = 1.0;
        }
    }

    // States after each lane of a block as if nothing had happened before the lane's first event.
    void local_states(std::size_t index, double* local) {
        const Block& block = blocks_[index];
        const std::size_t m = node_count();
        const std::size_t half = m * hawkes_lanes;
        double* state = local + index * 2 * half;
        std::fill(state, state + 2 * half, -1.0);  // one short of 0: the first step adds the event before it
        std::array<double, hawkes_lanes> sign;
        sign.fill(1.0);
        const Aligned work(hawkes_scratch(static_cast<int>(m)));
        const auto run = [&](std::size_t from, std::size_t steps) {
            if (steps == 0) return;
            const std::size_t at = block.position(from, 0);
            HawkesStretch stretch{&gap_s_[at], &signed_b_[at], static_cast<int>(steps), hawkes_lanes,
                                  state, state + half, sign.data(), work.data.get()};
            kernels_.states(nodes(), stretch);
        };
        run(0, block.steps - 1);
        const std::vector<double> early(state, state + 2 * half);
        run(block.steps - 1, 1);
        for (std::size_t k = 0; k < 2 * m; ++k)  // lanes that end one step earlier must not see their padding
            for (std::size_t lane = block.last_lanes; lane < hawkes_lanes; ++lane)
                state[k * hawkes_lanes + lane] = early[k * hawkes_lanes + lane];
    }

    [[nodiscard]] double rate(std::size_t k) const noexcept {
        const auto d = static_cast<std::size_t>(depth_);
        return std::ldexp(start_[k / d], static_cast<int>(k % d));
    }

    // Walk the lanes in order of time: add to each local state what the lanes before it left.
    void join_states(const std::vector<double>& local) {
        const std::size_t m = node_count();
        const std::size_t half = m * hawkes_lanes;
        std::vector<double> after(2 * m, 0.0);  // states just after the latest event
        for (std::size_t index = 0; index < blocks_.size(); ++index) {
            const Block& block = blocks_[index];
            if (block.opens) std::fill(after.begin(), after.end(), 0.0);
            double* border = &border_[index * 2 * half];
            const double* state = &local[index * 2 * half];
            for (int lane = 0; lane < hawkes_lanes; ++lane) {
                const auto [lane_first, length] = block.lane_range(lane);
                const auto l = static_cast<std::size_t>(lane);
                const double before = sign_before(block, lane);
                for (std::size_t k = 0; k < m; ++k) {
                    border[k * hawkes_lanes + l] = after[k] - 1.0;
                    border[(m + k) * hawkes_lanes + l] = after[m + k] - before;
                }
                if (length == 0) continue;
                const double elapsed = elapsed_s_[index * hawkes_lanes + l];
                const double side = side_at(block, length - 1, lane);
                for (std::size_t k = 0; k < m; ++k) {
                    const double e = elapsed < 1e29 ? std::exp(-rate(k) * elapsed) : 0.0;
                    after[k] = after[k] * e + state[k * hawkes_lanes + l] + 1.0;
                    after[m + k] = after[m + k] * e + state[(m + k) * hawkes_lanes + l] + side;
                }
            }
            if (!block.closes) continue;
            double* tail = &tail_[block.session * 2 * m];
            for (std::size_t k = 0; k < m; ++k) {
                const double fall = std::exp(-rate(k) * close_gap_s_[block.session]);
                tail[k] = after[k] * fall;
                tail[m + k] = after[m + k] * fall;
                close_fall_[block.session * 2 * m + k] = after[k] - tail[k];
                close_fall_[block.session * 2 * m + m + k] = after[m + k] - tail[m + k];
            }
        }
    }

    template <class Work>
    bool for_each_block(int threads, const StopRequest& stop, const Work& work) const {
        return for_each_index(blocks_.size(), threads, stop, work);
    }

    HawkesKernels kernels_;
    std::size_t count_, session_count_ = 0, rows_ = 0;
    int depth_ = 0;
    std::vector<Block> blocks_;
    std::shared_ptr<double[]> gap_s_, signed_b_;  // [block][step][lane]; copies share them, nothing changes them later
    std::vector<double> elapsed_s_;               // [block][lane], from the event before a lane to its last
    std::vector<double> close_gap_s_;             // from the last event of a session to its end
    std::vector<double> start_, border_;
    std::vector<double> tail_, close_fall_;       // [session][total or signed][node]
};

}  // namespace calibrig

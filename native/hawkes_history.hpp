// A history of events laid out for the Hawkes kernels: border states once per set of nodes, then log-likelihood,
// gradient and Hessian sums in passes that split exactly over lanes, blocks and threads.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "hawkes_kernels.hpp"
#include "isa.hpp"

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

// Asked between blocks by the calling thread; true ends the pass early.
using StopRequest = std::function<bool()>;

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
                  int lane_steps, Isa isa)
        : kernels_(calibrig::hawkes_kernels(isa)), count_(events.count), lane_steps_(lane_steps) {
        if (count_ == 0 || lane_steps < 2) throw std::invalid_argument("a history needs events and two steps a lane");
        blocks_ = (count_ + block_size() - 1) / block_size();
        const std::size_t rows = blocks_ * static_cast<std::size_t>(lane_steps) * hawkes_lanes;
        gap_s_.assign(rows, 0.0);
        signed_b_.assign(rows, 1.0);
        lay_out(events, sessions, profile);
    }

    [[nodiscard]] std::size_t count() const noexcept { return count_; }
    [[nodiscard]] std::size_t sessions() const noexcept { return session_last_.size(); }
    [[nodiscard]] std::size_t node_count() const noexcept { return start_.size() * static_cast<std::size_t>(depth_); }
    [[nodiscard]] std::size_t bytes() const noexcept {
        return 8 * (gap_s_.capacity() + signed_b_.capacity() + border_.capacity() + tail_.capacity());
    }

    // Choose nodes and compute the states at every border: the one pass that later passes reuse.
    bool prepare(std::vector<double> start, int depth, int threads, const StopRequest& stop) {
        start_ = std::move(start);
        depth_ = depth;
        const std::size_t m = node_count();
        border_.assign(blocks_ * m * 2 * hawkes_lanes, 0.0);
        tail_.assign(sessions() * m * 2, 0.0);
        border_sign_.assign(blocks_ * hawkes_lanes, 1.0);
        std::vector<double> local(blocks_ * m * 2 * hawkes_lanes);
        if (!for_each_block(threads, stop, [&](std::size_t block) { local_states(block, local.data()); })) return false;
        join_states(local);
        return true;
    }

    // Sum over the events of session s of exp(-x (end - t)): [session][total or signed][node].
    [[nodiscard]] const std::vector<double>& tails() const noexcept { return tail_; }

    // Sums of one pass (see HawkesSum); log-likelihood part in the first: sum of log lambda.
    bool evaluate(int order, const HawkesWeightTable& table, int threads, const StopRequest& stop,
                  std::array<double, hawkes_sums>& result) const {
        const HawkesWeights weights = table.view();
        std::vector<double> sums(blocks_ * hawkes_sums * hawkes_lanes);
        const bool done = for_each_block(threads, stop, [&](std::size_t block) {
            Scratch scratch(*this, block);
            kernels_.evaluate[order](nodes(), weights, scratch.stretch, &sums[block * hawkes_sums * hawkes_lanes]);
        });
        if (!done) return false;
        result.fill(0.0);
        for (std::size_t block = 0; block < blocks_; ++block) {
            const double* row = &sums[block * hawkes_sums * hawkes_lanes];
            std::array<double, hawkes_sums> part{};
            for (int lane = 0; lane < hawkes_lanes; ++lane) {
                part[0] += std::log(row[lane]) + row[sum_exponent * hawkes_lanes + lane] * 0.693147180559945309417;
                for (int k = 2; k < hawkes_sums; ++k) part[static_cast<std::size_t>(k)] += row[k * hawkes_lanes + lane];
            }
            for (std::size_t k = 0; k < hawkes_sums; ++k) result[k] += part[k];
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
            const std::size_t begin = block * block_size();
            if (begin >= last || begin + events_in(block) <= first) return;
            Scratch scratch(*this, block);
            std::vector<double> rows(static_cast<std::size_t>(scratch.stretch.steps) * hawkes_lanes * 4);
            kernels_.trace(nodes(), weights, scratch.stretch, rows.data());
            for (int lane = 0; lane < hawkes_lanes; ++lane) {
                const auto [lane_first, length] = lane_range(block, lane);
                for (std::size_t step = 0; step < length; ++step) {
                    const std::size_t event = lane_first + step;
                    if (event < first || event >= last) continue;
                    const double* row = &rows[(step * hawkes_lanes + static_cast<std::size_t>(lane)) * 4];
                    const double b = std::abs(signed_b_[position(block, step, lane)]);
                    out[0][event - first] = table.base_buy * b + plus * row[0] + minus * row[1];
                    out[1][event - first] = table.base_sell * b + plus * row[0] - minus * row[1];
                    out[2][event - first] = plus * row[2] + minus * row[3];
                    out[3][event - first] = plus * row[2] - minus * row[3];
                }
            }
        });
        if (!done) return false;
        // Before the first event of a session the states fall to 0: beyond the close that fall is not observed.
        const std::size_t m = node_count();
        for (std::size_t s = 0; s + 1 < sessions(); ++s) {
            const std::size_t event = session_last_[s] + 1;
            if (event < first || event >= last) continue;
            double total = 0.0, signed_ = 0.0;
            for (std::size_t k = 0; k < m; ++k) {
                total += table.p[k] * tail_[(2 * s) * m + k];
                signed_ += table.p[k] * tail_[(2 * s + 1) * m + k];
            }
            out[2][event - first] -= plus * total + minus * signed_;
            out[3][event - first] -= plus * total - minus * signed_;
        }
        return true;
    }

private:
    struct Scratch {
        std::vector<double> state;
        std::array<double, hawkes_lanes> sign;
        HawkesStretch stretch;
        Scratch(const HawkesHistory& h, std::size_t block) {
            const std::size_t half = h.node_count() * hawkes_lanes;
            const auto from = h.border_.begin() + static_cast<std::ptrdiff_t>(block * 2 * half);
            state.assign(from, from + static_cast<std::ptrdiff_t>(2 * half));
            for (std::size_t l = 0; l < hawkes_lanes; ++l) sign[l] = h.border_sign_[block * hawkes_lanes + l];
            const auto [steps, last_lanes] = h.shape_of(block);
            const std::size_t at = h.position(block, 0, 0);
            stretch = {&h.gap_s_[at], &h.signed_b_[at], static_cast<int>(steps), static_cast<int>(last_lanes),
                       state.data(), state.data() + half, sign.data()};
        }
    };

    [[nodiscard]] HawkesNodes nodes() const noexcept { return {static_cast<int>(start_.size()), depth_, start_.data()}; }
    [[nodiscard]] std::size_t block_size() const noexcept { return static_cast<std::size_t>(lane_steps_) * hawkes_lanes; }
    [[nodiscard]] std::size_t events_in(std::size_t block) const noexcept {
        return std::min(block_size(), count_ - block * block_size());
    }
    // Steps of a block, and how many lanes hold an event in its last step.
    [[nodiscard]] std::pair<std::size_t, std::size_t> shape_of(std::size_t block) const noexcept {
        const std::size_t m = events_in(block);
        const std::size_t steps = (m + hawkes_lanes - 1) / hawkes_lanes;
        return {steps, m - (steps - 1) * hawkes_lanes};
    }
    // First event of a lane and how many it holds.
    [[nodiscard]] std::pair<std::size_t, std::size_t> lane_range(std::size_t block, int lane) const noexcept {
        const auto [steps, last_lanes] = shape_of(block);
        const auto l = static_cast<std::size_t>(lane);
        return {block * block_size() + l * (steps - 1) + std::min(l, last_lanes), steps - 1 + (l < last_lanes ? 1 : 0)};
    }
    [[nodiscard]] std::size_t position(std::size_t block, std::size_t step, int lane) const noexcept {
        return block * block_size() + step * hawkes_lanes + static_cast<std::size_t>(lane);
    }
    // Block, step and lane of an event.
    [[nodiscard]] std::array<std::size_t, 3> place_of(std::size_t event) const noexcept {
        const std::size_t block = event / block_size();
        const auto [steps, last_lanes] = shape_of(block);
        const std::size_t i = event - block * block_size();
        const std::size_t long_part = last_lanes * steps;
        if (i < long_part) return {block, i % steps, i / steps};
        return {block, (i - long_part) % (steps - 1), last_lanes + (i - long_part) / (steps - 1)};
    }

    void lay_out(const Events& events, const std::vector<Session>& sessions, const std::vector<double>& profile) {
        std::size_t s = 0;
        const auto bins = static_cast<double>(profile.size());
        const auto time_of = [&](std::size_t i) {
            return std::pair<std::int64_t, double>(events.time_ns[i], events.offset_ns ? events.offset_ns[i] : 0.0);
        };
        std::size_t next = 0;
        for (std::size_t block = 0; block < blocks_; ++block) {
            for (int lane = 0; lane < hawkes_lanes; ++lane) {
                const auto [lane_first, length] = lane_range(block, lane);
                for (std::size_t step = 0; step < length; ++step, ++next) {
                    const auto [t, offset] = time_of(lane_first + step);
                    bool opens = next == 0;
                    while (s < sessions.size() && t >= sessions[s].end_ns) {
                        close_session(next, sessions[s], events);
                        ++s;
                        opens = true;
                    }
                    if (s == sessions.size() || t < sessions[s].start_ns)
                        throw std::invalid_argument("an event lies outside its sessions");
                    double gap = 1e30;
                    if (!opens) {
                        const auto [t_0, offset_0] = time_of(next - 1);
                        gap = (static_cast<double>(t - t_0) + (offset - offset_0)) * 1e-9;
                    }
                    const double span = static_cast<double>(sessions[s].profile_end_ns - sessions[s].profile_start_ns);
                    const double phase = (static_cast<double>(t - sessions[s].profile_start_ns) + offset) / span;
                    const auto bin = static_cast<std::int64_t>(std::clamp(phase * bins, 0.0, bins - 1.0));
                    const std::size_t at = position(block, step, lane);
                    gap_s_[at] = gap;
                    const double b = profile[static_cast<std::size_t>(bin)];
                    signed_b_[at] = events.side[next] > 0 ? b : -b;
                }
            }
        }
        for (; s < sessions.size(); ++s) close_session(count_, sessions[s], events);
    }

    void close_session(std::size_t next, const Session& session, const Events& events) {
        const bool empty = session_last_.empty() ? next == 0 : session_last_.back() + 1 == next;
        if (empty) return;
        const double offset = events.offset_ns ? events.offset_ns[next - 1] : 0.0;
        session_last_.push_back(next - 1);
        close_gap_s_.push_back((static_cast<double>(session.end_ns - events.time_ns[next - 1]) - offset) * 1e-9);
    }

    // States of each lane of a block as if nothing had happened before its first event; states at session ends
    // inside it go to tail_ for later.
    void local_states(std::size_t block, double* local) {
        const std::size_t m = node_count();
        const std::size_t half = m * hawkes_lanes;
        double* state = local + block * 2 * half;
        std::fill(state, state + 2 * half, -1.0);  // one short of 0: the first step adds the event before it
        std::array<double, hawkes_lanes> sign;
        sign.fill(1.0);
        const auto [steps, last_lanes] = shape_of(block);

        struct Capture {
            std::size_t step, lane, session;
        };
        std::vector<Capture> captures;
        const std::size_t begin = block * block_size(), end = begin + events_in(block);
        auto at = std::lower_bound(session_last_.begin(), session_last_.end(), begin);
        for (; at != session_last_.end() && *at < end; ++at) {
            const auto place = place_of(*at);
            captures.push_back({place[1], place[2], static_cast<std::size_t>(at - session_last_.begin())});
        }
        std::sort(captures.begin(), captures.end(), [](const Capture& a, const Capture& b) { return a.step < b.step; });

        std::size_t done = 0;
        const std::size_t row = position(block, 0, 0);
        const auto advance_to = [&](std::size_t step) {
            if (step <= done) return;
            HawkesStretch stretch{&gap_s_[row + done * hawkes_lanes], &signed_b_[row + done * hawkes_lanes],
                                  static_cast<int>(step - done), hawkes_lanes, state, state + half, sign.data()};
            kernels_.states(nodes(), stretch);
            done = step;
        };
        // Lanes that end one step earlier are set aside before the last step runs over their padding.
        std::vector<double> early;
        bool early_saved = last_lanes == hawkes_lanes;
        const auto save_early = [&] {
            if (early_saved) return;
            early.assign(state, state + 2 * half);
            early_saved = true;
        };
        for (const Capture& capture : captures) {
            if (capture.step + 1 == steps && steps > 1) {
                advance_to(steps - 1);
                save_early();
            }
            advance_to(capture.step + 1);
            for (std::size_t k = 0; k < 2 * m; ++k)
                tail_[capture.session * 2 * m + k] = state[k * hawkes_lanes + capture.lane];
        }
        advance_to(steps - 1);
        save_early();
        advance_to(steps);
        if (!early.empty())
            for (std::size_t k = 0; k < 2 * m; ++k)
                for (std::size_t lane = last_lanes; lane < hawkes_lanes; ++lane)
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
        double sign = 1.0;
        std::size_t session = 0;
        for (std::size_t block = 0; block < blocks_; ++block) {
            for (int lane = 0; lane < hawkes_lanes; ++lane) {
                const auto [lane_first, length] = lane_range(block, lane);
                const auto l = static_cast<std::size_t>(lane);
                double* border = &border_[block * 2 * half];
                border_sign_[block * hawkes_lanes + l] = sign;
                for (std::size_t k = 0; k < m; ++k) {
                    border[k * hawkes_lanes + l] = after[k] - 1.0;
                    border[(m + k) * hawkes_lanes + l] = after[m + k] - sign;
                }
                if (length == 0) continue;
                double elapsed = 0.0;
                for (std::size_t step = 0; step < length; ++step) {
                    elapsed += gap_s_[position(block, step, lane)];
                    if (session < sessions() && session_last_[session] == lane_first + step)
                        finish_session(session++, after, elapsed, side_at(block, step, lane));
                }
                sign = side_at(block, length - 1, lane);
                const double* state = &local[block * 2 * half];
                for (std::size_t k = 0; k < m; ++k) {
                    const double e = elapsed < 1e29 ? std::exp(-rate(k) * elapsed) : 0.0;
                    after[k] = after[k] * e + state[k * hawkes_lanes + l] + 1.0;
                    after[m + k] = after[m + k] * e + state[(m + k) * hawkes_lanes + l] + sign;
                }
            }
        }
    }

    [[nodiscard]] double side_at(std::size_t block, std::size_t step, int lane) const noexcept {
        return std::signbit(signed_b_[position(block, step, lane)]) ? -1.0 : 1.0;
    }

    void finish_session(std::size_t session, const std::vector<double>& after, double elapsed, double sign) {
        const std::size_t m = node_count();
        double* tail = &tail_[session * 2 * m];
        for (std::size_t k = 0; k < m; ++k) {
            const double e = elapsed < 1e29 ? std::exp(-rate(k) * elapsed) : 0.0;
            const double fall = std::exp(-rate(k) * close_gap_s_[session]);
            tail[k] = (after[k] * e + tail[k] + 1.0) * fall;
            tail[m + k] = (after[m + k] * e + tail[m + k] + sign) * fall;
        }
    }

    // Work on every block; whichever thread is free takes the next. False if a stop was asked for.
    template <class Work>
    bool for_each_block(int threads, const StopRequest& stop, const Work& work) const {
        std::atomic<std::size_t> next{0};
        std::atomic<bool> stopped{false};
        std::exception_ptr failure;
        std::atomic<bool> failed{false};
        const auto take = [&](bool main_thread) {
            auto asked = std::chrono::steady_clock::now();
            try {
                for (std::size_t block = next++; block < blocks_ && !stopped; block = next++) {
                    work(block);
                    if (!main_thread || !stop) continue;
                    const auto now = std::chrono::steady_clock::now();
                    if (now - asked < std::chrono::milliseconds(20)) continue;
                    asked = now;
                    if (stop()) stopped = true;
                }
            } catch (...) {
                if (!failed.exchange(true)) failure = std::current_exception();
                stopped = true;
            }
        };
        const int extra = static_cast<int>(std::min<std::size_t>(blocks_, static_cast<std::size_t>(std::max(1, threads)))) - 1;
        std::vector<std::thread> pool;
        for (int i = 0; i < extra; ++i) pool.emplace_back([&] { take(false); });
        take(true);
        for (std::thread& thread : pool) thread.join();
        if (failure) std::rethrow_exception(failure);
        return !stopped;
    }

    HawkesKernels kernels_;
    std::size_t count_, blocks_ = 0;
    int lane_steps_, depth_ = 0;
    std::vector<double> gap_s_, signed_b_;        // [block][step][lane]
    std::vector<std::size_t> session_last_;       // last event of each session that has one
    std::vector<double> close_gap_s_;             // from it to the end of the session
    std::vector<double> start_, border_, border_sign_, tail_;
};

}  // namespace calibrig

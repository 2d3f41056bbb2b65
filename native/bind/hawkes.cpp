// Conversion only: the Hawkes kernels as Python sees them.
#include "hawkes_simulation.hpp"

#include <atomic>
#include <memory>
#include <thread>

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "bind.hpp"
#include "hawkes_history.hpp"
#include "hawkes_online.hpp"

namespace nb = nanobind;

namespace calibrig::bind {
namespace {

using Int64Column = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using SideColumn = nb::ndarray<const std::int8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// A numpy array of n values that owns its memory; `data` is where to write them.
template <class T>
nb::object new_array(std::size_t n, T*& data) {
    data = new T[n == 0 ? 1 : n];
    nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, T, nb::ndim<1>>(data, {n}, owner));
}

// A word from the thread that gets the signals to those that work for it, which no signal reaches.
class Halt {
public:
    void call() noexcept { *called_ = true; }
    void heed() const { heeded() = called_; }

    // Whether the thread that asks works for another, and whether that one called.
    [[nodiscard]] static bool heeding() { return heeded() != nullptr; }
    [[nodiscard]] static bool heard() { return heeding() && *heeded(); }

private:
    static std::shared_ptr<std::atomic<bool>>& heeded() {
        thread_local std::shared_ptr<std::atomic<bool>> flag;
        return flag;
    }

    std::shared_ptr<std::atomic<bool>> called_ = std::make_shared<std::atomic<bool>>(false);
};

// Whether to stop: Python knows of signals (Ctrl-C), the GIL is taken only while asking; a thread that works for
// another hears it from there.
bool interrupted() {
    if (Halt::heeding() && !Halt::heard()) return false;
    nb::gil_scoped_acquire acquire;
    if (!Halt::heard()) return PyErr_CheckSignals() != 0;
    PyErr_SetNone(PyExc_KeyboardInterrupt);
    return true;
}

// Work without the GIL; where it was stopped by a signal, Python's exception goes on.
template <class Work>
void run_released(const Work& work) {
    bool done = false;
    {
        nb::gil_scoped_release release;
        done = work();
    }
    if (!done) throw nb::python_error();
}

nb::object simulate(double n_self, double n_cross, double beta, double gamma, double lambda_base, double asymmetry,
                    std::vector<double> profile, Int64Column sessions_flat, std::uint64_t seed, bool thinning,
                    std::size_t max_events, int threads) {
    const HawkesTruth truth{n_self, n_cross, beta, gamma, lambda_base, asymmetry, std::move(profile)};
    const std::size_t sessions = sessions_flat.shape(0) / 2;
    std::vector<EventKeys> keys(sessions);
    std::atomic<std::size_t> total{0};
    std::atomic<bool> stopped{false};
    const auto caller = std::this_thread::get_id();
    const StopRequest ask = [&] {  // only the calling thread may ask Python; the others see its answer
        if (std::this_thread::get_id() == caller && !stopped && interrupted()) stopped = true;
        return stopped.load();
    };
    run_released([&] {
        return for_each_index(sessions, threads, ask, [&](std::size_t s) {
            const std::int64_t length = sessions_flat.data()[2 * s + 1] - sessions_flat.data()[2 * s];
            keys[s] = thinning ? simulate_thinning(truth, length, seed, s, max_events, ask)
                               : simulate_clusters(truth, length, seed, s, max_events, ask);
            if ((total += keys[s].size()) > max_events) throw std::length_error("max_events");
        });
    });
    std::int64_t* time = nullptr;
    std::int8_t* side = nullptr;
    nb::object times = new_array(total, time);
    nb::object sides = new_array(total, side);
    {
        nb::gil_scoped_release release;
        for (std::size_t s = 0; s < sessions; ++s) {
            const std::int64_t start = sessions_flat.data()[2 * s];
            for (const std::uint64_t key : keys[s]) {
                *time++ = start + static_cast<std::int64_t>(key >> 1);
                *side++ = (key & 1u) == 0 ? std::int8_t{1} : std::int8_t{-1};
            }
            EventKeys().swap(keys[s]);
        }
    }
    return nb::make_tuple(times, sides);
}

class Online {
public:
    Online(double alpha_self, double alpha_cross, double beta, double gamma, double lambda_base, double asymmetry,
           std::vector<double> profile, double horizon_s)
        : online_(alpha_self, alpha_cross, beta, gamma, lambda_base, asymmetry, std::move(profile), horizon_s) {}
    void reset(std::int64_t start_ns, std::int64_t end_ns) { online_.reset(start_ns, end_ns); }
    void event(std::int64_t t_ns, int side_index) { online_.event(t_ns, side_index); }
    std::pair<double, double> intensity(std::int64_t t_ns) {
        const auto value = online_.intensity(t_ns);
        return {value[0], value[1]};
    }
    [[nodiscard]] std::int64_t now_ns() const { return online_.now_ns(); }

private:
    HawkesOnline online_;
};

// Both intensities at given times, in order; events at such a time are included.
nb::object intensity(double alpha_self, double alpha_cross, double beta, double gamma, double lambda_base,
                     double asymmetry, std::vector<double> profile, Int64Column time_ns, SideColumn side,
                     Int64Column sessions_flat, Int64Column at_ns) {
    const std::size_t n = time_ns.shape(0), k = at_ns.shape(0), sessions = sessions_flat.shape(0) / 2;
    double* buy = nullptr;
    double* sell = nullptr;
    nb::object buys = new_array(k, buy);
    nb::object sells = new_array(k, sell);
    nb::gil_scoped_release release;
    const std::int64_t* span = sessions_flat.data();
    std::int64_t longest = 1;
    for (std::size_t s = 0; s < sessions; ++s) longest = std::max(longest, span[2 * s + 1] - span[2 * s]);
    HawkesOnline online(alpha_self, alpha_cross, beta, gamma, lambda_base, asymmetry, std::move(profile),
                        static_cast<double>(longest) * 1e-9);
    std::size_t event = 0, s = 0;
    online.reset(span[0], span[1]);
    for (std::size_t i = 0; i < k; ++i) {
        const std::int64_t t = at_ns.data()[i];
        while (s + 1 < sessions && t >= span[2 * s + 2]) {
            ++s;
            online.reset(span[2 * s], span[2 * s + 1]);
            while (event < n && time_ns.data()[event] < span[2 * s]) ++event;
        }
        for (; event < n && time_ns.data()[event] <= t; ++event)
            online.event(time_ns.data()[event], side.data()[event] > 0 ? 0 : 1);
        const auto value = online.intensity(t);
        buy[i] = value[0];
        sell[i] = value[1];
    }
    nb::gil_scoped_acquire acquire;
    return nb::make_tuple(buys, sells);
}

using Column = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

std::vector<double> to_vector(const Column& column) { return {column.data(), column.data() + column.shape(0)}; }

Isa isa_named(const std::string& name) {
    for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
        if (name == name_of(isa) && isa <= best_isa()) return isa;
    if (!name.empty()) throw std::invalid_argument("this processor has no instruction set of that name");
    return active_isa();
}

class History {
public:
    History(Int64Column time_ns, std::optional<Column> offset_ns, SideColumn side, Int64Column sessions,
            Int64Column profile_sessions, Column profile, int lane_steps, int threads, const std::string& isa)
        : history_(events_of(time_ns, offset_ns, side), sessions_of(sessions, profile_sessions), to_vector(profile),
                   lane_steps, threads, isa_named(isa)) {}

    void prepare(Column start, int depth, int threads) {
        run_released([&] { return history_.prepare(to_vector(start), depth, threads, interrupted); });
    }

    nb::object tails() const {
        const auto& values = history_.tails();
        double* data = nullptr;
        nb::object out = new_array(values.size(), data);
        std::copy(values.begin(), values.end(), data);
        return out;
    }

    nb::object evaluate(int order, Column rows, Column scalars, int threads) const {
        const HawkesWeightTable table = table_of(rows, scalars);
        std::vector<double> sums;
        run_released([&] { return history_.evaluate(std::clamp(order, 0, 2), table, threads, interrupted, sums); });
        double* data = nullptr;
        nb::object out = new_array(sums.size(), data);
        std::copy(sums.begin(), sums.end(), data);
        return out;
    }

    nb::object trace(Column rows, Column scalars, std::size_t first, std::size_t last, int threads) const {
        if (first > last || last > history_.count()) throw std::invalid_argument("first and last lie outside the events");
        const HawkesWeightTable table = table_of(rows, scalars);
        std::array<double*, 4> data{};
        nb::list columns;
        for (double*& column : data) columns.append(new_array(last - first, column));
        run_released([&] { return history_.trace(table, first, last, threads, interrupted, data); });
        return nb::tuple(columns);
    }

    // The same events, laid out once for both; nodes are chosen for each.
    [[nodiscard]] std::unique_ptr<History> share() const { return std::make_unique<History>(*this); }

    [[nodiscard]] std::size_t count() const { return history_.count(); }
    [[nodiscard]] std::size_t sessions() const { return history_.sessions(); }
    [[nodiscard]] std::size_t bytes() const { return history_.bytes(); }

private:
    static HawkesHistory::Events events_of(const Int64Column& time_ns, const std::optional<Column>& offset_ns,
                                           const SideColumn& side) {
        const std::size_t n = time_ns.shape(0);
        if (side.shape(0) != n || (offset_ns && offset_ns->shape(0) != n)) throw std::invalid_argument("column lengths");
        return {time_ns.data(), offset_ns ? offset_ns->data() : nullptr, side.data(), n};
    }

    static std::vector<HawkesHistory::Session> sessions_of(const Int64Column& sessions, const Int64Column& profile) {
        if (sessions.shape(0) != profile.shape(0)) throw std::invalid_argument("session lengths");
        std::vector<HawkesHistory::Session> out;
        for (std::size_t s = 0; s + 1 < sessions.shape(0); s += 2)
            out.push_back({sessions.data()[s], sessions.data()[s + 1], profile.data()[s], profile.data()[s + 1]});
        return out;
    }

    [[nodiscard]] HawkesWeightTable table_of(const Column& rows, const Column& scalars) const {
        const std::size_t m = history_.node_count();
        if (m == 0) throw std::invalid_argument("prepare() comes first");
        if (rows.shape(0) != 7 * m || scalars.shape(0) != 4) throw std::invalid_argument("weights do not fit the nodes");
        HawkesWeightTable table;
        std::vector<double>* const columns[] = {&table.c,    &table.c_v,  &table.c_w, &table.c_vv,
                                                &table.c_vw, &table.c_ww, &table.p};
        for (std::size_t r = 0; r < 7; ++r) columns[r]->assign(rows.data() + r * m, rows.data() + (r + 1) * m);
        table.base_buy = scalars.data()[0];
        table.base_sell = scalars.data()[1];
        table.n_self = scalars.data()[2];
        table.n_cross = scalars.data()[3];
        return table;
    }

    HawkesHistory history_;
};

}  // namespace

void hawkes(nb::module_ m) {
    m.doc() = "Hawkes kernels";
    m.def("simulate", &simulate);
    m.def("intensity", &intensity);
    nb::class_<Online>(m, "Online")
        .def(nb::init<double, double, double, double, double, double, std::vector<double>, double>())
        .def("reset", &Online::reset)
        .def("event", &Online::event)
        .def("intensity", &Online::intensity)
        .def("now_ns", &Online::now_ns);
    nb::class_<Halt>(m, "Halt").def(nb::init<>()).def("call", &Halt::call).def("heed", &Halt::heed);
    nb::class_<History>(m, "History")
        .def(nb::init<Int64Column, std::optional<Column>, SideColumn, Int64Column, Int64Column, Column, int, int,
                      const std::string&>(),
             nb::arg("time_ns"), nb::arg("offset_ns").none(), nb::arg("side"), nb::arg("sessions_flat"),
             nb::arg("profile_sessions_flat"), nb::arg("profile"), nb::arg("lane_steps"),
             nb::arg("threads"), nb::arg("isa"))
        .def("prepare", &History::prepare)
        .def("tails", &History::tails)
        .def("evaluate", &History::evaluate)
        .def("trace", &History::trace)
        .def("share", &History::share)
        .def("count", &History::count)
        .def("sessions", &History::sessions)
        .def("bytes", &History::bytes);
}

}  // namespace calibrig::bind

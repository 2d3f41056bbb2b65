// Conversion only: the Hawkes kernels as Python sees them.
#include "hawkes_simulation.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include "bind.hpp"
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

nb::object simulate(double n_self, double n_cross, double beta, double gamma, double lambda_base, double asymmetry,
                    std::vector<double> profile, Int64Column sessions_flat, std::uint64_t seed, bool thinning,
                    std::size_t max_events) {
    const HawkesTruth truth{n_self, n_cross, beta, gamma, lambda_base, asymmetry, std::move(profile)};
    const std::size_t sessions = sessions_flat.shape(0) / 2;
    std::vector<EventKeys> keys(sessions);
    std::size_t total = 0;
    {
        nb::gil_scoped_release release;
        for (std::size_t s = 0; s < sessions; ++s) {
            const std::int64_t length = sessions_flat.data()[2 * s + 1] - sessions_flat.data()[2 * s];
            keys[s] = thinning ? simulate_thinning(truth, length, seed, s, max_events - total)
                               : simulate_clusters(truth, length, seed, s, max_events - total);
            total += keys[s].size();
        }
    }
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

}  // namespace

void hawkes(nb::module_ m) {
    m.doc() = "Hawkes kernels";
    m.def("simulate", &simulate);
    nb::class_<Online>(m, "Online")
        .def(nb::init<double, double, double, double, double, double, std::vector<double>, double>())
        .def("reset", &Online::reset)
        .def("event", &Online::event)
        .def("intensity", &Online::intensity)
        .def("now_ns", &Online::now_ns);
}

}  // namespace calibrig::bind

#include "signal.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>

#include "bind.hpp"

namespace nb = nanobind;

namespace calibrig::bind {
namespace {

using Inputs = nb::ndarray<const std::int16_t, nb::shape<-1, n_features>, nb::c_contig, nb::device::cpu>;
using Features = nb::ndarray<const double, nb::shape<-1, n_features>, nb::c_contig, nb::device::cpu>;

template <class T>
nb::object to_numpy(std::vector<T> values, std::initializer_list<std::size_t> shape) {
    auto* owned = new std::vector<T>(std::move(values));
    nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<std::vector<T>*>(p); });
    return nb::cast(nb::ndarray<nb::numpy, T>(owned->data(), shape, owner));
}

Isa isa_named(const std::string& name) {
    if (name.empty()) return active_isa();
    for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
        if (name == name_of(isa)) {
            if (isa > best_isa()) throw nb::value_error("this processor does not have that instruction set");
            return isa;
        }
    throw nb::value_error("give baseline, avx2 or avx512");
}

}  // namespace

void signal(nb::module_ m) {
    m.doc() = "The signal model's kernels.";
    nb::class_<PySignalModel>(m, "Model")
        .def(
            "__init__",
            [](PySignalModel* self, nb::handle record, const std::string& isa) {
                new (self) PySignalModel{std::make_shared<const SignalModel>(read_signal_record(record), isa_named(isa))};
            },
            nb::arg("record"), nb::arg("isa") = "")
        .def_prop_ro("model_id", [](const PySignalModel& self) { return self.model->model_id(); })
        .def("evaluate",
             [](const PySignalModel& self, Inputs inputs) {
                 std::vector<std::int32_t> out(inputs.shape(0));
                 for (std::size_t row = 0; row < out.size(); ++row)
                     out[row] = self.model->evaluate(inputs.data() + row * n_features);
                 const std::size_t rows = out.size();
                 return to_numpy(std::move(out), {rows});
             })
        .def("quantise", [](const PySignalModel& self, Features features) {
            std::vector<std::int16_t> out(features.shape(0) * n_features);
            for (std::size_t row = 0; row < features.shape(0); ++row)
                if (!self.model->quantise(features.data() + row * n_features, out.data() + row * n_features))
                    throw nb::value_error("a feature is NaN or infinite");
            return to_numpy(std::move(out), {features.shape(0), std::size_t{n_features}});
        });
    m.def("available_isas", [] {
        std::vector<std::string> names;
        for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512})
            if (isa <= best_isa()) names.emplace_back(name_of(isa));
        return names;
    });
}

}  // namespace calibrig::bind

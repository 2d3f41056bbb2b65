#include "bridge.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "bind.hpp"
#include "device.hpp"
#include "signal.hpp"

namespace nb = nanobind;

namespace calibrig::bind {
namespace {

// Errors are made in Python, where the tree and its sentences live.
[[noreturn]] void raise_from(const char* maker, nb::handle argument) {
    nb::object error = nb::module_::import_("calibrig.bridge.faults").attr(maker)(argument);
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
    throw nb::python_error();
}
[[noreturn]] void refuse_features(nb::handle features) { raise_from("refuse_features", features); }
// Names the features that are not finite.
[[noreturn]] void refuse_values(const double* features) {
    nb::list values;
    for (int i = 0; i < n_features; ++i) values.append(features[i]);
    raise_from("refuse_values", values);
}
void raise_fault(Fault fault) {
    if (fault != Fault::none) raise_from("make_error", nb::int_(static_cast<int>(fault)));
}

bool read_buffer(nb::handle features, double* out) {
    Py_buffer view;
    if (PyObject_GetBuffer(features.ptr(), &view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) != 0) {
        PyErr_Clear();
        return false;
    }
    const bool good = view.ndim == 1 && view.len == n_features * sizeof(double) && view.format != nullptr &&
                      view.format[0] == 'd' && view.format[1] == '\0';
    if (good) std::memcpy(out, view.buf, n_features * sizeof(double));
    PyBuffer_Release(&view);
    return good;
}

bool read_sequence(nb::handle features, double* out) {
    PyObject* items = PySequence_Fast(features.ptr(), "");
    const bool sized = items != nullptr && PySequence_Fast_GET_SIZE(items) == n_features;
    for (int i = 0; sized && i < n_features; ++i) out[i] = PyFloat_AsDouble(PySequence_Fast_GET_ITEM(items, i));
    Py_XDECREF(items);
    const bool good = sized && PyErr_Occurred() == nullptr;
    PyErr_Clear();
    return good;
}

const double* read_features(nb::handle features, double* local) {
    static PyObject* const buffer_type = nb::type<FeatureBuffer>().ptr();
    if (reinterpret_cast<PyObject*>(Py_TYPE(features.ptr())) == buffer_type) [[likely]]
        return nb::inst_ptr<FeatureBuffer>(features)->values;
    if (PyObject_CheckBuffer(features.ptr()) != 0) {
        if (!read_buffer(features, local)) refuse_features(features);
    } else if (nb::hasattr(features, "to_tuple")) {
        if (!read_sequence(features.attr("to_tuple")(), local)) refuse_features(features);
    } else if (!read_sequence(features, local)) {
        refuse_features(features);
    }
    return local;
}

// The one call whose price matters is a plain C method: nanobind's dispatch costs as much as a small model.
PyObject* predict(PyObject* self, PyObject* features) noexcept {
    try {
        if (!nb::inst_ready(self)) [[unlikely]] raise_fault(Fault::uninitialized);  // a subclass without super().__init__
        double local[n_features];
        const double* values = read_features(features, local);
        const Answer answer = nb::inst_ptr<PyBridge>(self)->native().predict(values, Hold::spin);
        if (!answer.ok()) [[unlikely]] {
            if (answer.fault == Fault::bad_features) refuse_values(values);
            raise_fault(answer.fault);
        }
        return PyFloat_FromDouble(answer.signal);
    } catch (nb::python_error& error) {
        error.restore();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}
PyMethodDef bridge_methods[] = {
    {"predict", &predict, METH_O, "predict($self, features, /)\n--\n\nReturn the signal in [-1, 1]."}, {}};
PyType_Slot bridge_slots[] = {{Py_tp_methods, bridge_methods}, {0, nullptr}};

Golden read_golden(nb::handle record) {
    Golden golden;
    for (nb::handle row : record.attr("golden_features")) {
        const auto values = nb::cast<std::vector<std::int16_t>>(row);
        std::array<std::int16_t, n_features> features{};
        std::copy_n(values.begin(), n_features, features.begin());
        golden.features.push_back(features);
    }
    golden.values = nb::cast<std::vector<std::int32_t>>(record.attr("golden_values"));
    return golden;
}

HistogramCopy copy_path(const BridgeBlock& block, const std::string& path) {
    return path == "device" ? block.copy_device() : block.copy_roundtrip();
}

HistogramCopy copy_of(PyBridge& self, const std::string& path) {
    const BridgeBlock& block = self.native().block();
    HistogramCopy copy = copy_path(block, path);
    copy.subtract(path == "device" ? self.device_baseline : self.roundtrip_baseline);
    return copy;
}

nb::dict count_all(const BridgeBlock& block) {
    nb::dict out;
    const auto put = [&out](const char* name, const std::atomic<std::uint64_t>& value) {
        out[name] = value.load(std::memory_order_relaxed);
    };
    put("calls", block.calls);
    put("hardware", block.hardware);
    put("software", block.software);
    put("fallbacks", block.fallbacks);
    put("failures", block.failures);
    put("shadow_checks", block.shadow_checks);
    put("mismatches", block.mismatches);
    put("swaps", block.swaps);
    put("probes", block.probes);
    nb::list faults;
    for (const auto& fault : block.faults) faults.append(fault.load(std::memory_order_relaxed));
    out["faults"] = faults;
    return out;
}

nb::list read_changes(const BridgeBlock& block, std::uint64_t after) {
    nb::list out;
    const std::uint64_t last = block.changes.load(std::memory_order_acquire);
    const std::uint64_t oldest = last > BridgeBlock::ring_size ? last - BridgeBlock::ring_size : 0;
    StatusChange change;
    for (std::uint64_t index = std::max(after, oldest) + 1; index <= last; ++index)
        if (block.read_change(index, change))
            out.append(nb::make_tuple(change.index, change.time_ns, static_cast<int>(change.from),
                                      static_cast<int>(change.to), static_cast<int>(change.event),
                                      static_cast<int>(change.fault)));
    return out;
}

void bind_histogram(nb::module_& m) {
    nb::class_<HistogramCopy>(m, "LatencyHistogram", "A copy of a latency histogram; nanoseconds.")
        .def(nb::init<>())
        .def_ro("count", &HistogramCopy::count)
        .def_ro("max", &HistogramCopy::max)
        .def_prop_ro("mean", &HistogramCopy::mean)
        .def("percentile", &HistogramCopy::percentile, nb::arg("p"))
        .def("merge", &HistogramCopy::merge, nb::arg("other"))
        .def("to_buckets", [](const HistogramCopy& self) {
            std::vector<std::tuple<std::uint64_t, std::uint64_t>> out;
            for (int b = 0; b < histogram_buckets; ++b)
                if (self.buckets[b] != 0) out.emplace_back(bucket_low(b), self.buckets[b]);
            return out;
        });
}

}  // namespace

void bridge(nb::module_ m) {
    m.doc() = "The hardware-in-the-loop bridge.";
    bind_histogram(m);
    bind_devices(m);

    nb::class_<FeatureBuffer>(m, "FeatureBuffer", "Sixteen features that stay in one place.")
        .def(nb::init<>())
        .def("fill", [](FeatureBuffer& self, nb::handle features) {
            double local[n_features];
            std::memcpy(self.values, read_features(features, local), sizeof self.values);
        })
        .def_prop_ro("array", [](nb::handle self) {
            return nb::ndarray<nb::numpy, double, nb::shape<n_features>>(
                nb::inst_ptr<FeatureBuffer>(self)->values, {static_cast<std::size_t>(n_features)}, self);
        }, nb::rv_policy::reference);

    nb::class_<Answer>(m, "Answer", "One prediction: signal, sequence, model, source.")
        .def_ro("signal", &Answer::signal)
        .def_ro("sequence", &Answer::sequence)
        .def_ro("model_id", &Answer::model_id)
        .def_ro("device_ns", &Answer::device_ns)
        .def_prop_ro("source_code", [](const Answer& self) { return static_cast<int>(self.source); })
        .def_prop_ro("fault_code", [](const Answer& self) { return static_cast<int>(self.fault); });

    nb::class_<PyKeeper>(m, "Keeper").def("close", [](PyKeeper& self) {
        nb::gil_scoped_release unlocked;
        if (self.bridge) self.bridge->close();
        self.bridge.reset();
    });

    nb::class_<PyBridge>(m, "Bridge", nb::is_weak_referenceable(), nb::type_slots(bridge_slots))
        .def(
            "__init__",
            [](PyBridge* self, int mode, nb::handle record, nb::object device, std::int64_t stub_latency_ns, std::int64_t deadline_ns,
               std::uint64_t verify, std::int64_t sla_ns, std::int64_t roundtrip_sla_ns, std::uint64_t seed,
               const std::string& status_path) {
                auto model = std::make_shared<const SignalModel>(read_signal_record(record));
                try {
                    new (self) PyBridge(static_cast<Mode>(mode), std::move(model), read_device(device),
                                        read_golden(record),
                                        {stub_latency_ns, deadline_ns, verify, sla_ns, roundtrip_sla_ns, seed, status_path});
                } catch (const std::system_error& error) {
                    raise_os_error(error, status_path);
                }
            },
            nb::arg("mode"), nb::arg("record"), nb::arg("device").none(), nb::arg("stub_latency_ns"), nb::arg("deadline_ns"), nb::arg("verify"),
            nb::arg("sla_ns"), nb::arg("roundtrip_sla_ns"), nb::arg("seed"), nb::arg("status_path"))
        .def(
            "predict_answer",
            [](PyBridge& self, nb::handle features, bool charge) {
                double local[n_features];
                return self.native().predict(read_features(features, local), charge ? Hold::charge : Hold::spin);
            },
            nb::arg("features").none(), nb::arg("charge") = false)
        .def("_initialize",
             [](PyBridge& self) {
                 nb::gil_scoped_release unlocked;
                 return static_cast<int>(self.native().initialize());
             })
        .def("_close",
             [](PyBridge& self) {
                 nb::gil_scoped_release unlocked;
                 self.native().close();
             })
        .def("_swap",
             [](PyBridge& self, int mode, nb::object record, nb::object device, bool change_device) {
                 Bridge::Wanted next = self.native().wanted();
                 next.mode = static_cast<Mode>(mode);
                 if (!record.is_none()) {
                     next.model = std::make_shared<const SignalModel>(read_signal_record(record));
                     next.golden = read_golden(record);
                 }
                 if (change_device) next.device = read_device(device);
                 nb::gil_scoped_release unlocked;
                 return static_cast<int>(self.native().swap(next.mode, next.model, next.device, next.golden));
             }, nb::arg("mode"), nb::arg("record").none(), nb::arg("device").none(), nb::arg("change_device"))
        .def("_keeper", [](PyBridge& self) { return PyKeeper{self.shared()}; })
        .def("_status", [](PyBridge& self) { return static_cast<int>(self.native().status()); })
        .def("_mode", [](PyBridge& self) { return static_cast<int>(self.native().mode()); })
        .def("_sla_ns", [](PyBridge& self) { return self.native().sla_ns(); })
        .def("_histogram", &copy_of)
        .def("_counts", [](PyBridge& self) { return count_all(self.native().block()); })
        .def("_baselines", [](PyBridge& self) {
            return std::make_tuple(self.failures_baseline, self.fallbacks_baseline);
        })
        .def("_changes", [](PyBridge& self, std::uint64_t after) { return read_changes(self.native().block(), after); })
        .def("_reset", [](PyBridge& self) {
            const BridgeBlock& block = self.native().block();
            self.native().reset_maximum();
            self.device_baseline = block.copy_device();
            self.roundtrip_baseline = block.copy_roundtrip();
            self.failures_baseline = block.failures.load(std::memory_order_relaxed);
            self.fallbacks_baseline = block.fallbacks.load(std::memory_order_relaxed);
        });

    nb::class_<BlockView>(m, "BlockView", "A running bridge's block, from another process.")
        .def("__init__",
             [](BlockView* self, const std::string& path) {
                 try {
                     new (self) BlockView(path);
                 } catch (const std::system_error& error) {
                     raise_os_error(error, path);
                 }
             })
        .def_prop_ro("header", [](const BlockView& self) {
            const BridgeBlock& block = *self;
            return nb::make_tuple(block.pid.load(), block.started_ns.load(), block.status.load(), block.mode.load(),
                                  block.model_id.load());
        })
        .def("histogram", [](const BlockView& self, const std::string& path) {
            return copy_path(*self, path);
        })
        .def("counts", [](const BlockView& self) { return count_all(*self); })
        .def("changes", [](const BlockView& self, std::uint64_t after) { return read_changes(*self, after); });

    m.def("clock", [] {
        const Clock& clock = Clock::get();
        return std::make_tuple(clock.uses_tsc(), clock.ticks_per_ns(), clock.overhead_ns());
    }, "Whether calls are timed by the time-stamp counter, its ticks per ns, and the cost taken out (ns).");
    m.def("health_table", [] {
        std::vector<std::vector<int>> table;
        for (const auto& row : health_table) {
            std::vector<int>& out = table.emplace_back();
            for (Status status : row) out.push_back(static_cast<int>(status));
        }
        return table;
    });
}

}  // namespace calibrig::bind

#include "device.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "../drive.hpp"
#include "../scripted_device.hpp"
#include "../shm.hpp"
#include "signal.hpp"

namespace nb = nanobind;

namespace calibrig::bind {
namespace {

// A Device written in Python. Whatever it raises is a fault of the device, never of the caller.
class PythonDevice final : public Device {
   public:
    explicit PythonDevice(nb::object device) : device_(std::move(device)) {}
    ~PythonDevice() override {
        nb::gil_scoped_acquire locked;
        device_.reset();
    }
    DeviceIdentity identity() noexcept override {
        DeviceIdentity who;
        call([&] {
            nb::object is = device_.attr("identity")();
            who = {nb::cast<std::uint32_t>(is.attr("word")), nb::cast<std::uint32_t>(is.attr("abi_version")),
                   nb::cast<std::uint32_t>(is.attr("model_id")), nb::cast<std::uint32_t>(is.attr("build_id")),
                   nb::cast<std::uint32_t>(is.attr("clock_hz"))};
        });
        return who;
    }
    bool submit(const RequestLine& request) noexcept override {
        return call([&] {
            auto* values = new std::int16_t[n_features];
            std::memcpy(values, request.features, sizeof request.features);
            nb::capsule owner(values, [](void* p) noexcept { delete[] static_cast<std::int16_t*>(p); });
            const std::size_t shape[1] = {n_features};
            device_.attr("submit")(request.sequence,
                                   nb::cast(nb::ndarray<nb::numpy, std::int16_t>(values, 1, shape, owner)),
                                   request.model_id);
        });
    }
    bool poll(std::uint64_t sequence, std::int64_t budget_ns, ReplyLine& reply) noexcept override {
        bool found = false;
        call([&] {
            nb::object line = device_.attr("poll")(sequence, budget_ns);
            if (line.is_none()) return;
            const auto bytes = nb::cast<nb::bytes>(line);
            if (bytes.size() != sizeof reply) throw nb::value_error("poll must return 64 bytes or None");
            std::memcpy(&reply, bytes.c_str(), sizeof reply);
            found = true;
        });
        return found;
    }
    bool present() noexcept override { return identity().word == card_identity_word; }

   private:
    template <class F>
    bool call(F&& body) noexcept {
        nb::gil_scoped_acquire locked;
        try {
            body();
            return true;
        } catch (nb::python_error& error) {
            error.discard_as_unraisable("a device");
        } catch (const std::exception& error) {
            PyErr_SetString(PyExc_RuntimeError, error.what());
            PyErr_WriteUnraisable(device_.ptr());
        }
        return false;
    }
    nb::object device_;
};

nb::tuple to_tuple(const DeviceIdentity& who) {
    return nb::make_tuple(who.word, who.abi_version, who.model_id, who.build_id, who.clock_hz);
}

void bind_scripted(nb::module_& m) {
    struct PyScripted : PyNativeDevice {};
    nb::class_<PyScripted, PyNativeDevice>(m, "ScriptedDevice")
        .def(
            "__init__",
            [](PyScripted* self, nb::handle record, std::uint64_t seed, double rate, const std::vector<int>& kinds,
               std::int64_t slow_ns, int removed_for) {
                ScriptedDevice::Options options;
                options.seed = seed;
                options.rate = rate;
                for (int kind : kinds) options.kinds.push_back(static_cast<Misbehaviour>(kind));
                options.slow_ns = slow_ns;
                options.removed_for = removed_for;
                auto model = std::make_shared<const SignalModel>(read_signal_record(record));
                new (self) PyScripted{{std::make_shared<ScriptedDevice>(std::move(model), options)}};
            },
            nb::arg("record"), nb::arg("seed"), nb::arg("rate"), nb::arg("kinds"), nb::arg("slow_ns"),
            nb::arg("removed_for"))
        .def("add_to_script",
             [](PyScripted& self, const std::vector<int>& kinds) {
                 std::vector<Misbehaviour> script;
                 for (int kind : kinds) script.push_back(static_cast<Misbehaviour>(kind));
                 static_cast<ScriptedDevice&>(*self.device).add_to_script(script);
             })
        .def_prop_rw(
            "dead", [](PyScripted& self) { return static_cast<ScriptedDevice&>(*self.device).dead.load(); },
            [](PyScripted& self, bool dead) { static_cast<ScriptedDevice&>(*self.device).dead.store(dead); })
        .def_prop_rw(
            "probes_fail", [](PyScripted& self) { return static_cast<ScriptedDevice&>(*self.device).probes_fail.load(); },
            [](PyScripted& self, bool fail) { static_cast<ScriptedDevice&>(*self.device).probes_fail.store(fail); })
        .def_prop_ro("injected", [](PyScripted& self) {
            std::vector<std::uint64_t> counts;
            for (const auto& count : static_cast<ScriptedDevice&>(*self.device).injected) counts.push_back(count.load());
            return counts;
        });
}

void bind_shared_memory(nb::module_& m) {
    struct PyShared : PyNativeDevice {};
    nb::class_<PyShared, PyNativeDevice>(m, "SharedMemoryDevice")
        .def("__init__",
             [](PyShared* self, const std::string& path) {
                 try {
                     new (self) PyShared{{std::make_shared<SharedMemoryDevice>(path)}};
                 } catch (const std::system_error& error) {
                     raise_os_error(error, path);
                 }
             })
        .def("read32", [](PyShared& self, std::size_t offset) {
            return static_cast<SharedMemoryDevice&>(*self.device).read32(offset);
        })
        .def("write32", [](PyShared& self, std::size_t offset, std::uint32_t value) {
            static_cast<SharedMemoryDevice&>(*self.device).write32(offset, value);
        });

    struct PyCard {
        std::unique_ptr<SoftwareCard> card;
        std::atomic<bool> stop{false};
    };
    nb::class_<PyCard>(m, "SoftwareCard")
        .def("__init__",
             [](PyCard* self, const std::string& path, nb::handle record, std::uint32_t clock_hz) {
                 auto model = std::make_shared<const SignalModel>(read_signal_record(record));
                 new (self) PyCard{};
                 try {
                     self->card = std::make_unique<SoftwareCard>(path, std::move(model), clock_hz);
                 } catch (const std::system_error& error) {
                     self->~PyCard();
                     raise_os_error(error, path);
                 }
             })
        .def("serve",
             [](PyCard& self, bool echo) {
                 nb::gil_scoped_release unlocked;
                 self.card->serve(self.stop, echo);
             }, nb::arg("echo") = false)
        .def("stop", [](PyCard& self) { self.stop.store(true); })
        // A child that serves until it is killed or this process ends; its id. It runs no Python.
        .def("fork", [](PyCard& self, bool echo) {
            const pid_t parent = ::getpid();
            const pid_t child = ::fork();
            if (child < 0) throw std::runtime_error("fork failed");
            if (child == 0) {
                ::prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (::getppid() != parent) ::_exit(1);
                self.card->serve(self.stop, echo);
                ::_exit(0);
            }
            return static_cast<int>(child);
        }, nb::arg("echo") = false);
}

nb::dict to_dict(const DriveReport& report) {
    nb::dict out;
    out["calls"] = report.calls;
    out["wrong"] = report.wrong;
    out["unanswered"] = report.unanswered;
    out["sequence_errors"] = report.sequence_errors;
    out["over_limit"] = report.over_limit;
    out["software"] = report.by_source[1];
    out["hardware"] = report.by_source[2];
    out["fallback"] = report.by_source[3];
    out["longest_ns"] = report.longest_ns;
    out["total_ns"] = report.total_ns;
    return out;
}

}  // namespace

void raise_os_error(const std::system_error& error, const std::string& path) {
    errno = error.code().value();
    PyErr_SetFromErrnoWithFilename(PyExc_OSError, path.c_str());
    throw nb::python_error();
}

std::shared_ptr<Device> read_device(nb::object device) {
    if (device.is_none()) return nullptr;
    nb::object native = nb::hasattr(device, "native") ? nb::object(device.attr("native")) : device;
    if (nb::isinstance<PyNativeDevice>(native)) return nb::cast<PyNativeDevice&>(native).device;
    return std::make_shared<PythonDevice>(std::move(device));
}

void bind_devices(nb::module_& m) {
    nb::class_<PyNativeDevice>(m, "NativeDevice")
        .def("identity", [](PyNativeDevice& self) { return to_tuple(self.device->identity()); })
        .def("present", [](PyNativeDevice& self) { return self.device->present(); })
        .def("submit",
             [](PyNativeDevice& self, std::uint64_t sequence,
                nb::ndarray<const std::int16_t, nb::shape<n_features>, nb::c_contig> features, std::uint32_t model_id) {
                 return self.device->submit(make_request(sequence, model_id, features.data()));
             })
        .def("poll", [](PyNativeDevice& self, std::uint64_t sequence, std::int64_t deadline_ns) -> nb::object {
            const Clock& clock = Clock::get();
            const std::uint64_t from = clock.start(), limit = clock.to_ticks(deadline_ns);
            ReplyLine reply{};
            do {
                if (self.device->poll(sequence, deadline_ns, reply) && reply.sequence == sequence)
                    return nb::bytes(reinterpret_cast<const char*>(&reply), sizeof reply);
            } while (clock.start() - from < limit);
            return nb::none();
        });
    bind_scripted(m);
    bind_shared_memory(m);
    m.def(
        "drive",
        [](PyBridge& bridge, nb::ndarray<const double, nb::shape<-1, n_features>, nb::c_contig> features,
           nb::ndarray<const double, nb::shape<-1>, nb::c_contig> expected, std::uint64_t calls, bool charge,
           std::int64_t limit_ns) {
            DriveReport report;
            {
                nb::gil_scoped_release unlocked;
                report = drive(bridge.native(), features.data(), expected.data(), expected.shape(0), calls,
                               charge ? Hold::charge : Hold::spin, limit_ns);
            }
            return to_dict(report);
        },
        nb::arg("bridge"), nb::arg("features"), nb::arg("expected"), nb::arg("calls"), nb::arg("charge") = false,
        nb::arg("limit_ns") = INT64_MAX);
    using Rows = nb::ndarray<const double, nb::shape<-1, n_features>, nb::c_contig>;
    m.def("time_bridge_ns", [](PyBridge& bridge, Rows features, std::uint64_t calls) {
        nb::gil_scoped_release unlocked;
        return time_bridge_ns(bridge.native(), features.data(), features.shape(0), calls);
    });
    m.def("time_kernel_ns", [](nb::handle record, Rows features, std::uint64_t calls) {
        const SignalModel model(read_signal_record(record));
        nb::gil_scoped_release unlocked;
        return time_kernel_ns(model, features.data(), features.shape(0), calls);
    });
    m.def("measure_stall_ns", [](std::int64_t duration_ns) {
        nb::gil_scoped_release unlocked;
        return measure_stall_ns(duration_ns);
    });
    m.def("crc32", [](nb::bytes data) { return crc32(data.c_str(), data.size()); });
}

}  // namespace calibrig::bind

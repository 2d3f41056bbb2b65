// The compiled core: one submodule per room, each bound in its own file. Binding code converts, nothing more.
#include <nanobind/nanobind.h>

#include "bind.hpp"
#include "isa.hpp"

NB_MODULE(_native, m) {
    m.doc() = "calibrig's compiled core";
    m.def("isa", [] { return calibrig::name_of(calibrig::active_isa()); },
          "Name of the instruction set in use: baseline, avx2 or avx512.");
    calibrig::bind::hawkes(m.def_submodule("hawkes"));
    calibrig::bind::market(m.def_submodule("market"));
    calibrig::bind::signal(m.def_submodule("signal"));
    calibrig::bind::bridge(m.def_submodule("bridge"));
    calibrig::bind::store(m.def_submodule("store"));
    calibrig::bind::engine(m.def_submodule("engine"));
}

// Devices across the language border: native ones for Python, Python ones for the bridge.
#pragma once

#include "bridge.hpp"

namespace calibrig::bind {

void bind_devices(nanobind::module_& m);

[[noreturn]] void raise_os_error(const std::system_error& error, const std::string& path);

// The device behind a Python object: native where it has one, else an adapter that calls its Python methods.
std::shared_ptr<Device> read_device(nanobind::object device);

}  // namespace calibrig::bind

// One function per room; each lives in native/bind/<room>.cpp.
#pragma once

#include <nanobind/nanobind.h>

namespace calibrig::bind {

void hawkes(nanobind::module_ m);
void market(nanobind::module_ m);
void signal(nanobind::module_ m);
void bridge(nanobind::module_ m);
void engine(nanobind::module_ m);
void store(nanobind::module_ m);

}  // namespace calibrig::bind

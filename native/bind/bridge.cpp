#include "bind.hpp"

namespace calibrig::bind {

void bridge(nanobind::module_ m) { m.doc() = "bridge"; }

}  // namespace calibrig::bind

#include "bind.hpp"

namespace calibrig::bind {

void signal(nanobind::module_ m) { m.doc() = "signal"; }

}  // namespace calibrig::bind

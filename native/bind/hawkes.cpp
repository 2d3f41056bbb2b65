#include "bind.hpp"

namespace calibrig::bind {

void hawkes(nanobind::module_ m) { m.doc() = "hawkes"; }

}  // namespace calibrig::bind

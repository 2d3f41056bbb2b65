#include "bind.hpp"

namespace calibrig::bind {

void market(nanobind::module_ m) { m.doc() = "market"; }

}  // namespace calibrig::bind

#include "bind.hpp"

namespace calibrig::bind {

void engine(nanobind::module_ m) { m.doc() = "engine"; }

}  // namespace calibrig::bind

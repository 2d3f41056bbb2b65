// The store's block as other rooms' bindings hold it.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>

#include "../apply_block.hpp"
#include "../store_block.hpp"

namespace calibrig::bind {

// Shared, so that an engine may look at it longer than Python holds it.
struct PyStoreBlock {
    std::shared_ptr<StoreBlockWriter> writer;
};

nanobind::dict describe_applied(const ApplyBlock& block);

}  // namespace calibrig::bind

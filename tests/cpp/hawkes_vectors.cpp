// Prints what one instruction set's Hawkes kernels make of a seeded history: compared across instruction sets.
#include <cmath>
#include <cstdio>
#include <cstring>

#include "hawkes_history.hpp"

using namespace calibrig;

static std::uint64_t state = 7;
static double draw() {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return static_cast<double>(state >> 11) * 0x1p-53;
}

int main(int argc, char** argv) {
    Isa isa = Isa::baseline;
    for (Isa named : {Isa::avx2, Isa::avx512})
        if (argc > 1 && std::strcmp(argv[1], name_of(named)) == 0) isa = named;

    constexpr std::int64_t hour = 3'600'000'000'000;
    std::vector<HawkesHistory::Session> sessions;
    std::vector<std::int64_t> times;
    std::vector<std::int8_t> sides;
    for (std::int64_t s = 0; s < 3; ++s) {  // of odd sizes, so that lanes and blocks end unevenly
        sessions.push_back({24 * s * hour, 24 * s * hour + hour, 24 * s * hour, 24 * s * hour + hour});
        double now = 0.0;
        for (std::int64_t i = 0; i < 1'000 + 337 * s; ++i) {
            now += -std::log(1.0 - draw()) * (draw() < 0.3 ? 1e-4 : 1.0);
            times.push_back(24 * s * hour + static_cast<std::int64_t>(now * 1e9));
            sides.push_back(draw() < 0.5 ? 1 : -1);
        }
    }
    HawkesHistory history({times.data(), nullptr, sides.data(), times.size()}, sessions, {0.5, 1.0, 1.5}, 61, 1, isa);
    if (!history.prepare({1e-4, 1e2}, 9, 1, {})) return 1;
    HawkesWeightTable table;
    for (auto* column : {&table.c, &table.c_v, &table.c_w, &table.c_vv, &table.c_vw, &table.c_ww, &table.p})
        for (std::size_t k = 0; k < history.node_count(); ++k)
            column->push_back(column == &table.c || column == &table.p ? draw() : draw() - 0.5);
    table.base_buy = 0.6, table.base_sell = 0.4, table.n_self = 0.5, table.n_cross = 0.2;

    std::vector<double> sums;
    for (int order = 0; order < 3; ++order) {
        if (!history.evaluate(order, table, 1, {}, sums)) return 1;
        for (double value : sums) std::printf("%.17g\n", value);
    }
    std::vector<double> columns[4];
    for (auto& column : columns) column.resize(times.size());
    if (!history.trace(table, 0, times.size(), 1, {},
                       {columns[0].data(), columns[1].data(), columns[2].data(), columns[3].data()}))
        return 1;
    for (const auto& column : columns)
        for (double value : column) std::printf("%.17g\n", value);
}

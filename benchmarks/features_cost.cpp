// What the 16 features cost a tick: reads ticks as rows of 8 int64 (time ns, kind 0 quote or 1 trade, side, lots, bid, bid lots,
// ask, ask lots) and prints the median of the mean time of a tick, update and write, ns of CPU time.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <vector>

#include "features.hpp"

using namespace calibrig;

struct Row {
    std::int64_t time_ns, kind, side, lots, bid, bid_lots, ask, ask_lots;
};

static double cpu_ns() {
    timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

int main(int argc, char** argv) {
    std::FILE* file = argc == 2 ? std::fopen(argv[1], "rb") : nullptr;
    if (file == nullptr) return 2;
    std::vector<Row> rows(1 << 20);
    rows.resize(std::fread(rows.data(), sizeof(Row), rows.size(), file));
    std::fclose(file);
    if (rows.empty()) return 2;
    std::vector<double> found;
    alignas(64) double out[Features::count];
    for (int repeat = 0; repeat < 15; ++repeat) {
        Features features;
        const double start = cpu_ns();
        for (const Row& row : rows) {
            if (row.kind == 1)
                features.trade(row.time_ns, static_cast<int>(row.side), row.lots);
            else
                features.quote(row.time_ns, {row.bid, row.bid_lots, row.ask, row.ask_lots});
            features.write(out, 1.0, 1.0, 0.0);
            asm volatile("" : : "r"(out) : "memory");  // every feature is used
        }
        found.push_back((cpu_ns() - start) / static_cast<double>(rows.size()));
    }
    std::sort(found.begin(), found.end());
    std::printf("%.2f\n", found[found.size() / 2]);
}

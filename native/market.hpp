// Best quotes from one-sided updates: carry each side forward and keep the states that stood.
#pragma once

#include <cstdint>

namespace calibrig::market {

struct CarryReport {
    std::int64_t kept = 0;       // states written
    std::int64_t one_sided = 0;  // rows before both sides were known
    std::int64_t unchanged = 0;  // rows that changed nothing
    std::int64_t transient = 0;  // crossed or locked states that another row of the same stamp replaced
    std::int64_t suspicious = 0; // rows marked by the vendor
    std::int64_t negative = 0;    // rows with a price below zero
};

// In place: columns of n one-sided rows (price 0 = this side says nothing) become `kept` two-sided states.
inline CarryReport carry_quotes(std::int64_t* time, std::int64_t* bid, std::int64_t* bid_size, std::int64_t* ask,
                                std::int64_t* ask_size, const std::int64_t* suspicious, std::int64_t n) noexcept {
    CarryReport report;
    std::int64_t b = 0, bs = 0, a = 0, as = 0;
    std::int64_t kept_b = 0, kept_bs = 0, kept_a = 0, kept_as = 0;
    for (std::int64_t i = 0; i < n; ++i) {
        const std::int64_t t = time[i];
        const bool last_of_stamp = i + 1 == n || time[i + 1] != t;
        if (suspicious[i] != 0) {
            ++report.suspicious;
        } else if (bid[i] < 0 || ask[i] < 0 || bid_size[i] < 0 || ask_size[i] < 0) {
            ++report.negative;
        } else {
            if (bid[i] > 0) {
                b = bid[i];
                bs = bid_size[i];
            }
            if (ask[i] > 0) {
                a = ask[i];
                as = ask_size[i];
            }
        }
        if (b == 0 || a == 0) {
            ++report.one_sided;
            continue;
        }
        if (b >= a && !last_of_stamp) {
            ++report.transient;
            continue;
        }
        if (b == kept_b && bs == kept_bs && a == kept_a && as == kept_as) {
            ++report.unchanged;
            continue;
        }
        kept_b = b;
        kept_bs = bs;
        kept_a = a;
        kept_as = as;
        time[report.kept] = t;
        bid[report.kept] = b;
        bid_size[report.kept] = bs;
        ask[report.kept] = a;
        ask_size[report.kept] = as;
        ++report.kept;
    }
    return report;
}

}  // namespace calibrig::market

// Delimited text into integer and float columns: exact decimals, one pass, and for a bad row its line, column and reason.
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace calibrig::market {

enum class Kind : int {
    skip = 0,      // not looked at
    integer = 1,   // int64
    decimal = 2,   // int64, the number times 10^decimals; digits beyond that must be zero
    real = 3,      // double, stored as its bits
    word = 4,      // the first eight bytes of the text, little endian
    optional = 5,  // int64, an empty field is 0
    rounded = 6,   // like decimal, but further digits are rounded away and an empty field is 0
};

enum class Fault : int { none = 0, too_few = 1, too_many = 2, empty = 3, not_a_number = 4, out_of_range = 5, too_precise = 6 };

struct Column {
    Kind kind;
    int decimals;
    std::int64_t* out;  // nullptr for skip; room for every line
};

struct TableReport {
    std::int64_t rows = 0;     // rows stored
    std::int64_t lines = 0;    // lines that were not blank
    std::int64_t bad = 0;      // lines with a fault
    std::int64_t line = 0;     // first faulty line, from 1
    int column = 0;            // its column, from 0
    Fault fault = Fault::none;
    const char* field = nullptr;
    std::int64_t field_length = 0;
};

inline constexpr std::int64_t kPowersOfTen[19] = {1LL,
                                                  10LL,
                                                  100LL,
                                                  1000LL,
                                                  10000LL,
                                                  100000LL,
                                                  1000000LL,
                                                  10000000LL,
                                                  100000000LL,
                                                  1000000000LL,
                                                  10000000000LL,
                                                  100000000000LL,
                                                  1000000000000LL,
                                                  10000000000000LL,
                                                  100000000000000LL,
                                                  1000000000000000LL,
                                                  10000000000000000LL,
                                                  100000000000000000LL,
                                                  1000000000000000000LL};

// The number in [p, end) times 10^decimals. Scientific notation goes through double and is rounded.
inline Fault parse_decimal(const char* p, const char* end, int decimals, std::int64_t& value,
                           bool rounding = false) noexcept {
    const char* const begin = p;
    if (p == end) return Fault::empty;
    const bool negative = *p == '-';
    if (negative || *p == '+') ++p;
    std::uint64_t number = 0;
    const char* digits = p;
    while (p != end && static_cast<unsigned>(*p - '0') <= 9U) number = number * 10U + static_cast<unsigned>(*p++ - '0');
    auto count = p - digits;
    if (count > 19 || number > 9'223'372'036'854'775'807ULL) return Fault::out_of_range;
    int left = decimals;
    if (p != end && *p == '.') {
        ++p;
        while (p != end && static_cast<unsigned>(*p - '0') <= 9U) {
            if (left > 0) {
                if (number > 900'000'000'000'000'000ULL) return Fault::out_of_range;
                number = number * 10U + static_cast<unsigned>(*p - '0');
                --left;
            } else if (rounding) {
                number += *p >= '5';
                while (p != end && static_cast<unsigned>(*p - '0') <= 9U) ++p;
                break;
            } else if (*p != '0') {
                while (p != end && static_cast<unsigned>(*p - '0') <= 9U) ++p;
                if (p == end) return Fault::too_precise;
                break;
            }
            ++count;
            ++p;
        }
    }
    if (count == 0) return Fault::not_a_number;
    if (p != end) {
        if (*p != 'e' && *p != 'E') return Fault::not_a_number;
        double real = 0.0;
        const auto [rest, error] = std::from_chars(*begin == '+' ? begin + 1 : begin, end, real);
        if (error != std::errc{} || rest != end) return Fault::not_a_number;
        const double scaled = real * static_cast<double>(kPowersOfTen[decimals]);
        if (!(std::fabs(scaled) < 9.0e17)) return Fault::out_of_range;
        value = std::llround(scaled);
        return Fault::none;
    }
    if (left > 0) {
        const auto limit = 9'000'000'000'000'000'000ULL / static_cast<std::uint64_t>(kPowersOfTen[left]);
        if (number > limit) return Fault::out_of_range;
        number *= static_cast<std::uint64_t>(kPowersOfTen[left]);
    }
    value = negative ? -static_cast<std::int64_t>(number) : static_cast<std::int64_t>(number);
    return Fault::none;
}

inline Fault parse_real(const char* p, const char* end, std::int64_t& bits) noexcept {
    if (p == end) return Fault::empty;
    double real = 0.0;
    const auto [rest, error] = std::from_chars(p, end, real);
    if (error == std::errc::result_out_of_range) return Fault::out_of_range;
    if (error != std::errc{} || rest != end || !std::isfinite(real)) return Fault::not_a_number;
    std::memcpy(&bits, &real, sizeof bits);
    return Fault::none;
}

inline Fault parse_word(const char* p, const char* end, std::int64_t& word) noexcept {
    char text[8] = {};
    const auto length = end - p;
    std::memcpy(text, p, static_cast<std::size_t>(length < 8 ? length : 8));
    std::memcpy(&word, text, 8);
    return Fault::none;
}

inline Fault parse_field(const Column& column, const char* p, const char* end, std::int64_t& value) noexcept {
    switch (column.kind) {
        case Kind::integer: return parse_decimal(p, end, 0, value);
        case Kind::decimal: return parse_decimal(p, end, column.decimals, value);
        case Kind::real: return parse_real(p, end, value);
        case Kind::word: return parse_word(p, end, value);
        case Kind::optional:
            value = 0;
            return p == end ? Fault::none : parse_decimal(p, end, 0, value);
        case Kind::rounded:
            value = 0;
            return p == end ? Fault::none : parse_decimal(p, end, column.decimals, value, true);
        default: return Fault::none;
    }
}

// Read every line of [text, text + size) into the columns. Without skip_bad the first fault ends the reading.
inline TableReport parse_table(const char* text, std::int64_t size, const std::vector<Column>& columns, char delimiter,
                               bool skip_bad) noexcept {
    TableReport report;
    const char* const stop = text + size;
    const int width = static_cast<int>(columns.size());
    std::int64_t line = 0;
    const char* p = text;
    while (p != stop) {
        ++line;
        const char* const newline = static_cast<const char*>(std::memchr(p, '\n', static_cast<std::size_t>(stop - p)));
        const char* const next = newline == nullptr ? stop : newline + 1;
        const char* last = newline == nullptr ? stop : newline;
        if (last != p && last[-1] == '\r') --last;
        if (last == p) {
            p = next;
            continue;
        }
        ++report.lines;
        Fault fault = Fault::none;
        int index = 0;
        const char* field = p;
        const char* field_end = p;
        for (;;) {
            field_end = field;
            if (index == width) {
                while (field_end != last && *field_end != delimiter) ++field_end;
                fault = Fault::too_many;
                break;
            }
            const Column& column = columns[static_cast<std::size_t>(index)];
            bool done = column.kind == Kind::skip;
            if (column.kind == Kind::integer) {  // the usual case in one pass; whatever is unusual goes the long way
                std::int64_t number = 0;
                while (field_end != last && static_cast<unsigned>(*field_end - '0') <= 9U && field_end - field < 18)
                    number = number * 10 + (*field_end++ - '0');
                done = field_end != field && (field_end == last || *field_end == delimiter);
                if (done) column.out[report.rows] = number;
            }
            while (field_end != last && *field_end != delimiter) ++field_end;
            if (!done) {
                fault = parse_field(column, field, field_end, column.out[report.rows]);
                if (fault != Fault::none) break;
            }
            if (field_end == last) break;
            field = field_end + 1;
            ++index;
        }
        if (fault == Fault::none && index + 1 < width) fault = Fault::too_few;
        if (fault == Fault::none) {
            ++report.rows;
        } else {
            if (report.bad++ == 0) {
                report.line = line;
                report.column = index;
                report.fault = fault;
                report.field = field;
                report.field_length = field_end - field;
            }
            if (!skip_bad) return report;
        }
        p = next;
    }
    return report;
}

inline std::int64_t count_lines(const char* text, std::int64_t size) noexcept {
    std::int64_t lines = 1;
    const char* const stop = text + size;
    for (const char* p = text; p != stop; ++p) lines += *p == '\n';
    return lines;
}

}  // namespace calibrig::market

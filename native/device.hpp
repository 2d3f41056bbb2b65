// What the bridge needs of a card: 64-byte request and reply lines (card ABI, version 1), and how a reply is checked.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace calibrig {

inline constexpr std::uint32_t card_identity_word = 0x43414C42;  // "CALB"
inline constexpr std::uint32_t card_abi_version = 1;

struct alignas(64) RequestLine {
    std::uint64_t sequence;
    std::uint32_t model_id;
    std::uint32_t flags;
    std::int16_t features[16];
    std::uint8_t reserved[12];
    std::uint32_t crc;  // of the 60 bytes before it
};
static_assert(sizeof(RequestLine) == 64 && offsetof(RequestLine, crc) == 60);

struct alignas(64) ReplyLine {
    std::uint64_t sequence;
    std::int32_t value;
    std::uint32_t cycles;
    std::uint32_t model_id;
    std::uint16_t status;  // 0: good
    std::uint16_t pad;
    std::uint32_t crc;  // of the 24 bytes before it
    std::uint8_t zeros[36];
};
static_assert(sizeof(ReplyLine) == 64 && offsetof(ReplyLine, crc) == 24);

// CRC-32 (IEEE 802.3, reflected, as zlib's crc32), eight bytes a step.
inline constexpr auto crc_tables = [] {
    std::array<std::array<std::uint32_t, 256>, 8> tables{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t c = i;
        for (int k = 0; k < 8; ++k) c = (c & 1) != 0 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
        tables[0][i] = c;
    }
    for (int t = 1; t < 8; ++t)
        for (std::uint32_t i = 0; i < 256; ++i)
            tables[t][i] = (tables[t - 1][i] >> 8) ^ tables[0][tables[t - 1][i] & 0xFF];
    return tables;
}();

inline std::uint32_t crc32(const void* data, std::size_t size) noexcept {
    const auto* at = static_cast<const unsigned char*>(data);
    std::uint32_t crc = 0xFFFFFFFFu;
    for (; size >= 8; size -= 8, at += 8) {
        std::uint32_t a = 0, b = 0;
        std::memcpy(&a, at, 4);
        std::memcpy(&b, at + 4, 4);
        a ^= crc;
        crc = crc_tables[7][a & 0xFF] ^ crc_tables[6][(a >> 8) & 0xFF] ^ crc_tables[5][(a >> 16) & 0xFF] ^
              crc_tables[4][a >> 24] ^ crc_tables[3][b & 0xFF] ^ crc_tables[2][(b >> 8) & 0xFF] ^
              crc_tables[1][(b >> 16) & 0xFF] ^ crc_tables[0][b >> 24];
    }
    for (; size > 0; --size, ++at) crc = crc_tables[0][(crc ^ *at) & 0xFF] ^ (crc >> 8);
    return crc ^ 0xFFFFFFFFu;
}

enum class Fault : std::uint8_t {
    none,
    uninitialized,  // predict before initialize
    closed,         // predict after close
    concurrent,     // a second thread inside the same bridge
    bad_features,   // NaN or infinite
    timeout,        // no valid answer within the deadline
    removed,        // the device is not there any more
    crc,            // only answers that fail their checksum
    sequence,       // only answers to other requests
    model,          // an answer of another model
    device_status,  // the device reports an error of its own
    range,          // a value outside [-1, 1]
    mismatch,       // a shadow check in software found another number
    left,           // the device was left earlier and has not passed its probes yet
};

struct DeviceIdentity {
    std::uint32_t word = 0, abi_version = 0, model_id = 0, build_id = 0, clock_hz = 0;
};

// One user at a time: the predicting thread, or the prober after the bridge has left the device.
class Device {
   public:
    Device() = default;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;
    virtual ~Device() = default;

    virtual DeviceIdentity identity() noexcept = 0;
    // Hands one request over; false where the device cannot be reached any more.
    virtual bool submit(const RequestLine& request) noexcept = 0;
    // Copies the reply line as it stands, valid or not; false where there is none. Returns within budget_ns.
    virtual bool poll(std::uint64_t sequence, std::int64_t budget_ns, ReplyLine& reply) noexcept = 0;
    // Positive evidence that the device is there: identity word, advancing counter.
    virtual bool present() noexcept = 0;
};

inline RequestLine make_request(std::uint64_t sequence, std::uint32_t model_id, const std::int16_t* features) noexcept {
    RequestLine request{};
    request.sequence = sequence;
    request.model_id = model_id;
    std::memcpy(request.features, features, sizeof request.features);
    request.crc = crc32(&request, offsetof(RequestLine, crc));
    return request;
}

inline Fault check_reply(const ReplyLine& reply, std::uint64_t sequence, std::uint32_t model_id,
                         std::int64_t one) noexcept {
    if (reply.sequence != sequence) return Fault::sequence;
    if (reply.crc != crc32(&reply, offsetof(ReplyLine, crc))) return Fault::crc;
    if (reply.model_id != model_id) return Fault::model;
    if (reply.status != 0) return Fault::device_status;
    if (reply.value > one || reply.value < -one) return Fault::range;
    return Fault::none;
}

}  // namespace calibrig

// The verilated card behind a small C interface: registers over AXI4-Lite, request and reply lines, one clock.
#include <cstdint>
#include <cstring>
#include <memory>

#include "Vcalibrig_card.h"
#include "verilated.h"

double sc_time_stamp() { return 0; }

namespace {

constexpr int patience_clocks = 1 << 20;

struct Card {
    VerilatedContext context;
    std::unique_ptr<Vcalibrig_card> rtl;
    std::uint64_t clocks = 0;

    Card() : rtl(std::make_unique<Vcalibrig_card>(&context)) { reset(); }

    // Inputs change while the clock is low; outputs are read before the rising edge.
    void clock() {
        rtl->clk = 1;
        rtl->eval();
        rtl->clk = 0;
        rtl->eval();
        ++clocks;
    }
    void reset() {
        rtl->clk = 0;
        rtl->resetn = 0;
        rtl->s_axil_awvalid = rtl->s_axil_wvalid = rtl->s_axil_arvalid = 0;
        rtl->s_axil_awprot = rtl->s_axil_arprot = 0;
        rtl->s_axil_bready = rtl->s_axil_rready = 1;
        rtl->s_line_valid = 0;
        rtl->m_line_ready = 1;
        rtl->eval();
        clock();
        clock();
        rtl->resetn = 1;
        rtl->eval();
    }
    std::uint32_t read(std::uint32_t offset) {
        rtl->s_axil_araddr = offset;
        rtl->s_axil_arvalid = 1;
        rtl->eval();
        while (!rtl->s_axil_arready) clock();
        clock();
        rtl->s_axil_arvalid = 0;
        rtl->eval();
        while (!rtl->s_axil_rvalid) clock();
        const std::uint32_t data = rtl->s_axil_rdata;
        clock();
        return data;
    }
    void write(std::uint32_t offset, std::uint32_t value) {
        rtl->s_axil_awaddr = offset;
        rtl->s_axil_wdata = value;
        rtl->s_axil_wstrb = 0xF;
        rtl->s_axil_awvalid = rtl->s_axil_wvalid = 1;
        rtl->eval();
        while (!rtl->s_axil_awready || !rtl->s_axil_wready) clock();
        clock();
        rtl->s_axil_awvalid = rtl->s_axil_wvalid = 0;
        rtl->eval();
        while (!rtl->s_axil_bvalid) clock();
        clock();
    }
    bool give(const void* request) {
        std::memcpy(&rtl->s_line_data, request, 64);
        rtl->s_line_valid = 1;
        rtl->eval();
        for (int i = 0; !rtl->s_line_ready; ++i) {
            if (i == patience_clocks) {
                rtl->s_line_valid = 0;
                return false;
            }
            clock();
        }
        clock();
        rtl->s_line_valid = 0;
        rtl->eval();
        return true;
    }
    // Runs until a reply is posted or the card is idle again with nothing to say; 1 where a line was copied.
    int take(void* reply, std::uint64_t* address, int clocks_at_most) {
        for (int i = 0; i < clocks_at_most; ++i) {
            if (rtl->m_line_valid) {
                std::memcpy(reply, &rtl->m_line_data, 64);
                *address = rtl->m_line_address;
                clock();
                return 1;
            }
            clock();
        }
        return 0;
    }
};

}  // namespace

extern "C" {

Card* card_open() { return new Card; }
void card_close(Card* card) {
    card->rtl->final();
    delete card;
}
void card_reset(Card* card) { card->reset(); }
void card_clock(Card* card, std::uint32_t n) {
    while (n-- > 0) card->clock();
}
std::uint64_t card_clocks(const Card* card) { return card->clocks; }
std::uint32_t card_read(Card* card, std::uint32_t offset) { return card->read(offset); }
void card_write(Card* card, std::uint32_t offset, std::uint32_t value) { card->write(offset, value); }
int card_give(Card* card, const void* request) { return card->give(request) ? 1 : 0; }
int card_take(Card* card, void* reply, std::uint64_t* address, int clocks_at_most) {
    return card->take(reply, address, clocks_at_most);
}
// n requests of 64 bytes, one after the other; replies of 64 bytes. Returns how many were answered.
std::int64_t card_run(Card* card, const void* requests, void* replies, std::int64_t n) {
    const auto* in = static_cast<const unsigned char*>(requests);
    auto* out = static_cast<unsigned char*>(replies);
    std::uint64_t address = 0;
    for (std::int64_t i = 0; i < n; ++i)
        if (!card->give(in + 64 * i) || card->take(out + 64 * i, &address, patience_clocks) == 0) return i;
    return n;
}
}

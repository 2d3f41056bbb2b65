// The verilated card behind a small C interface: registers over AXI4-Lite, request and reply lines, one clock; and the
// loop that serves it to another process through shared memory.
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
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

    bool reply_read = false;  // the reply line that stands has been read; the next edge hands it over

    // Inputs change while the clock is low, and the evaluation of the rising edge sees them; outputs are read before
    // the rising edge. What a request line changes before the edge (nothing that is read) is not evaluated apart.
    void clock() {
        rtl->clk = 1;
        rtl->eval();
        rtl->clk = 0;
        rtl->eval();
        ++clocks;
        reply_read = false;
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
        for (int i = 0; !rtl->s_line_ready; ++i) {
            if (i == patience_clocks) {
                rtl->s_line_valid = 0;
                return false;
            }
            clock();
        }
        clock();
        rtl->s_line_valid = 0;
        return true;
    }
    // Runs until a reply is posted (1) or the card is ready for the next request with nothing to say (0). m_line_ready
    // is always up: the edge after the reply was read hands it over, and may take the next request as well.
    int take(void* reply, std::uint64_t* address, int clocks_at_most) {
        if (reply_read) clock();
        for (int i = 0; i < clocks_at_most; ++i) {
            if (rtl->m_line_valid) {
                std::memcpy(reply, &rtl->m_line_data, 64);
                *address = rtl->m_line_address;
                reply_read = true;
                return 1;
            }
            if (rtl->s_line_ready) return 0;
            clock();
        }
        return 0;
    }
};

// The card's file in shared memory: its BAR, then what a bus would carry elsewhere. A register access by mailbox is a
// true AXI4-Lite access; the window itself is a copy for hosts that only read it.
namespace at {
constexpr std::size_t ap_ctrl = 0x000, request_registers = 0x010, result_registers = 0x040, identity = 0x100,
                      counter = 0x110, clock_hz = 0x118, answers = 0x11C, fault = 0x1F0, server_pid = 0x200,
                      mailbox_operation = 0x300, mailbox_offset = 0x304, mailbox_value = 0x308,
                      mailbox_ticket = 0x310, mailbox_done = 0x318, request = 0x400, reply = 0x800;
}
enum Operation : std::uint32_t { read_register = 1, write_register = 2, reset_card = 3 };

class Server {
   public:
    Server(Card& card, unsigned char* base) : card_(card), base_(base) { publish(); }

    void serve(const std::atomic<int>& stop, pid_t parent) {
        std::uint64_t last = load64(at::reply), turns = 0, idle = 0;
        card_.write(0x088, 1);
        while (!stop.load(std::memory_order_relaxed)) {
            bool worked = false;
            if (const std::uint64_t sequence = load64(at::request); sequence != last) {
                last = sequence;
                answer();
                worked = true;
            }
            if (load64(at::mailbox_ticket) != load64(at::mailbox_done)) {
                open_mailbox();
                worked = true;
            }
            idle = worked ? 0 : idle + 1;
            if ((++turns & 0x3F) == 0) watch_window();
            if (idle > 2'000) rest(idle);
            if ((turns & 0xFFF) == 0 && parent > 0 && ::getppid() != parent) break;
        }
        store32(at::identity, 0);
    }

   private:
    // The line is read until two reads agree: a host that gave up may write the next one over it.
    void answer() {
        unsigned char line[64], again[64];
        load_line(at::request, line);
        for (int i = 0; i < 8; ++i) {
            load_line(at::request, again);
            if (std::memcmp(line, again, 64) == 0) break;
            std::memcpy(line, again, 64);
        }
        if (!card_.give(line)) return;
        unsigned char reply[64];
        std::uint64_t address = 0;
        while (card_.take(reply, &address, patience_clocks) == 1) store_line(at::reply, reply);
        store64(at::counter, card_.clocks);
    }
    void open_mailbox() {
        const std::uint64_t ticket = load64(at::mailbox_ticket);
        const std::uint32_t offset = load32(at::mailbox_offset);
        switch (load32(at::mailbox_operation)) {
            case read_register: store32(at::mailbox_value, card_.read(offset)); break;
            case write_register: card_.write(offset, load32(at::mailbox_value)); break;
            case reset_card:
                card_.reset();
                card_.write(0x088, 1);
                break;
            default: break;
        }
        if (offset == at::fault) fault_ = load32(at::mailbox_value);
        store64(at::mailbox_done, ticket);
    }
    // Hosts without the mailbox: what they wrote into the window goes to the card, what changed comes back.
    void watch_window() {
        card_.clock();
        store64(at::counter, card_.clocks);
        if (const std::uint32_t fault = load32(at::fault); fault != fault_ && load32(at::mailbox_operation) == 0) {
            fault_ = fault;
            card_.write(at::fault, fault);
        }
        if ((load32(at::ap_ctrl) & 1) == 0) return;
        for (std::size_t i = 0; i < 0x28; i += 4)
            card_.write(static_cast<std::uint32_t>(at::request_registers + i), load32(at::request_registers + i));
        card_.write(at::ap_ctrl, 1);
        for (int i = 0; i < 100'000 && (card_.read(at::ap_ctrl) & 2) == 0; ++i) {
        }
        for (std::size_t i = 0; i < 0x18; i += 4)
            store32(at::result_registers + i, card_.read(static_cast<std::uint32_t>(at::result_registers + i)));
        publish();
        store32(at::ap_ctrl, 0xE);
    }
    void publish() {
        for (std::size_t offset : {0x104, 0x108, 0x10C, 0x118, 0x11C, 0x120, 0x124})
            store32(offset, card_.read(static_cast<std::uint32_t>(offset)));
        store64(at::counter, card_.clocks);
        store64(at::server_pid, static_cast<std::uint64_t>(::getpid()));
        store32(at::identity, card_.read(at::identity));  // last: a reader that sees it sees the rest
    }
    void rest(std::uint64_t idle) {
        if (idle < 20'000) {
            ::sched_yield();
            return;
        }
        const timespec pause{0, idle < 40'000 ? 20'000 : 200'000};
        ::nanosleep(&pause, nullptr);
        if (idle % 1'000 == 0) publish();
    }

    std::uint64_t load64(std::size_t offset) const {
        return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(base_ + offset)).load(std::memory_order_acquire);
    }
    void store64(std::size_t offset, std::uint64_t value) {
        std::atomic_ref(*reinterpret_cast<std::uint64_t*>(base_ + offset)).store(value, std::memory_order_release);
    }
    std::uint32_t load32(std::size_t offset) const {
        return std::atomic_ref(*reinterpret_cast<std::uint32_t*>(base_ + offset)).load(std::memory_order_acquire);
    }
    void store32(std::size_t offset, std::uint32_t value) {
        std::atomic_ref(*reinterpret_cast<std::uint32_t*>(base_ + offset)).store(value, std::memory_order_release);
    }
    void load_line(std::size_t offset, unsigned char* line) const {
        for (std::size_t i = 0; i < 64; i += 8) {
            const std::uint64_t word = load64(offset + i);
            std::memcpy(line + i, &word, 8);
        }
    }
    void store_line(std::size_t offset, const unsigned char* line) {
        for (std::size_t i = 64; i > 0; i -= 8) {  // the sequence last
            std::uint64_t word = 0;
            std::memcpy(&word, line + i - 8, 8);
            store64(offset + i - 8, word);
        }
    }

    Card& card_;
    unsigned char* base_;
    std::uint32_t fault_ = 0;
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
// Serves the card through `base`, 4096 bytes of shared memory, until *stop or until `parent` is not the parent any more.
void card_serve(Card* card, void* base, const int* stop, int parent) {
    Server(*card, static_cast<unsigned char*>(base)).serve(*reinterpret_cast<const std::atomic<int>*>(stop), parent);
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

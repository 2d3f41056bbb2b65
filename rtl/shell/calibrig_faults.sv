// Fault injection of the emulator build: what a broken card does, on command. No other build contains it.
//
// Register 0x1F0: kind in bits 7..0 (0 = none), how many answers it strikes in 15..8 (0 = until it is written
// again), an argument in 31..16 (clocks of delay, or the bit to flip). It reads back what is still to come.
`default_nettype none

module calibrig_faults (
    input  wire logic         clk,
    input  wire logic         resetn,
    input  wire logic         fault_write,
    input  wire logic [31:0]  fault_data,
    output logic [31:0]       fault_state,
    input  wire logic         finish,
    input  wire logic [31:0]  elapsed,
    output logic              hold,
    output logic              swallow,
    output logic              repeat_old,
    output logic              post_twice,
    output logic              tear,
    output logic              overwrite,
    output logic              overwrite_bit,
    output logic [223:0]      line_flip,
    output logic [63:0]       sequence_add,
    output logic [31:0]       model_flip,
    output logic [31:0]       value_flip,
    output logic              value_force
);
    localparam logic [7:0] HANG = 1, SLOW = 2, SEQUENCE = 3, STALE = 4, ALL_ONES = 5, ALL_ZEROS = 6, BIT_FLIP = 7,
                           TORN = 8, DUPLICATE = 9, MODEL = 10, RANGE = 11, ARITHMETIC = 12;
    logic [7:0]  kind, left;
    logic [15:0] argument;
    logic        endless;

    assign fault_state = {argument, left, kind};
    assign hold = kind == SLOW && elapsed < {16'd0, argument};
    assign swallow = kind == HANG;
    assign repeat_old = kind == STALE;
    assign post_twice = kind == DUPLICATE;
    assign tear = kind == TORN;
    assign overwrite = kind == ALL_ONES || kind == ALL_ZEROS;
    assign overwrite_bit = kind == ALL_ONES;
    assign line_flip = kind == BIT_FLIP ? 224'd1 << argument[7:0] : 224'd0;
    assign sequence_add = kind == SEQUENCE ? 64'd1 : 64'd0;
    assign model_flip = kind == MODEL ? 32'd1 : 32'd0;
    assign value_force = kind == RANGE;
    assign value_flip = kind == ARITHMETIC ? 32'd1 : 32'd0;

    always_ff @(posedge clk) begin
        if (!resetn) begin
            kind <= 8'd0;
            left <= 8'd0;
            argument <= 16'd0;
            endless <= 1'b0;
        end else if (fault_write) begin
            kind <= fault_data[7:0];
            left <= fault_data[15:8];
            argument <= fault_data[31:16];
            endless <= fault_data[15:8] == 8'd0;
        end else if (finish && kind != 8'd0 && !endless) begin
            left <= left - 8'd1;
            if (left == 8'd1) kind <= 8'd0;
        end
    end
endmodule

`default_nettype wire

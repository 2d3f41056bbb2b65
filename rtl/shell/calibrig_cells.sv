// The three cells that generated cores are made of. Widths and signs are parameters; a negative SHIFT1 shifts the
// first operand instead of the second. Results are exact modulo 2^BW_OUT.
`default_nettype none

module shift_adder #(
    parameter int BW_INPUT0 = 1, BW_INPUT1 = 1, SIGNED0 = 0, SIGNED1 = 0, BW_OUT = 1, SHIFT1 = 0, IS_SUB = 0
) (
    input  wire logic [BW_INPUT0-1:0] in0,
    input  wire logic [BW_INPUT1-1:0] in1,
    output wire logic [BW_OUT-1:0]    out
);
    localparam int UP0 = SHIFT1 < 0 ? -SHIFT1 : 0;
    localparam int UP1 = SHIFT1 > 0 ? SHIFT1 : 0;
    localparam int NEED0 = BW_INPUT0 + UP0 + 1;
    localparam int NEED1 = BW_INPUT1 + UP1 + 1;
    localparam int NEED = NEED0 > NEED1 ? NEED0 : NEED1;
    localparam int W = NEED > BW_OUT ? NEED : BW_OUT;
    wire [W-1:0] a = {{(W - BW_INPUT0){SIGNED0 != 0 && in0[BW_INPUT0-1]}}, in0} << UP0;
    wire [W-1:0] b = {{(W - BW_INPUT1){SIGNED1 != 0 && in1[BW_INPUT1-1]}}, in1} << UP1;
    /* verilator lint_off UNUSEDSIGNAL */
    wire [W-1:0] sum = IS_SUB != 0 ? a - b : a + b;
    /* verilator lint_on UNUSEDSIGNAL */
    assign out = sum[BW_OUT-1:0];
endmodule

module mux #(
    parameter int BW_INPUT0 = 1, BW_INPUT1 = 1, SIGNED0 = 0, SIGNED1 = 0, BW_OUT = 1, SHIFT1 = 0, INVERT1 = 0
) (
    input  wire logic                 key,
    input  wire logic [BW_INPUT0-1:0] in0,
    input  wire logic [BW_INPUT1-1:0] in1,
    output wire logic [BW_OUT-1:0]    out
);
    localparam int UP0 = SHIFT1 < 0 ? -SHIFT1 : 0;
    localparam int UP1 = SHIFT1 > 0 ? SHIFT1 : 0;
    localparam int NEED0 = BW_INPUT0 + UP0 + 1;
    localparam int NEED1 = BW_INPUT1 + UP1 + 1;
    localparam int NEED = NEED0 > NEED1 ? NEED0 : NEED1;
    localparam int W = NEED > BW_OUT ? NEED : BW_OUT;
    wire [W-1:0] a = {{(W - BW_INPUT0){SIGNED0 != 0 && in0[BW_INPUT0-1]}}, in0} << UP0;
    wire [W-1:0] b = {{(W - BW_INPUT1){SIGNED1 != 0 && in1[BW_INPUT1-1]}}, in1} << UP1;
    /* verilator lint_off UNUSEDSIGNAL */
    wire [W-1:0] chosen = key ? a : (INVERT1 != 0 ? -b : b);
    /* verilator lint_on UNUSEDSIGNAL */
    assign out = chosen[BW_OUT-1:0];
endmodule

module negative #(
    parameter int BW_IN = 1, BW_OUT = 1, IN_SIGNED = 0
) (
    input  wire logic [BW_IN-1:0]  in,
    output wire logic [BW_OUT-1:0] out
);
    localparam int W = BW_IN > BW_OUT ? BW_IN + 1 : BW_OUT + 1;
    /* verilator lint_off UNUSEDSIGNAL */
    wire [W-1:0] minus = -{{(W - BW_IN){IN_SIGNED != 0 && in[BW_IN-1]}}, in};
    /* verilator lint_on UNUSEDSIGNAL */
    assign out = minus[BW_OUT-1:0];
endmodule

`default_nettype wire

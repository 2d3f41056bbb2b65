// The card: register file, engine and the core made from one model. Card ABI version 1.
//
// The PCIe block of a card turns 32-bit reads and writes of the BAR into AXI4-Lite, a 64-byte write-combined store into
// one beat of s_line, and one beat of m_line into one posted write of 64 bytes to host memory.
`default_nettype none

module calibrig_card (
    input  wire logic         clk,
    input  wire logic         resetn,
    input  wire logic [11:0]  s_axil_awaddr,
    input  wire logic [2:0]   s_axil_awprot,
    input  wire logic         s_axil_awvalid,
    output logic              s_axil_awready,
    input  wire logic [31:0]  s_axil_wdata,
    input  wire logic [3:0]   s_axil_wstrb,
    input  wire logic         s_axil_wvalid,
    output logic              s_axil_wready,
    output logic [1:0]        s_axil_bresp,
    output logic              s_axil_bvalid,
    input  wire logic         s_axil_bready,
    input  wire logic [11:0]  s_axil_araddr,
    input  wire logic [2:0]   s_axil_arprot,
    input  wire logic         s_axil_arvalid,
    output logic              s_axil_arready,
    output logic [31:0]       s_axil_rdata,
    output logic [1:0]        s_axil_rresp,
    output logic              s_axil_rvalid,
    input  wire logic         s_axil_rready,
    input  wire logic [511:0] s_line_data,
    input  wire logic         s_line_valid,
    output logic              s_line_ready,
    output logic [63:0]       m_line_address,
    output logic [511:0]      m_line_data,
    output logic              m_line_valid,
    input  wire logic         m_line_ready,
    output logic              irq
);
    logic start, start_taken, idle, register_done, answered, failed, descriptor_enable, fault_write, finish;
    logic hold, swallow, repeat_old, post_twice, tear, overwrite, overwrite_bit, value_force;
    logic [63:0] request_sequence, reply_address, result_sequence, sequence_add;
    logic [255:0] request_features, core_features;
    logic [31:0] core_value, result_value, result_cycles, result_crc, fault_data, fault_state, elapsed, model_flip;
    logic [31:0] value_flip;
    logic [15:0] result_status;
    logic [223:0] line_flip;

`ifdef CALIBRIG_FAULTS
    localparam logic [31:0] CAPABILITIES = 32'd3;
    calibrig_faults faults (.*);
`else
    localparam logic [31:0] CAPABILITIES = 32'd1;
    assign {hold, swallow, repeat_old, post_twice, tear, overwrite, overwrite_bit, value_force} = 8'd0;
    assign line_flip = 224'd0;
    assign sequence_add = 64'd0;
    assign {model_flip, value_flip, fault_state} = 96'd0;
    wire unused_fault = &{1'b0, fault_write, fault_data, finish, elapsed};
`endif

    calibrig_registers #(
        .MODEL_ID(calibrig_build::MODEL_ID), .BUILD_ID(calibrig_build::BUILD_ID), .CLOCK_HZ(calibrig_build::CLOCK_HZ), .CAPABILITIES(CAPABILITIES)
    ) registers (.engine_idle(idle), .*);
    calibrig_engine #(
        .MODEL_ID(calibrig_build::MODEL_ID), .CORE_STAGES(calibrig_build::CORE_STAGES), .FEATURE_BITS(calibrig_build::FEATURE_BITS)
    ) engine (.*);
    calibrig_core core (.clk(clk), .features(core_features), .value(core_value));

    wire unused = &{1'b0, s_axil_awprot, s_axil_arprot};
endmodule

`default_nettype wire

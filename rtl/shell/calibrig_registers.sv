// Register file of card ABI version 1 behind AXI4-Lite: ap_ctrl_hs map, request, result, identity, counters.
`default_nettype none

module calibrig_registers #(
    parameter logic [31:0] MODEL_ID = 0,
    parameter logic [31:0] BUILD_ID = 0,
    parameter logic [31:0] CLOCK_HZ = 0,
    parameter logic [31:0] CAPABILITIES = 1
) (
    input  wire logic         clk,
    input  wire logic         resetn,
    // AXI4-Lite
    input  wire logic [11:0]  s_axil_awaddr,
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
    input  wire logic         s_axil_arvalid,
    output logic              s_axil_arready,
    output logic [31:0]       s_axil_rdata,
    output logic [1:0]        s_axil_rresp,
    output logic              s_axil_rvalid,
    input  wire logic         s_axil_rready,
    // to and from the engine
    output logic              start,          // a register-path request waits
    input  wire logic         start_taken,
    input  wire logic         engine_idle,
    input  wire logic         register_done,  // one clock: the register-path answer stands below
    input  wire logic         answered,       // one clock: an answer of either path stands below
    input  wire logic         failed,         // one clock: a request was dropped, or answered with a status other than 0
    input  wire logic [31:0]  result_value,
    input  wire logic [31:0]  result_cycles,
    input  wire logic [63:0]  result_sequence,
    input  wire logic [15:0]  result_status,
    input  wire logic [31:0]  result_crc,
    output logic [63:0]       request_sequence,
    output logic [255:0]      request_features,
    output logic [63:0]       reply_address,
    output logic              descriptor_enable,
    output logic              fault_write,
    output logic [31:0]       fault_data,
    input  wire logic [31:0]  fault_state,
    output logic              irq
);
    localparam logic [31:0] IDENTITY = 32'h43414C42;  // "CALB"
    localparam logic [31:0] ABI_VERSION = 32'd1;

    logic        ap_done, ap_ready, gie;
    logic [1:0]  ier, isr;
    logic [63:0] counter;
    logic [31:0] counter_high;  // latched when the low word is read, so that the pair is coherent
    logic [31:0] answers, errors;

    // Write: address and data may come in any order; one write at a time.
    logic        aw_full, w_full;
    logic [9:0]  aw_word;
    logic [31:0] w_data;
    logic [3:0]  w_strb;
    assign s_axil_awready = !aw_full;
    assign s_axil_wready = !w_full;
    assign s_axil_bresp = 2'b00;
    wire write = aw_full && w_full && !s_axil_bvalid;
    wire [11:0] write_at = {aw_word, 2'b00};

    // Read: one at a time.
    assign s_axil_arready = !s_axil_rvalid;
    assign s_axil_rresp = 2'b00;
    wire read = s_axil_arvalid && s_axil_arready;
    wire [11:0] read_at = {s_axil_araddr[11:2], 2'b00};

    function automatic logic [31:0] merge(input logic [31:0] old, input logic [31:0] data, input logic [3:0] strobe);
        for (int i = 0; i < 4; i++) merge[8*i+:8] = strobe[i] ? data[8*i+:8] : old[8*i+:8];
    endfunction

    assign fault_write = write && write_at == 12'h1F0;
    assign fault_data = w_data;
    assign irq = gie && (isr != 2'b00);

    always_ff @(posedge clk) begin
        if (!resetn) begin
            aw_full <= 1'b0;
            w_full <= 1'b0;
            s_axil_bvalid <= 1'b0;
            start <= 1'b0;
            ap_done <= 1'b0;
            ap_ready <= 1'b0;
            gie <= 1'b0;
            ier <= 2'b00;
            isr <= 2'b00;
            counter <= 64'd0;
            answers <= 32'd0;
            errors <= 32'd0;
            request_sequence <= 64'd0;
            request_features <= 256'd0;
            reply_address <= 64'd0;
            descriptor_enable <= 1'b0;
        end else begin
            counter <= counter + 64'd1;
            if (s_axil_awvalid && s_axil_awready) begin
                aw_full <= 1'b1;
                aw_word <= s_axil_awaddr[11:2];
            end
            if (s_axil_wvalid && s_axil_wready) begin
                w_full <= 1'b1;
                w_data <= s_axil_wdata;
                w_strb <= s_axil_wstrb;
            end
            if (s_axil_bvalid && s_axil_bready) s_axil_bvalid <= 1'b0;

            if (start_taken) start <= 1'b0;
            if (read && read_at == 12'h000) begin  // clear on read
                ap_done <= 1'b0;
                ap_ready <= 1'b0;
            end
            if (register_done) begin
                ap_done <= 1'b1;
                ap_ready <= 1'b1;
                isr <= isr | ier;
            end
            if (answered) answers <= answers + 32'd1;
            if (failed) errors <= errors + 32'd1;

            if (write) begin
                aw_full <= 1'b0;
                w_full <= 1'b0;
                s_axil_bvalid <= 1'b1;
                case (write_at)
                    12'h000: if (w_strb[0] && w_data[0]) start <= 1'b1;
                    12'h004: if (w_strb[0]) gie <= w_data[0];
                    12'h008: if (w_strb[0]) ier <= w_data[1:0];
                    12'h00C: if (w_strb[0]) isr <= (isr ^ w_data[1:0]) | (register_done ? ier : 2'b00);
                    12'h010: request_sequence[31:0] <= merge(request_sequence[31:0], w_data, w_strb);
                    12'h014: request_sequence[63:32] <= merge(request_sequence[63:32], w_data, w_strb);
                    12'h080: reply_address[31:0] <= merge(reply_address[31:0], w_data, w_strb);
                    12'h084: reply_address[63:32] <= merge(reply_address[63:32], w_data, w_strb);
                    12'h088: if (w_strb[0]) descriptor_enable <= w_data[0];
                    default: ;
                endcase
                for (int i = 0; i < 8; i++)
                    if (write_at == 12'h018 + 12'(4 * i))
                        request_features[32*i+:32] <= merge(request_features[32*i+:32], w_data, w_strb);
            end
        end
    end

    always_ff @(posedge clk) begin
        if (!resetn) begin
            s_axil_rvalid <= 1'b0;
            counter_high <= 32'd0;
        end else begin
            if (s_axil_rvalid && s_axil_rready) s_axil_rvalid <= 1'b0;
            if (read) begin
                s_axil_rvalid <= 1'b1;
                if (read_at == 12'h110) counter_high <= counter[63:32];
                case (read_at)
                    12'h000: s_axil_rdata <= {28'd0, ap_ready, engine_idle && !start, ap_done, start};
                    12'h004: s_axil_rdata <= {31'd0, gie};
                    12'h008: s_axil_rdata <= {30'd0, ier};
                    12'h00C: s_axil_rdata <= {30'd0, isr};
                    12'h010: s_axil_rdata <= request_sequence[31:0];
                    12'h014: s_axil_rdata <= request_sequence[63:32];
                    12'h040: s_axil_rdata <= result_value;
                    12'h044: s_axil_rdata <= result_cycles;
                    12'h048: s_axil_rdata <= result_sequence[31:0];
                    12'h04C: s_axil_rdata <= result_sequence[63:32];
                    12'h050: s_axil_rdata <= {16'd0, result_status};
                    12'h054: s_axil_rdata <= result_crc;
                    12'h080: s_axil_rdata <= reply_address[31:0];
                    12'h084: s_axil_rdata <= reply_address[63:32];
                    12'h088: s_axil_rdata <= {31'd0, descriptor_enable};
                    12'h100: s_axil_rdata <= IDENTITY;
                    12'h104: s_axil_rdata <= ABI_VERSION;
                    12'h108: s_axil_rdata <= MODEL_ID;
                    12'h10C: s_axil_rdata <= BUILD_ID;
                    12'h110: s_axil_rdata <= counter[31:0];
                    12'h114: s_axil_rdata <= counter_high;
                    12'h118: s_axil_rdata <= CLOCK_HZ;
                    12'h11C: s_axil_rdata <= answers;
                    12'h120: s_axil_rdata <= errors;
                    12'h124: s_axil_rdata <= CAPABILITIES;
                    12'h1F0: s_axil_rdata <= fault_state;
                    default: begin
                        s_axil_rdata <= 32'd0;
                        for (int i = 0; i < 8; i++)
                            if (read_at == 12'h018 + 12'(4 * i)) s_axil_rdata <= request_features[32*i+:32];
                    end
                endcase
            end
        end
    end

    wire unused = &{1'b0, s_axil_awaddr[1:0], s_axil_araddr[1:0]};
endmodule

`default_nettype wire

// One request at a time: take it, check it, run it through the core, post the answer.
//
// `elapsed` counts clocks from the edge that took the request: it is 1 in the clock after that edge. The core's answer
// stands CORE_STAGES clocks after the edge and holds while its input holds; the checks need CHECK_CLOCKS. The reply
// register loads one clock after the later of both, and the reply carries the count that was reached.
`default_nettype none

module calibrig_engine #(
    parameter logic [31:0] MODEL_ID = 0,
    parameter int unsigned CORE_STAGES = 1,
    parameter int unsigned FEATURE_BITS = 16
) (
    input  wire logic         clk,
    input  wire logic         resetn,
    // register path
    input  wire logic         start,
    output logic              start_taken,
    input  wire logic [63:0]  request_sequence,
    input  wire logic [255:0] request_features,
    // descriptor path: one 64-byte line in, one 64-byte line out
    input  wire logic         descriptor_enable,
    input  wire logic [63:0]  reply_address,
    input  wire logic [511:0] s_line_data,
    input  wire logic         s_line_valid,
    output logic              s_line_ready,
    output logic [63:0]       m_line_address,
    output logic [511:0]      m_line_data,
    output logic              m_line_valid,
    input  wire logic         m_line_ready,
    // core
    output logic [255:0]      core_features,
    input  wire logic [31:0]  core_value,
    // fault injection; constants in a build without it
    input  wire logic         hold,           // do not finish yet
    input  wire logic         swallow,        // answer nothing
    input  wire logic         repeat_old,     // give the answer before once more
    input  wire logic         post_twice,
    input  wire logic         tear,           // only the sequence is new
    input  wire logic         overwrite,      // the whole line becomes overwrite_bit
    input  wire logic         overwrite_bit,
    input  wire logic [223:0] line_flip,      // after the checksum
    input  wire logic [63:0]  sequence_add,   // from here on under a right checksum
    input  wire logic [31:0]  model_flip,
    input  wire logic [31:0]  value_flip,
    input  wire logic         value_force,    // the largest integer, outside every format
    output logic              finish,         // the clock in which the reply register loads
    output logic [31:0]       elapsed,
    // results
    output logic              idle,
    output logic              register_done,
    output logic              answered,
    output logic              failed,
    output logic [31:0]       result_value,
    output logic [31:0]       result_cycles,
    output logic [63:0]       result_sequence,
    output logic [15:0]       result_status,
    output logic [31:0]       result_crc
);
    localparam int unsigned CHECK_CLOCKS = 3;
    localparam logic [31:0] FINISH_AGE = (CORE_STAGES > CHECK_CLOCKS) ? CORE_STAGES : CHECK_CLOCKS;
    localparam logic [15:0] STATUS_GOOD = 16'd0, STATUS_CRC = 16'd1, STATUS_MODEL = 16'd2, STATUS_FEATURE = 16'd3;

    logic         busy, by_register, near_end, at_end;
    logic         fresh;      // the first clock in which `line` stands
    (* keep *) logic holding_line, holding_core;  // copies of busy: each drives hundreds of bits
    logic [511:0] line;       // the request as it was taken
    logic [31:0]  cycles;     // elapsed + 1: what the reply says if its register loads in the clock after next
    logic [31:0]  crc_part0, crc_part1, crc_part2, crc_part3, crc_sequence, crc_known;
    logic         crc_bad, model_bad, feature_bad;
    logic [15:0]  status;

    assign idle = !busy && !register_done;
    wire free = !busy && (!m_line_valid || (m_line_ready && !post_again));
    assign s_line_ready = free;
    wire take_line = s_line_valid && s_line_ready;
    wire take_registers = start && free && !s_line_valid;
    assign start_taken = take_registers;
    wire drop = take_line && !descriptor_enable;

    wire [511:0] line_of_registers = {128'd0, request_features, 32'd0, MODEL_ID, request_sequence};
    wire [511:0] next_line = s_line_valid ? s_line_data : line_of_registers;
    assign core_features = holding_core ? line[383:128] : next_line[383:128];

    // Checks, three clocks deep: request checksum, model, features inside the format (the core's input would wrap).
    // What hangs on the line alone is computed once, in its first clock.
    wire [31:0] crc_of_line = crc_part0 ^ crc_part1 ^ crc_part2 ^ crc_part3;
    function automatic logic outside(input logic [255:0] features);
        outside = 1'b0;
        for (int i = 0; i < 16; i++)
            for (int b = FEATURE_BITS; b < 16; b++)
                if (features[16*i+b] != features[16*i+FEATURE_BITS-1]) outside = 1'b1;
    endfunction
    wire [15:0] next_status = crc_bad ? STATUS_CRC : model_bad ? STATUS_MODEL :
                              feature_bad ? STATUS_FEATURE : STATUS_GOOD;

    // The reply's checksum is affine in its bits: all but the value is folded in ahead of time.
    wire [63:0] sequence_out = line[63:0] + sequence_add;
    wire [31:0] model_out = MODEL_ID ^ model_flip;
    wire good = status == STATUS_GOOD;
    wire [31:0] value = !good ? 32'd0 : value_force ? 32'h7FFFFFFF : core_value ^ value_flip;
    wire [31:0] reply_crc = crc_known ^ calibrig_crc32::reply_value(value);

    assign finish = at_end && !hold;
    wire [223:0] computed = {reply_crc, 16'd0, status, model_out, elapsed, value, sequence_out} ^ line_flip;
    wire [223:0] torn = tear ? {m_line_data[223:64], computed[63:0]} : computed;
    wire [511:0] reply = overwrite ? {512{overwrite_bit}} : {288'd0, torn};
    logic post_again;

    always_ff @(posedge clk) begin
        if (!resetn) begin
            busy <= 1'b0;
            by_register <= 1'b0;
            m_line_valid <= 1'b0;
            post_again <= 1'b0;
            register_done <= 1'b0;
            answered <= 1'b0;
            failed <= 1'b0;
            result_value <= 32'd0;
            result_cycles <= 32'd0;
            result_sequence <= 64'd0;
            result_status <= 16'd0;
            result_crc <= 32'd0;
            m_line_data <= 512'd0;
            m_line_address <= 64'd0;
            line <= 512'd0;
            elapsed <= 32'd0;
            near_end <= 1'b0;
            at_end <= 1'b0;
            fresh <= 1'b0;
            holding_line <= 1'b0;
            holding_core <= 1'b0;
        end else begin
            register_done <= 1'b0;
            answered <= 1'b0;
            failed <= drop;
            if (m_line_valid && m_line_ready) begin
                m_line_valid <= post_again;
                post_again <= 1'b0;
            end

            if ((take_line && !drop) || take_registers) begin
                busy <= 1'b1;
                holding_line <= 1'b1;
                holding_core <= 1'b1;
                by_register <= take_registers;
                elapsed <= 32'd1;
                cycles <= 32'd2;
            end else if (busy) begin
                elapsed <= elapsed + 32'd1;
                cycles <= cycles + 32'd1;
                near_end <= elapsed >= FINISH_AGE - 1;
                at_end <= near_end;
            end
            if (!holding_line) line <= next_line;
            fresh <= (take_line && !drop) || take_registers;
            if (fresh) begin
                crc_part0 <= calibrig_crc32::request0(line[59:0]) ^ calibrig_crc32::request1(line[119:60]);
                crc_part1 <= calibrig_crc32::request2(line[179:120]) ^ calibrig_crc32::request3(line[239:180]);
                crc_part2 <= calibrig_crc32::request4(line[299:240]) ^ calibrig_crc32::request5(line[359:300]);
                crc_part3 <= calibrig_crc32::request6(line[419:360]) ^ calibrig_crc32::request7(line[479:420]);
                crc_sequence <= calibrig_crc32::reply_sequence(sequence_out);
                model_bad <= line[95:64] != MODEL_ID;
                feature_bad <= outside(line[383:128]);
            end
            crc_bad <= !by_register && crc_of_line != line[511:480];
            status <= next_status;
            if (near_end)
                crc_known <= crc_sequence ^ calibrig_crc32::reply_origin({model_out, cycles})
                             ^ calibrig_crc32::reply_status({16'd0, next_status});

            if (finish) begin
                busy <= 1'b0;
                holding_line <= 1'b0;
                holding_core <= 1'b0;
                near_end <= 1'b0;
                at_end <= 1'b0;
                if (!swallow) begin
                    answered <= 1'b1;
                    failed <= !good;
                    if (!repeat_old) begin
                        result_sequence <= reply[63:0];
                        result_value <= reply[95:64];
                        result_cycles <= reply[127:96];
                        result_status <= reply[175:160];
                        result_crc <= reply[223:192];
                        m_line_data <= reply;
                    end
                    register_done <= by_register;
                    m_line_valid <= !by_register;
                    post_again <= post_twice && !by_register;
                    m_line_address <= reply_address;
                end
            end
        end
    end

    wire unused = &{1'b0, line[127:96], line[479:384]};
endmodule

`default_nettype wire

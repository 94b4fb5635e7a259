"""What nothing reads is given to one net, and nothing else is."""

from pagewalk.hdl.verilog_unused import sink

# Each net is read in one place at most: an expression, an index, a condition, an edge.
BODY = r"""
  wire _00_;
  wire [3:0] _01_;
  wire [7:4] \mmu.high[7:4] ;
  wire \mmu.single[3] ;
  wire [5:0] \mmu.index ;
  reg [2:0] \mmu.state  = 3'h5;
  reg \mmu.written  = 1'h0;
  reg [4:0] \mmu.memory  [7:0];
  initial begin
    \mmu.memory [0] = 5'h00;
  end
  always @(posedge clk) begin
    if (_01_[2])
      \mmu.memory [\mmu.index [2:0]] <= { data[7:4], 1'h1 };
  end
  always @(posedge clk)
    if (rst) \mmu.state  <= 3'h0;
    else if (enable) \mmu.state [1:0] <= \mmu.high[7:4] [6:5];
  always @(posedge clk)
    { \mmu.written , \mmu.state [2] } <= { data[0], _01_[0] };
  assign out = \mmu.memory [\mmu.index [5:4]];
  assign { _00_, _01_ } = data[2:1] + 4'hd;
  wire [31:0] _02_ = { control, 28'h0000000 };
  assign \mmu.single[3]  = _02_[{ \mmu.state [0], 1'h0 } +: 2];
"""
INPUTS = {"clk": 1, "rst": 1, "enable": 1, "data": 8, "control": 4, "ignored": 1, "wide": 16}


EXPECTED = r"""  wire _unused_ok = &{
    // Ports have the same names in every configuration; this one has no use for:
    data[3],
    ignored,
    wide,
    // Of operations on many bits, these results are not needed:
    _00_,
    _01_[3],
    _01_[1],
    \mmu.high[7:4] [7],
    \mmu.high[7:4] [4],
    \mmu.single[3] ,
    \mmu.index [3],
    \mmu.state [2:1],
    \mmu.written ,
    1'b0};
"""


def test_what_nothing_reads_is_given_to_the_net():
    assert sink(INPUTS, BODY) == EXPECTED


def test_there_is_no_net_where_all_is_read():
    assert sink({"a": 2}, "  wire _0_;\n  assign _0_ = a[1];\n  assign b = _0_ & a[0];\n") == ""


def test_digits_of_a_number_are_no_name():
    assert "    d0,\n" in sink({"d0": 1}, "  assign b = 8'd0;\n")

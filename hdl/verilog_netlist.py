"""The MMU as a flat Verilog netlist: what Yosys is asked to do, and why."""

from amaranth import ClockDomain, Signal
from amaranth.back import rtlil
from amaranth.hdl import Fragment

from .outside_tool import work_folder
from .toolchain import run_yosys

__all__ = ["netlist"]


def netlist(flat, name, clock, reset):
    """Return ``flat``, a :class:`FlatMmu`, as Yosys writes it: a Verilog module ``name``.

    ``clock`` and ``reset`` are the names of its clock and of its synchronous reset. Each net has
    one driver for all its bits, and all operands have the widths of their operators.

    Raises
    ------
    :exc:`ToolMissing`, :exc:`ToolFailed`
        If Yosys is missing or fails.
    """
    domain = ClockDomain("sync")
    domain.clk, domain.rst = Signal(name=clock), Signal(name=reset)
    fragment = Fragment.get(flat, None)
    fragment.add_domains(domain)
    ports = [domain.clk, domain.rst, *flat.inputs.values(), *flat.outputs.values()]
    with work_folder() as folder:
        run_yosys(SCRIPT, folder, {
            "mmu.il": rtlil.convert(fragment, name=name, ports=ports, emit_src=False),
            "widths.v": WIDTHS})
        return (folder / "mmu.v").read_text()


# Amaranth writes Verilog too, but Icarus Verilog 11 gets X out of its `always @*` blocks.
# pmuxtree: a `casez` with overlapping patterns would stand for each multiplexer with more inputs.
# opt_clean -purge: nets that are another name of a net, which nothing reads.
# splitnets: a net whose bits depend on each other is a loop to a simulator that sorts nets.
# -simple-lhs: so is a concatenation on the left.
SCRIPT = """
read_rtlil mmu.il
proc
flatten
opt -full
pmuxtree
opt -full
techmap -map widths.v
opt_clean -purge
splitnets -driver
opt_clean -purge
write_verilog -noattr -simple-lhs mmu.v
"""

# Amaranth and `opt` make constants as narrow as they go, down to no bit at all.
WIDTHS = r"""
(* techmap_celltype = "$logic_not" *)
module _logic_not (A, Y);
  parameter A_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter Y_WIDTH = 1;
  input [A_WIDTH-1:0] A;
  output [Y_WIDTH-1:0] Y;
  wire _TECHMAP_FAIL_ = A_WIDTH == 1;
  assign Y = ~|A;
endmodule

(* techmap_celltype = "$eq $ne $lt $le $gt $ge" *)
module _compare (A, B, Y);
  parameter _TECHMAP_CELLTYPE_ = "";
  parameter A_SIGNED = 0;
  parameter B_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter B_WIDTH = 1;
  parameter Y_WIDTH = 1;
  localparam WIDTH = A_WIDTH > B_WIDTH ? A_WIDTH : B_WIDTH;
  input [A_WIDTH-1:0] A;
  input [B_WIDTH-1:0] B;
  output [Y_WIDTH-1:0] Y;
  wire _TECHMAP_FAIL_ = A_WIDTH == B_WIDTH || A_SIGNED || B_SIGNED;
  wire [WIDTH-1:0] a, b;
  generate
    if (A_WIDTH == 0) assign a = 0; else assign a = A;
    if (B_WIDTH == 0) assign b = 0; else assign b = B;
    case (_TECHMAP_CELLTYPE_)
      "$eq": assign Y = a == b;
      "$ne": assign Y = a != b;
      "$lt": assign Y = a < b;
      "$le": assign Y = a <= b;
      "$gt": assign Y = a > b;
      "$ge": assign Y = a >= b;
    endcase
  endgenerate
endmodule

// A shift of which the low bits are taken: where it stays inside A, it picks bits by an index.
(* techmap_celltype = "$shift" *)
module _shift (A, B, Y);
  parameter A_SIGNED = 0;
  parameter B_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter B_WIDTH = 1;
  parameter Y_WIDTH = 1;
  parameter _TECHMAP_CONSTMSK_B_ = 0;
  parameter _TECHMAP_CONSTVAL_B_ = 0;
  localparam [B_WIDTH-1:0] LAST = ~_TECHMAP_CONSTMSK_B_ | _TECHMAP_CONSTVAL_B_;
  localparam BITS = $clog2(LAST + 1);
  localparam WIDTH = A_WIDTH < 2**BITS ? A_WIDTH : 2**BITS;
  input [A_WIDTH-1:0] A;
  input [B_WIDTH-1:0] B;
  output [Y_WIDTH-1:0] Y;
  wire _TECHMAP_FAIL_ = A_SIGNED || B_SIGNED || LAST + Y_WIDTH > WIDTH;
  \$shiftx #(
    .A_SIGNED(0), .B_SIGNED(0), .A_WIDTH(WIDTH), .B_WIDTH(BITS), .Y_WIDTH(Y_WIDTH)
  ) _TECHMAP_REPLACE_ (.A(A[WIDTH-1:0]), .B(B[BITS-1:0]), .Y(Y));
endmodule
"""

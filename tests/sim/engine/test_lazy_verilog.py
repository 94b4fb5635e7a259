"""Modules that are written anew are the same hardware: Icarus Verilog runs both side by side."""

import re
import subprocess

import pytest
from numpy.random import default_rng

from pagewalk.sim.engine.lazy_verilog import lazy_verilog
from pagewalk.sim.engine.verilator import LAZY

CONDITION = r"^Registers must be written under one condition, not .*$"
PLAIN = """\
module \\store.tags (clk, rst, write, slot, value, key, found, other);
  input clk;
  wire clk;
  input rst;
  wire rst;
  input write;
  wire write;
  input slot;
  wire slot;
  input [3:0] value;
  wire [3:0] value;
  input [3:0] key;
  wire [3:0] key;
  output [1:0] found;
  wire [1:0] found;
  output [3:0] other;
  reg [3:0] other;
  wire _0_;
  wire _1_;
  wire _2_;
  reg [3:0] _3_;
  reg [3:0] _4_;
  reg [3:0] tag_0 = 4'h3;
  reg [3:0] tag_1 = 4'h0;
  assign _0_ = ~ slot;
  assign _1_ = tag_0 == key;
  assign _2_ = tag_1 > key;
  assign found[0] = _1_ & key[0];
  assign found[1] = _2_;
  always @(posedge clk)
    tag_0  <= _3_;
  always @(posedge clk)
    tag_1  <= _4_;
  always @* begin
    if (\\$auto$verilog_backend.cc:1:dump_module$1 ) begin end
    other = 4'h0;
    if (_0_) begin
      other = tag_1;
    end
  end
  always @* begin
    if (\\$auto$verilog_backend.cc:1:dump_module$1 ) begin end
    _3_ = tag_0;
    if (write) begin
      if (_0_) begin
        _3_[2:0] = value[2:0];
        _3_[3] = _1_;
      end
    end
    if (rst) begin
      _3_ = 4'h5;
    end
  end
  always @* begin
    if (\\$auto$verilog_backend.cc:1:dump_module$1 ) begin end
    _4_ = tag_1;
    if (write) begin
      if (slot) begin
        _4_ = value;
      end
    end
    if (rst) begin
      _4_ = 4'h0;
    end
  end
endmodule
"""


def lazy(text):
    return lazy_verilog(text, LAZY)


def test_other_modules_stay_as_they_are():
    text = PLAIN.replace("store.tags", "store.other")
    assert lazy(text) == text
    assert lazy(text + PLAIN) == text + lazy(PLAIN) != text + PLAIN


def test_what_only_the_registers_need_is_evaluated_when_they_are_written():
    written = lazy(PLAIN)
    clocked = written[written.index("always @(posedge clk)"):written.index("always_latch")]
    assert "if (write | rst) begin" in clocked
    assert "tag_0 [2:0] <= value[2:0];" in clocked
    assert "if ((written) | (key != last_key)) begin" in written
    assert "if ((written) | (slot != last_slot)) begin" in written


@pytest.mark.parametrize(("old", "new", "message"), [
    ("    if (write) begin\n      if (slot)", "    if (slot) begin\n      if (slot)", CONDITION),
    ("    _4_ = tag_1;", "    _4_ = tag_0;",
     r"^A register must hold unless it is written, not _4_ = tag_0;$"),
    ("  assign _0_", "  buf _0_", r"^Unexpected Verilog: '  buf _0_ = ~ slot;'$"),
])
def test_a_module_that_is_built_in_another_way_is_refused(old, new, message):
    assert old in PLAIN
    with pytest.raises(ValueError, match=message):
        lazy(PLAIN.replace(old, new))


BENCH = """\
module bench;
  reg clk = 0, rst = 0, write = 0, slot = 0;
  reg [3:0] value = 0, key = 0;
  wire [1:0] found, found_lazy;
  wire [3:0] other, other_lazy;
  plain one(clk, rst, write, slot, value, key, found, other);
  \\lazy.tags two(clk, rst, write, slot, value, key, found_lazy, other_lazy);
  reg [11:0] words [0:COUNT-1];
  integer row;
  initial begin
    $readmemh("words", words);
    for (row = 0; row < COUNT; row = row + 1) begin
      {rst, write, slot, value, key} = words[row][10:0];
      #1;
      if ({found, other} !== {found_lazy, other_lazy}) $display("differ in cycle %0d", row);
      clk = 1;
      #1;
      if ({found, other} !== {found_lazy, other_lazy}) $display("differ after edge %0d", row);
      clk = 0;
    end
    $display("done %b", {found, other});
  end
endmodule
"""


def ran(folder, one, other, words):
    """Return what Icarus Verilog says of both, with an input word for each cycle."""
    text = (one.replace("\\store.tags ", "plain ") + other.replace("\\store.tags ", "\\lazy.tags ")
            + BENCH.replace("COUNT", str(len(words))))
    # As it is, Icarus Verilog carries out no process before something changes.
    (folder / "both.v").write_text(
        re.sub(r"if \(\\\$auto.*", "", text).replace("always @*", "always_comb"))
    (folder / "words").write_text("".join(f"{word:03x}\n" for word in words))
    subprocess.run(["iverilog", "-g2012", "-o", "both", "both.v"], cwd=folder, check=True)
    done = subprocess.run(["vvp", "-n", "both"], cwd=folder, check=True, capture_output=True,
                          text=True)
    return done.stdout.splitlines()


@pytest.mark.cocotb
@pytest.mark.parametrize("seed", range(3))
def test_outputs_are_the_same_in_every_cycle(tmp_path, seed):
    rng = default_rng(seed)
    # In some cycles no input changes; the uppermost bit is the reset.
    words = rng.integers(1 << 11, size=800)
    words[rng.random(800) < 0.9] &= (1 << 10) - 1
    words = words.repeat(rng.integers(1, 4, size=800)).tolist()
    lines = ran(tmp_path, PLAIN, lazy(PLAIN), words)
    assert len(lines) == 1, lines[:3]
    assert lines[0].startswith("done")


@pytest.mark.cocotb
def test_a_register_that_is_not_told_to_be_written_would_be_found(tmp_path):
    rng = default_rng(9)
    words = rng.integers(1 << 10, size=200).tolist()
    wrong = lazy(PLAIN).replace("written <= write | rst;", "written <= rst;")
    assert wrong != lazy(PLAIN)
    assert len(ran(tmp_path, PLAIN, wrong, words)) > 1

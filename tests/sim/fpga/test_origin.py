"""Marks in the RTLIL of two modules, as Amaranth writes it."""

from itertools import pairwise

from pagewalk.sim.fpga.origin import mark_origins

RTLIL = r"""attribute \top 1
module \top

  wire width 1 input 0  \clk

  wire width 4 input 1  \request

  cell \top.unit \unit
    connect \clk \clk [0]
  end
end

module \top.unit

  wire width 4 \field$1

  wire width 2 \deeper

  wire width 4 input 0  \request

  wire width 4 output 1  \answer

  wire width 4 \state

  cell $not $1
    connect \A \request
  end

  cell $dff $2
    connect \Q \state
  end

connect \field$1 \request [3:0]
connect \deeper \field$1 [1:0]
connect \answer \state
end
"""


def lines_before(text, mark):
    lines = text.split("\n")
    return [after.split()[-1] for line, after in pairwise(lines) if line == mark]


def test_inputs_and_their_further_names_are_marked():
    marked = mark_origins(RTLIL, "top")
    assert lines_before(marked, r"  attribute \pagewalk_input 1") == [
        r"\clk", r"\request", r"\field$1", r"\deeper", r"\request"]


def test_flip_flops_tell_their_component():
    assert lines_before(mark_origins(RTLIL, "top"), r'  attribute \src "@unit"') == ["$2"]
    assert lines_before(mark_origins(RTLIL, "top.unit"), r'  attribute \src "@"') == ["$2"]


def test_nothing_else_changes():
    marked = mark_origins(RTLIL, "top").split("\n")
    assert "\n".join(line for line in marked
                     if "pagewalk_input" not in line and '"@' not in line) == RTLIL


def test_a_loop_of_names_ends():
    loop = "\n".join([r"module \m", r"  wire width 1 \a", r"  wire width 1 \b",
                      r"connect \a \b", r"connect \b \a", "end", ""])
    assert mark_origins(loop, "m") == loop

"""The cells whose operands get the width of the operator do what they did before."""

import pytest

from pagewalk.hdl.toolchain import ToolFailed, run_yosys
from pagewalk.hdl.verilog_netlist import WIDTHS

pytestmark = pytest.mark.slow

COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
OPERANDS = {  # RTLIL, with its width
    "a narrow constant": (r"\a", 3, "2'10", 2),
    "a constant of one bit": (r"\a", 3, "1'1", 1),
    "a constant without bits": (r"\a", 3, "0'", 0),
    "a constant first": ("1'1", 1, r"\a", 3),
    "no bits first": ("0'", 0, r"\a", 3),
    "a narrow signal": (r"\a", 3, r"\b", 2),
    "equal widths": (r"\a", 3, r"\a", 3),
}
SHIFTS = {  # the width of the index, the index, and how many bits are taken
    "every bit": (2, r"\b", 1),
    "pairs": (2, r"{ \b [0] 1'0 }", 2),
    "a zero above": (4, r"{ 2'00 \b }", 1),
    "the lower half": (2, r"{ 1'0 \b [0] }", 1),
    "beyond the end": (3, r"\a", 1),
    "over the end": (2, r"\b", 2),
}
EQUIVALENT = """
    read_rtlil cell.il
    copy gold gate
    techmap -map widths.v gate
    {check}
    opt_clean gold gate
    miter -equiv -flatten -make_outputs gold gate miter
    sat -verify -prove trigger 0 -set-def-inputs miter
"""


def cells(kinds, a, b, width):
    """Return a module with a cell of each kind on the operands ``(RTLIL, width)``.

    ``width`` is that of each cell's output.
    """
    lines = ["module \\gold", "wire width 3 input 1 \\a", "wire width 2 input 2 \\b",
             "wire width 4 input 3 \\c"]
    for number, kind in enumerate(kinds):
        lines += [f"wire width {width} output {number + 4} \\{kind}", f"cell ${kind} \\cell_{kind}"]
        for name, (operand, bits) in {"A": a, "B": b}.items() if b else [("A", a)]:
            lines += [f"parameter \\{name}_SIGNED 0", f"parameter \\{name}_WIDTH {bits}",
                      f"connect \\{name} {operand}"]
        lines += [f"parameter \\Y_WIDTH {width}", f"connect \\Y \\{kind}", "end"]
    return "\n".join([*lines, "end", ""])


def equivalent(text, folder, check=""):
    run_yosys(EQUIVALENT.format(check=check), folder, {"cell.il": text, "widths.v": WIDTHS})


@pytest.mark.parametrize("operands", OPERANDS)
def test_comparisons_are_the_same_with_operands_of_one_width(operands, tmp_path):
    a, a_width, b, b_width = OPERANDS[operands]
    different = "gate/t:$" + " gate/t:$".join(COMPARISONS) + 5 * " %u" \
        + f" gate/r:A_WIDTH={a_width} %i gate/r:B_WIDTH={b_width} %i"
    equivalent(cells(COMPARISONS, (a, a_width), (b, b_width), 1), tmp_path,
               f"select -assert-none {different}" if a_width != b_width else "")


def test_not_any_bit_is_the_same(tmp_path):
    equivalent(cells(["logic_not"], (r"\a", 3), None, 1), tmp_path,
               "select -assert-none gate/t:$logic_not gate/r:A_WIDTH=3 %i")


@pytest.mark.parametrize("index", SHIFTS)
def test_a_shift_is_the_same_as_an_index_where_it_stays_inside(index, tmp_path):
    width, bits, taken = SHIFTS[index]
    stays = index not in ("beyond the end", "over the end")
    equivalent(cells(["shift"], (r"\c", 4), (bits, width), taken), tmp_path,
               f"select -assert-count {int(stays)} gate/t:$shiftx")


def test_a_map_that_is_wrong_is_noticed(tmp_path):
    assert "a > b" in WIDTHS
    text = cells(["gt"], (r"\a", 3), ("1'1", 1), 1)
    wrong = {"cell.il": text, "widths.v": WIDTHS.replace("a > b", "a >= b")}
    with pytest.raises(ToolFailed):
        run_yosys(EQUIVALENT.format(check=""), tmp_path, wrong)

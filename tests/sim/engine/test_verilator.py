"""What is special about the engine that Verilator compiles: its tool, its wrapper, its units."""

import pytest

from pagewalk.hdl.config import Config
from pagewalk.hdl.outside_tool import ToolFailed, ToolMissing
from pagewalk.model.x86 import IA32
from pagewalk.sim.cli.main import main
from pagewalk.sim.engine import compiled, create, verilator
from pagewalk.sim.image import Image

CONFIG = Config(mode=IA32, entries=1, ports=("only",), tag_bits=1)
MISSING = "verilator is missing: install it with 'sudo apt-get install verilator'"


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A folder that is all of PATH, with a g++ that only says who it is, and an empty cache."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(verilator, "run_yosys", lambda _, where, __: (where / "mmu.v").touch())
    monkeypatch.setattr(compiled, "design_text", lambda _: "design")
    install(folder, "g++", "echo a compiler for tests")
    return folder


def install(folder, name, script):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.usefixtures("programs")
def test_without_verilator_the_line_that_installs_it_is_told():
    with pytest.raises(ToolMissing, match=f"^{MISSING}$"):
        create("verilator", CONFIG)


@pytest.mark.usefixtures("programs")
def test_on_the_command_line_that_is_exit_3(tmp_path, capsys):
    Image.shipped(IA32).cut(limit=10).save(tmp_path / "image.npz")
    assert main(["replay", str(tmp_path / "image.npz"), "--engine", "verilator"]) == 3
    assert capsys.readouterr().err == f"pagewalk: error: {MISSING}\n"


def test_what_verilator_says_when_it_fails_is_told(programs):
    install(programs, "verilator", '[ "$1" = --version ] || { echo %Error: no; exit 1; }')
    with pytest.raises(ToolFailed, match=r"^verilator failed: %Error: no$"):
        create("verilator", CONFIG)


def test_the_wrapper_samples_each_input_at_the_clock_edge():
    text = "\n".join(verilator._wrapper({"rst": 1, "word": 36}, {"out": 2}))
    assert text == """\
module wrapper(input clk
, input [0:0] rst
, input [35:0] word
, output [1:0] out
);
reg [0:0] sampled_rst = 0;
reg [35:0] sampled_word = 0;
always @(posedge clk) begin
sampled_rst <= rst;
sampled_word <= word;
end
mmu mmu(.clk(clk)
, .rst(sampled_rst)
, .word(sampled_word)
, .out(out)
);
endmodule
"""


def test_ports_have_the_words_that_verilator_gives_them():
    text = "\n".join(verilator._top({"a_b": 8, "c": 9, "d": 17}, {"e": 33}))
    assert "Port<CData, 8> p_a__b{verilated.a_b};" in text
    assert "Port<SData, 9> p_c{verilated.c};" in text
    assert "Port<IData, 17> p_d{verilated.d};" in text
    assert "Port<QData, 33> p_e{verilated.e};" in text
    assert "Port<CData, 1> p_clk{verilated.clk};" in text

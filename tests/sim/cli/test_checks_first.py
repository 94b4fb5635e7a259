"""Arguments are checked before Yosys, compilers and simulators start."""

import pytest

from pagewalk.hdl import verilog as hdl_verilog
from pagewalk.sim.cli import cosim, fpga, vcd_option, verilog


@pytest.fixture(autouse=True)
def nothing_expensive(monkeypatch):
    """Nothing that takes long may be called."""

    def expensive(*_, **__):
        pytest.fail("began the expensive part")

    monkeypatch.setattr(verilog, "to_verilog", expensive)
    monkeypatch.setattr(hdl_verilog, "netlist", expensive)
    monkeypatch.setattr(fpga, "measure", expensive)
    monkeypatch.setattr(cosim, "_boot", expensive)
    monkeypatch.setattr(vcd_option, "create", expensive)
    monkeypatch.setattr(vcd_option, "_recorded", expensive)


@pytest.mark.parametrize("option", ["-o", "--json"])
def test_a_place_that_verilog_cannot_be_written_to(option, refused, tmp_path):
    for path, reason in (tmp_path, "Is a directory"), (tmp_path / "no" / "x.v", "No such file"):
        assert refused("verilog", option, path).startswith(
            f"{path}: cannot be written: {reason}")


NAMES = [("--name", "Module"), ("--clock", "Clock"), ("--reset", "Reset")]


@pytest.mark.parametrize(("option", "what"), [*NAMES, ("--ports", "Port")])
@pytest.mark.parametrize("name", ["module", "wire", "endmodule", "always", "logic", "bit"])
def test_a_keyword_names_nothing(option, what, name, refused, tmp_path):
    file = tmp_path / "kept.v"
    file.write_text("kept")
    assert refused("verilog", option, name, "-o", file) == (
        f"{what} name must not be a keyword of Verilog, as {name!r} is")
    assert file.read_text() == "kept"


@pytest.mark.parametrize(("option", "what"), NAMES)
@pytest.mark.parametrize("name", ["", "1x", "a-b", "a b", "modul\u00e9"])
def test_what_is_no_identifier_names_nothing(option, what, name, refused):
    assert refused("verilog", f"{option}={name}") == (
        f"{what} name must be a Verilog identifier, not {name!r}")


@pytest.mark.parametrize(("arguments", "message"), [
    (["--clock", "data_req_valid"],
     "Clock name must be one that no other signal has, not 'data_req_valid'"),
    (["--ports", "dma", "--reset", "dma_rsp_tag"],
     "Reset name must be one that no other signal has, not 'dma_rsp_tag'"),
    (["--clock", "x", "--reset", "x"], "Reset name must be one that no other signal has, not 'x'"),
    (["--name", "clk"], "Module name must be one that no other signal has, not 'clk'"),
])
def test_a_name_that_another_signal_has_is_refused(arguments, message, refused):
    assert refused("verilog", *arguments) == message


@pytest.mark.parametrize(("ports", "message"), [
    ("data,data", "Port names must be distinct, at least one, not ('data', 'data')"),
    *((ports, f"Port name must be lower-case letters and digits, a letter first, not {offender!r}")
      for ports, offender in (("", ""), ("data,", ""), ("a, b", " b"), ("a,a_req", "a_req"),
                              ("Data", "Data"), ("data,2", "2"))),
    *((f"data,{name}", f"Port name must not be one that the MMU uses, as {name!r} is")
      for name in ("memory", "control", "events", "invalidate", "walk", "flush", "clk")),
])
def test_ports_that_cannot_be_are_refused(ports, message, refused):
    assert refused("verilog", f"--ports={ports}") == message


def test_a_swap_file_that_cannot_be_used(refused, tmp_path):
    (tmp_path / "text").write_text("no swap\n" * 2000)
    for path, reason in ((tmp_path / "none", "No such file or directory"),
                         (tmp_path, "Is a directory"), (tmp_path / "text", "")):
        message = refused("cosim", "thrash", "--swap", path)
        assert message.startswith("argument --swap: ")
        assert reason in message


@pytest.mark.parametrize(("words", "message"), [
    (["--component", "nothing"], "argument --component: Component must be one of mmu, "),
    (["--component", ""], "argument --component: Component must be one of mmu, "),
    (["--component", "data.nothing"],
     "argument --component: Component must be one of mmu, "),
    (["--router", "3"], "argument --router: invalid choice: 3"),
    (["--seeds", "0"], "argument --seeds: expected a whole number from 1 to 100, not '0'"),
    (["--jobs", "0"], "argument --jobs: expected a whole number from 1 to 100, not '0'"),
    (["--device", "none"], "argument --device: invalid choice: 'none'"),
    (["--ports", "a,a"], "Port names must be distinct, at least one, not ('a', 'a')"),
    (["--json", "/nothing/x.json"], "/nothing/x.json: cannot be written: No such file"),
])
def test_what_cannot_be_measured_is_refused_before_synthesis(words, message, refused):
    assert refused("fpga", "--mode", "ia32", "--entries", "2", *words).startswith(message)

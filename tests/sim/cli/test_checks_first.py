"""Arguments are checked before Yosys, compilers and simulators start."""

import pytest

from pagewalk.hdl import verilog as hdl_verilog
from pagewalk.sim.cli import common, cosim, verilog


@pytest.fixture(autouse=True)
def nothing_expensive(monkeypatch):
    """Nothing that takes long may be called."""

    def expensive(*_, **__):
        pytest.fail("began the expensive part")

    monkeypatch.setattr(verilog, "to_verilog", expensive)
    monkeypatch.setattr(hdl_verilog, "run_yosys", expensive)
    monkeypatch.setattr(cosim, "create", expensive)
    monkeypatch.setattr(cosim, "_boot", expensive)
    monkeypatch.setattr(common, "create", expensive)


@pytest.mark.parametrize("option", ["-o", "--json"])
def test_a_place_that_verilog_cannot_be_written_to(option, refused, tmp_path):
    for path, reason in (tmp_path, "Is a directory"), (tmp_path / "no" / "x.v", "No such file"):
        assert refused("verilog", option, path).startswith(
            f"{path}: cannot be written: {reason}")


@pytest.mark.parametrize("name", ["module", "wire", "endmodule", "always", "logic", "bit"])
def test_a_keyword_names_no_module(name, refused, tmp_path):
    file = tmp_path / "kept.v"
    file.write_text("kept")
    assert refused("verilog", "--name", name, "-o", file) == (
        f"Module name must not be a keyword of Verilog, as {name!r} is")
    assert file.read_text() == "kept"


@pytest.mark.parametrize("name", ["", "1x", "a-b", "a b", "modul\u00e9"])
def test_what_is_no_identifier_names_no_module(name, refused):
    assert refused("verilog", f"--name={name}") == (
        f"Module name must be a Verilog identifier, not {name!r}")


def test_a_swap_file_that_cannot_be_used(refused, tmp_path):
    (tmp_path / "text").write_text("no swap\n" * 2000)
    for path, reason in ((tmp_path / "none", "No such file or directory"),
                         (tmp_path, "Is a directory"), (tmp_path / "text", "")):
        message = refused("cosim", "thrash", "--swap", path)
        assert message.startswith("argument --swap: ")
        assert reason in message


def test_the_library_refuses_a_keyword_too():
    with pytest.raises(ValueError, match="keyword of Verilog, as 'module' is"):
        hdl_verilog.check_module_name("module")

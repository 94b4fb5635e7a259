"""The main job and the verb that writes Verilog, from the command line."""

import json
import re

import pytest

from pagewalk.hdl.verilog import port_list
from pagewalk.model.x86 import IA32, MODES, X86_64
from pagewalk.sim.cli.main import main
from pagewalk.sim.image import SHIPPED, Image
from pagewalk.sim.run import sample_walks


@pytest.mark.slow
def test_run_replays_the_shipped_images_in_the_simulator(capsys, tmp_path):
    assert main(["run", "--limit", "30", "--entries", "4", "--latency", "2",
                     "--json", str(tmp_path / "run.json")]) == 0
    figures = json.loads((tmp_path / "run.json").read_text())
    shipped = [mode.name for mode in SHIPPED]
    assert set(figures) == {*shipped, "swapping", "config", "latency", "inputs", "version"}
    assert (figures["config"]["mode"], figures["latency"]) == (shipped, 2)
    for name in shipped:
        figure = figures[name]
        assert (figure["total"], figure["mismatches"]) == (30, 0)
        assert figure["cycles"] > 2 * figure["events"]["walk_read_pte"] > 0
    out = capsys.readouterr().out
    assert "PML4E  255" in out
    assert out.count("physical address") == 2
    assert "cycles per translation" in out
    assert "cycles per access" in out
    assert [run["wrong"] for run in figures["swapping"].values()] == [0, 0]


@pytest.mark.slow
def test_run_finds_a_wrong_record(capsys, monkeypatch):
    shipped = {}
    for mode in (X86_64, IA32):
        shipped[mode] = image = Image.shipped(mode)
        probes = image.views[0].probes
        probes.pa[probes.mapped] ^= 1 << 20
    monkeypatch.setattr(Image, "shipped", lambda mode: shipped[mode])
    assert main(["run", "--limit", "20", "--entries", "4"]) == 1
    assert "field paddr: expected" in capsys.readouterr().out


def test_sample_walks_are_of_pages_that_users_may_write():
    for picture in sample_walks():
        assert "user write at linear address" in picture.plain
        assert "4K page" in picture.plain
        assert "#PF" not in picture.plain


@pytest.mark.slow
def test_a_missing_compiler_is_exit_3_and_the_line_that_installs_it(capsys, monkeypatch, tmp_path):
    Image.shipped(IA32).cut(limit=10).save(tmp_path / "image.npz")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(["replay", str(tmp_path / "image.npz"), "--engine", "cxxrtl"]) == 3
    error = "pagewalk: error: g++ is missing: install it with 'sudo apt-get install g++'\n"
    assert capsys.readouterr().err == error


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_verilog_has_the_parameters_asked_for(mode, capsys, tmp_path):
    file = tmp_path / "mmu.v"
    assert main(["verilog", "--mode", mode, "--entries", "4", "--name", "my_mmu",
                 "--ports", "dma", "--tag-bits", "9", "--clock", "clk_i", "--reset", "rst_i",
                 "-o", str(file), "--json", str(tmp_path / "mmu.json")]) == 0
    text = file.read_text()
    assert "module my_mmu(" in text
    ports = {port.name: port.width for port in port_list(text)}
    assert ports["clk_i"] == ports["rst_i"] == 1
    assert ports["dma_req_tag"] == ports["dma_rsp_tag"] == 9
    assert not any(name.startswith(("fetch", "data", "clk_", "rst_")) for name in ports
                   if name not in ("clk_i", "rst_i"))
    assert re.search(f"^//   mode +{mode}$", text, re.MULTILINE)
    figures = json.loads((tmp_path / "mmu.json").read_text())
    assert figures["ports"] == [port._asdict() for port in port_list(text)]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("arguments", "message"), [
    (["--name", "no-name"], "Module name must be a Verilog identifier, not 'no-name'"),
    (["--entries", "3"], "Entry count must be a power of two for policy 'plru', not 3"),
    (["--entries", "0"], "argument --entries: expected a whole number from 1 to 4096, not '0'"),
])
def test_verilog_that_cannot_be_made_is_refused(arguments, message, capsys):
    assert main(["verilog", *arguments]) == 2
    assert capsys.readouterr().err == f"pagewalk: error: {message}\n"

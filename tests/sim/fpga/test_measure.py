"""Small components, all the way through Yosys and nextpnr."""

import json
import re
from importlib.util import find_spec

import pytest

from pagewalk.hdl import toolchain
from pagewalk.hdl.config import Config
from pagewalk.model.x86 import IA32
from pagewalk.sim.fpga import kept, placement, synthesis
from pagewalk.sim.fpga import measure as measure_file
from pagewalk.sim.fpga.chip import DEVICES
from pagewalk.sim.fpga.component import design
from pagewalk.sim.fpga.measure import measure
from pagewalk.sim.fpga.port_registers import bare_ports, close_ports, register_ports
from pagewalk.sim.fpga.synthesis import synthesize

pytestmark = pytest.mark.slow

SMALL = Config(mode=IA32, ports=("data",), entries=4, walk_cache=0)


@pytest.fixture(params=["ecp5-85k", "ice40-hx8k"])
def chip(request):
    chip = DEVICES[request.param]
    if find_spec(chip.family.tool.package) is None:
        pytest.skip(f"{chip.family.tool.name} is not installed: {chip.family.tool.install}")
    return chip


def test_a_component_with_a_known_number_of_flip_flops(chip):
    """The tree of four entries has three nodes, and nothing else is registered in it."""
    told = []
    result = measure(design(SMALL, "replacement"), chip, 1, [1, 2], jobs=2,
                     told=lambda *words: told.append(words))
    assert result.cells["ff"] == 3
    assert result.registers == {"": 3}
    assert 0 < result.cells["lut4"] < 20
    assert [placed.seed for placed in result.placements] == [1, 2]
    speeds = [placed.fmax_mhz for placed in result.placements]
    assert result.fmax_mhz == pytest.approx(sum(speeds) / 2)
    assert result.best_mhz == max(speeds)
    assert told[0] == ("synthesizes", 0, 3)
    # The slower placement's path takes as long as its clock says.
    total = result.path.logic_ns + result.path.routing_ns
    assert 1000 / total == pytest.approx(min(speeds), rel=0.01)
    assert {station.component for station in result.path.stations} <= {"", "(port)"}


def test_what_was_made_before_needs_no_tools(chip, monkeypatch):
    first = measure(design(SMALL, "replacement"), chip, 1, [1], jobs=1, told=lambda *_: None)
    monkeypatch.setattr(synthesis, "run_yosys", None)
    monkeypatch.setattr(placement, "run_wasm_tool", None)
    assert first == measure(design(SMALL, "replacement"), chip, 1, [1], jobs=1,
                            told=lambda *_: None)


def test_without_placing_there_is_an_area_and_the_clock_of_what_was_placed_before(
        tmp_path, monkeypatch):
    def measured(seeds, **options):
        return measure(design(SMALL, "replacement"), DEVICES["ecp5-85k"], 1, seeds, jobs=1,
                       told=lambda *_: None, **options)

    def nextpnr(_tool, _arguments, folder, _files, _watch):
        (folder / "report.json").write_text(
            '{"fmax": {"clk": {"achieved": 90}}, "critical_paths": [], "utilization": {}}')

    monkeypatch.setattr(kept, "cache_folder", tmp_path.joinpath)
    with monkeypatch.context() as patch:
        patch.setattr(placement, "run_wasm_tool", None)
        patch.setattr(toolchain, "find_spec", lambda name: None if "nextpnr" in name else name)
        area = measured([1], places=False)
    assert area.cells["ff"] == 3
    assert area.registers == {"": 3}
    assert (area.placements, area.path, area.fmax_mhz, area.best_mhz) == ((), None, None, None)
    monkeypatch.setattr(placement, "run_wasm_tool", nextpnr)
    monkeypatch.setattr(toolchain, "find_spec", lambda name: name)
    placed = measured([1])
    assert placed.fmax_mhz == 90
    monkeypatch.setattr(placement, "run_wasm_tool", None)
    assert measured([1], places=False) == placed
    assert measured([1, 2], places=False) == area  # a median of fewer would be another figure


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("component", ["responder", "invalidate"])
def test_every_port_is_registered_and_nothing_else_changes(component, device):
    """The responder has no clock of its own; its ports are those that it has in the MMU."""
    family = DEVICES[device].family
    netlist = synthesize(design(SMALL, component), family)
    counts = netlist.counts(family)
    text = netlist.dump()
    assert counts["lut4"] == len(re.findall(r'"type": "(?:SB_LUT4|LUT4)"', text)) > 0
    bits = sum(len(port["bits"]) for name, port in json.loads(text)["modules"]["pagewalk"][
        "ports"].items() if name != "clk")
    assert len(bare_ports(netlist, family)) > 0
    register_ports(netlist, family)
    assert bare_ports(netlist, family) == []
    assert netlist.counts(family) == counts | {"ff": counts["ff"] + bits}
    close_ports(netlist, family)
    assert [*netlist.module["ports"]] == ["clk"]


def test_a_port_without_a_register_stops_the_measurement(monkeypatch):
    monkeypatch.setattr(measure_file, "require_installed", lambda *_: None)  # it places nothing
    monkeypatch.setattr(measure_file, "register_ports", lambda *_: None)
    with pytest.raises(measure_file.ToolFailed, match=r"^Ports without a register: "):
        measure(design(SMALL, "replacement"), DEVICES["ecp5-85k"], 1, [1], jobs=1,
                told=lambda *_: None)


def test_the_flip_flops_of_all_components_are_those_of_the_whole():
    family = DEVICES["ecp5-85k"].family
    netlist = synthesize(design(SMALL), family)
    registers = netlist.registers(family)
    assert sum(registers.values()) == netlist.counts(family)["ff"]
    assert registers.keys() >= {"data", "data.tlb", "data.tlb.policy", "walker"}
    assert registers["data.tlb.policy"] == 3

"""What is read from a report of nextpnr: one of a real run, cut short."""

import json

import pytest

from pagewalk.sim.fpga import placement as placement_file
from pagewalk.sim.fpga.chip import DEVICES
from pagewalk.sim.fpga.placement import Stretch, parse_report, place_and_route, placed_before


def part(kind, ns, cell, net=None):
    return {"type": kind, "delay": ns, "from": {"cell": "?", "port": "Q"},
            "to": {"cell": cell, "port": "D"}, **({} if net is None else {"net": net})}


REPORT = {
    "fmax": {"clk": {"achieved": 82.04792022705078, "constraint": 200}},
    "utilization": {"TRELLIS_FF": {"available": 83640, "used": 422},
                    "DP16KD": {"available": 208, "used": 0}},
    "critical_paths": [
        {"from": "<async>", "to": "posedge clk", "path": [part("routing", 9.0, "a", "pad")]},
        {"from": "posedge clk", "to": "posedge clk", "path": [
            part("clk-to-q", 0.525, "state"), part("routing", 1.578, "table", "data.state"),
            part("logic", 0.236, "table"), part("routing", 0.5, "other", "data.next"),
            part("setup", 0.0, "other")]},
    ],
}


def test_a_report_is_read():
    placement = parse_report(json.dumps(REPORT), 7)
    assert (placement.seed, placement.utilization) == (7, {"TRELLIS_FF": 422})
    assert placement.fmax_mhz == pytest.approx(82.04792)
    assert placement.path == (
        Stretch("logic", 0.525, "", "state"), Stretch("routing", 1.578, "data.state", "table"),
        Stretch("logic", 0.236, "", "table"), Stretch("routing", 0.5, "data.next", "other"),
        Stretch("logic", 0.0, "", "other"))


def test_the_slowest_clock_counts():
    clocks = {"a": {"achieved": 90.0, "constraint": 200}, "b": {"achieved": 80.0, "constraint": 2}}
    assert parse_report(json.dumps(REPORT | {"fmax": clocks}), 1).fmax_mhz == 80.0


def test_paths_from_and_to_pads_do_not_count():
    report = REPORT | {"critical_paths": REPORT["critical_paths"][:1]}
    assert parse_report(json.dumps(report), 1).path == ()


def test_what_was_placed_before_is_known_by_all_that_it_depends_on(tmp_path, monkeypatch):
    def nextpnr(_tool, _arguments, folder, files, _watch):
        assert files == {"netlist.json": "a netlist"}
        (folder / "report.json").write_text(json.dumps(REPORT))

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(placement_file, "run_wasm_tool", nextpnr)
    chip = DEVICES["ecp5-85k"]
    assert placed_before("a netlist", chip, 2, 1) is None
    placed = place_and_route("a netlist", chip, 2, 1, lambda _: None)
    assert placed_before("a netlist", chip, 2, 1) == placed
    assert placed_before("another", chip, 2, 1) is None
    assert placed_before("a netlist", DEVICES["ecp5-25k"], 2, 1) is None
    assert placed_before("a netlist", chip, 1, 1) is None
    assert placed_before("a netlist", chip, 2, 2) is None

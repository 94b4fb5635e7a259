"""What stands in the tables, of made-up measurements, and that the documentation's are the same."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from pagewalk.sim.fpga.peer import PEERS
from pagewalk.sim.fpga.placement import Placement
from pagewalk.sim.fpga.table_row import TableRow
from pagewalk.sim.fpga.tables import TABLES, table_text

from .netlists import MEASURED

REFERENCE = Path(__file__).parents[3] / "docs/reference"

UNPLACED = replace(MEASURED, placements=(), path=None)
LARGER = replace(MEASURED, cells=MEASURED.cells | {"lut4": 350, "ff": 190, "bram": 2},
                 placements=(Placement(1, 91.5, (), {}),))
FEATURES = [TableRow("base", ""), TableRow("base, more", "", "base")]


def cells(table, rows, *measurements):
    """The table as a list of rows, without its headings."""
    results = {row.name: one for row, one in zip(rows, measurements, strict=True)}
    headings, *found = csv.reader(table_text(TABLES[table], rows, results).splitlines())
    assert {len(line) for line in found} == {len(headings)}
    return found


def test_a_row_of_the_standard_table():
    rows = [TableRow("one", ""), TableRow("two", "")]
    assert cells("standard", rows, MEASURED, UNPLACED) == [
        ["one", "300", "200", "9", "0", "95.0", "2.0", "8.0", "data.tlb -> (port)"],
        ["two", "300", "200", "9", "0", "", "", "", ""]]


def test_a_feature_is_told_by_what_it_adds_or_takes():
    assert cells("features", FEATURES, MEASURED, LARGER) == [
        ["base", "300", "200", "9", "0", "95.0", "", "", "", "", "", ""],
        ["base, more", "350", "190", "9", "2", "91.5", "+50", "-10", "+0", "+2", "-3.5", "base"]]


@pytest.mark.parametrize(("base", "more", "clocks"), [
    (UNPLACED, LARGER, ["91.5", ""]), (MEASURED, UNPLACED, ["", ""])])
def test_clocks_are_compared_where_both_were_placed(base, more, clocks):
    line = cells("features", FEATURES, base, more)[1]
    assert [line[5], line[10]] == clocks


def test_a_chip_without_lut_ram():
    iced = replace(UNPLACED, cells={"lut4": 7, "ff": 5, "carry": 1, "bram": 0})
    assert cells("standard", [TableRow("one", "")], iced)[0][:5] == ["one", "7", "5", "0", "0"]


def test_ratios_are_how_many_times_the_peers_figures_ours_are():
    fast, unplaced = PEERS[0], next(peer for peer in PEERS if peer.fmax_mhz is None)
    rows = [TableRow("ours", "", fast.name), TableRow("again", "", unplaced.name)]
    assert cells("peers", rows, MEASURED, UNPLACED) == [
        ["ours", "300", "200", "95.0", fast.name, "3883", "1792", "40.7", "0.08", "2.33"],
        ["again", "300", "200", "", unplaced.name, "11917", "4746", "", "0.03", ""]]


@pytest.mark.parametrize("name", TABLES)
def test_the_table_of_the_documentation_has_rows_that_are_measured(name):
    with (REFERENCE / f"fpga-{name}.csv").open(encoding="utf-8") as file:
        headings, *lines = csv.reader(file)
    assert tuple(headings) == TABLES[name].columns
    assert lines
    assert {line[0] for line in lines} <= {row.name for row in TABLES[name].rows()}


def test_peers_are_known_by_their_names():
    names = [peer.name for peer in PEERS]
    assert {row.over for row in TABLES["peers"].rows()} <= {*names}
    assert len({*names}) == len(names)

import io
import sys
from collections import Counter

import pytest
from rich.console import Group
from rich.table import Table
from rich.text import Text

from pagewalk.model.kernel.swap.disk import DiskCounters
from pagewalk.model.mmu.walk import Access, walk
from pagewalk.model.x86 import IA32, X86_64
from pagewalk.sim.cosim.assumed_costs import AssumedCosts
from pagewalk.sim.cosim.machine import Counts
from pagewalk.sim.cosim.workload_result import WorkloadResult
from pagewalk.sim.image import Image
from pagewalk.sim.picture import size_name
from pagewalk.sim.report import (
    image_summary,
    image_table,
    make_console,
    mismatch_report,
    result_table,
    walk_picture,
    workload_table,
)
from pagewalk.sim.result import Mismatch, Result

from .walk_pictures import FOUR_LEVELS, LONG, plain, tables


def test_a_replay_on_hardware_shows_its_events():
    events = Counter({"fetch_lookup": 10, "data_lookup": 30, "fetch_hit_4k": 5, "data_hit_4k": 20,
                      "data_hit_1g": 5, "fetch_miss": 5, "data_miss": 5, "walk_start": 20,
                      "walk_hit_pml4e": 1, "walk_hit_pde": 4, "walk_read_pml4e": 10,
                      "walk_read_pte": 9, "walk_update": 7})
    result = Result(X86_64, "probes", 10, accesses=40, cycles=100, events=events)
    text = plain(result_table({"one": result, "two": Result(IA32, "probes", 5, accesses=5)}))
    lines = [line.rstrip() for line in text.splitlines()]
    table = {line[:22].rstrip(): line[22:].split() for line in lines}
    assert table["hits"] == ["30", "(75.0", "%)"]
    assert table["  4K pages"] == ["25"]
    assert table["  2M pages"] == ["0"]
    assert table["  1G pages"] == ["5"]
    assert table["misses"] == ["10"]
    assert table["walk-cache hits"] == ["5", "(25.0", "%)"]
    assert table["page-table reads"] == ["19"]
    assert table["  PML4E"] == ["10"]
    assert table["  PDE"] == ["0"]
    assert table["A/D updates"] == ["7"]
    assert table["cycles"] == ["100"]
    assert table["cycles per translation"] == ["2.50"]
    assert table["probes"] == ["10", "5"]
    assert list(table).index("hits") < list(table).index("  4K pages") < list(table).index("misses")


def test_rows_of_both_modes_stand_in_one_order():
    hardware = {"accesses": 5, "cycles": 9, "events": Counter(walk_start=2)}
    wrong = Counter(paddr=1, error=1)
    results = {"a": Result(IA32, "vectors", 5, mismatches_by_field=wrong, **hardware),
               "b": Result(X86_64, "probes", 5, mismatches_by_field=Counter(cr2=1), **hardware)}
    rows = [line[:22].rstrip() for line in plain(result_table(results)).splitlines()[1:]]
    assert rows == [
        "probes", "vectors", "agreements", "mismatches", "  in cr2", "  in error", "  in paddr",
        "accesses", "hits", "  4K pages", "  2M pages", "  4M pages", "  1G pages", "misses",
        "walk-cache hits", "page-table reads", "  PML4E", "  PDPTE", "  PDE", "  PTE",
        "A/D updates", "cycles", "cycles per translation", "seconds"]


def workload_run(cycles):
    counts = Counts(accesses=10, minor=3, cycles=cycles, events=Counter(data_lookup=12))
    return WorkloadResult(2 << 20, counts, DiskCounters(pages_in=1, seeks=1), wrong=0, leaked=0,
                          seconds=1.0, costs=AssumedCosts(100, 500, 50))


def test_a_workloads_table_tells_measured_cycles_from_assumed_ones():
    rows = plain(workload_table({"x": workload_run(25)})).splitlines()
    table = {row[:28].rstrip(): row[28:].strip() for row in rows}
    assert table["cycles of the MMU"] == "25"
    assert table["MMU cycles per access"] == "2.50"
    assert table["assumed cycles of faults"] == "300"
    assert table["assumed cycles of the disk"] == "550"
    assert table["cycles per access with these"] == "87.5"


def test_without_hardware_a_workloads_table_has_no_row_of_it():
    both = plain(workload_table({"x": workload_run(25), "y": workload_run(0)}))
    model = plain(workload_table({"y": workload_run(0)}))
    missing = {row[:28].rstrip() for row in both.splitlines()} - {
        row[:28].rstrip() for row in model.splitlines()}
    assert missing == {"TLB hits", "walks", "page-table reads", "cycles of the MMU",
                       "MMU cycles per access"}


def test_mismatches_are_counted_by_field():
    by_field = Counter(paddr=3, frames=1)
    result = Result(IA32, "probes", 10, mismatches=4, mismatches_by_field=by_field)
    lines = [line.split() for line in plain(result_table({"x": result})).splitlines()]
    assert ["agreements", "7"] in lines
    assert lines.index(["in", "frames", "1"]) == lines.index(["mismatches", "4"]) + 1
    assert ["in", "paddr", "3"] in lines


def test_an_image_is_listed_by_view(shipped):
    summary = image_summary(shipped)
    (view,) = summary["views"].values()
    assert view["probes"] == view["unmapped"] + sum(
        view[size_name(level.page_bytes)] for level in shipped.mode.pages)
    text = plain(image_table(shipped))
    assert shipped.views[0].name in text
    assert f"{view['cr3']:#x}" in text
    assert len(text.splitlines()) == 2


# Mismatches


def mismatch(field, expected, got, vaddr=0):
    walked = walk(tables(X86_64, FOUR_LEVELS), X86_64, LONG, Access(vaddr))
    return Mismatch("a/view, probe 7", field, expected, got, LONG, walked)


@pytest.mark.parametrize(("field", "expected", "got", "words"), [
    ("paddr", 0x1000, 0x2000, "expected 0x1000, got 0x2000"),
    ("page_size", 1 << 12, 1 << 21, "expected 4K, got 2M"),
    ("model_page", 0, 2, "expected 4K, got 1G"),
    ("model_page", 0, 7, "expected 4K, got 0x7"),
    ("present", 0, 1, "expected no fault, got a fault"),
    ("model_fault", 1, 0, "expected a fault, got no fault"),
    ("vector", 14, 99, "expected #PF, got 0x63"),
    ("vector", 255, 13, "expected none, got #GP"),
    ("pa", 0xFF, (1 << 64) - 1, "expected 0xff, got none"),
    ("after_pte", 0x67, 0x27, "expected 0x67, got 0x27"),
    ("memory_type", 0, 3, "expected 0, got 3"),
])
def test_a_mismatch_says_what_was_expected_and_what_came(field, expected, got, words):
    text = plain(mismatch_report(X86_64, [mismatch(field, expected, got)]))
    assert f"Mismatch in a/view, probe 7, field {field}: {words}" in text
    assert "physical address 0x5000" in text


def test_mismatches_of_one_access_share_its_picture():
    found = [mismatch("paddr", 1, 2), mismatch("page_size", 4096, 1 << 21),
             mismatch("paddr", 1, 2, vaddr=8)]
    text = plain(mismatch_report(X86_64, found))
    assert text.count("Mismatch in") == 3
    assert text.count("The golden model walks") == 2


def test_a_mismatch_in_memory_shows_the_place():
    found = Mismatch("a/view", "frames", 0x67, 0x27, paddr=0x1008)
    assert "tables at 0x1008 should hold 0x67 afterwards, but hold 0x27" in plain(
        mismatch_report(X86_64, [found]))


# Consoles


def test_a_pipe_gets_plain_text_of_100_columns(capsys, monkeypatch):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    image = Image.shipped(X86_64)
    view = image.views[0]
    vaddr = int(view.probes.va[0])
    walked = walk(view.memory(), image.mode, view.control, Access(vaddr, ac=True))
    make_console().print(walk_picture(image.mode, view.control, walked))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.rstrip("\n") == walk_picture(image.mode, view.control, walked).plain.rstrip("\n")


class Terminal(io.StringIO):
    """A standard output that is a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize("columns", ["20", "40", "200"])
def test_a_terminal_of_any_width_gets_tables_and_texts_whole(columns, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    for name, value in (("COLUMNS", columns), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("a long name of it", "1,234,567,890,123,456")
    console = make_console()
    console.print(table)
    console.print(Group(Text("words " * 20 + "end"), table))
    console.print("words " * 20 + "end")
    assert [line.rstrip() for line in terminal.getvalue().splitlines()] == [
        "a long name of it  1,234,567,890,123,456", "words " * 20 + "end",
        "a long name of it  1,234,567,890,123,456", "words " * 20 + "end"]


def test_markup_in_names_is_text(capsys):
    make_console().print(result_table({"[red]x[/red]": Result(IA32, "probes", 1)}))
    assert "[red]x[/red]" in capsys.readouterr().out

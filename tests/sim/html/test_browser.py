"""The pages of ``--html`` in Chromium, without a network: as they are shown, and to whom."""

import json
from pathlib import Path

import pytest

from pagewalk.sim.cli.main import main

ROOT = Path(__file__).parents[3]
WIDTHS = (1280, 400)
REPORTS = {
    "walk": ["walk", "0x21004", "--toy", "examples/tables/toy_5_5.toml", "--set", "PTE=-P"],
    "long walk": ["walk", "0x400000", "--toy", "examples/tables/four_levels.toml", "--user"],
    "dump": ["dump", "tests/data/dumps/i686.kdump.xz", "--tables"],
    "tour": ["tour", "buddy"],
    "quiz": ["quiz", "--seed", "7", "--answers"],
}

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture
def report(opened, tmp_path, capsys, monkeypatch):
    """Make a report, and open its page; return that and the figures."""
    def call(name, width=WIDTHS[0], **options):
        monkeypatch.chdir(ROOT)
        path, figures = tmp_path / "page.html", tmp_path / "figures.json"
        assert main([*REPORTS[name], "--html", str(path), "--json", str(figures)]) == 0
        capsys.readouterr()
        return opened(path, width, **options), json.loads(figures.read_text(encoding="utf-8"))

    return call


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", REPORTS)
def test_nothing_keeps_people_out(name, scheme, report):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page, _ = report(name, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    found = axe.run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", REPORTS)
def test_a_page_is_no_wider_than_the_screen(name, width, report):
    page, _ = report(name, width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", REPORTS)
def test_a_page_reads_the_same_without_script(name, report):
    with_script, _ = report(name)
    without, _ = report(name, java_script_enabled=False)
    assert without.locator("main").inner_text() == with_script.locator("main").inner_text()


def test_the_numbers_of_a_walk_are_read_back(report):
    page, figures = report("long walk")
    rows = page.locator("table", has_text="Entries that were read").locator("tbody tr").all()
    assert [[int(cell, 16) for cell in row.locator("td").all_inner_texts()[1:3]]
            for row in rows] == [[one["paddr"], one["entry"]] for one in figures["levels"]]
    assert page.locator(".outcome").inner_text().startswith(
        f"Physical address {figures['paddr']:#x}" if figures["fault"] is None else "#")


def test_the_keyboard_reaches_what_is_wide_and_opens_what_is_folded(report):
    page, _ = report("quiz", WIDTHS[1])
    page.keyboard.press("Tab")
    wide = page.locator(":focus")
    assert wide.get_attribute("aria-label") == "What is given in exercise 1"
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.scrollLeft > 0")
    for _ in range(9):
        page.keyboard.press("Tab")
        if page.locator("summary:focus").count():
            break
    page.keyboard.press("Enter")
    assert page.locator("details[open]").count() == 1

"""The interactive page: what it shows is what ``pagewalk walk`` finds, whatever is changed."""

import json
from pathlib import Path

import pytest

from pagewalk.sim.cli.main import main

ROOT = Path(__file__).parents[3]
TOY = ["0x21004", "--toy", str(ROOT / "examples" / "tables" / "toy_5_5.toml")]
GUESTS = {
    "toy": TOY,
    "four levels": ["0x400000", "--toy", str(ROOT / "examples" / "tables" / "four_levels.toml")],
    "i686": ["0xc0100000", "--image", str(ROOT / "tests" / "data" / "dumps" / "i686.kdump.xz")],
    "amd64": ["0xffffffff81000000", "--image",
              str(ROOT / "tests" / "data" / "dumps" / "amd64.kdump.xz")],
}
MOST_BYTES = 300_000

@pytest.fixture
def walked(tmp_path, capsys):
    """Run ``pagewalk walk``; return the figures, and the file of ``--try``."""
    def call(*words):
        figures, page = tmp_path / "figures.json", tmp_path / "try.html"
        assert main(["walk", *words, "--json", str(figures), "--try", str(page)]) == 0
        capsys.readouterr()
        assert page.stat().st_size < MOST_BYTES
        return json.loads(figures.read_text(encoding="utf-8")), page

    return call


def outcome(figures):
    return (f"Physical address {figures['paddr']:#x}" if figures["fault"] is None
            else f"#{figures['fault']}")


def shown(page):
    """Return the addresses and values of the entries that a page shows."""
    rows = page.locator("#levels tbody tr").all()
    return [(int(row.locator("td").nth(1).inner_text(), 16),
             int(row.locator("input").first.input_value(), 16)) for row in rows]


@pytest.mark.parametrize("name", GUESTS)
def test_a_page_has_the_entries_of_the_walk_and_stays_small(name, walked):
    figures, path = walked(*GUESTS[name])
    text = path.read_text(encoding="utf-8")
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    entries = {int(paddr): int(entry) for paddr, entry in data["entries"]}
    assert [entries[one["paddr"]] for one in figures["levels"]] == [
        one["entry"] for one in figures["levels"]]
    assert "src=" not in text
    assert "@" not in text.partition("<main>")[2].partition("</main>")[0]


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("name", GUESTS)
def test_it_shows_what_the_golden_walk_finds(name, walked, opened):
    figures, path = walked(*GUESTS[name])
    page = opened(path)
    assert page.locator("#outcome").inner_text() == outcome(figures)
    assert shown(page) == [(one["paddr"], one["updated"]) for one in figures["levels"]]


@pytest.mark.slow
@pytest.mark.browser
def test_bits_are_flipped_and_the_tlb_keeps_what_it_has(walked, opened):
    changed, _ = walked(*TOY, "--set", "PTE=-P")
    figures, path = walked(*TOY)
    page = opened(path)
    found = page.locator("#outcome")
    page.get_by_label("PTE P", exact=True).click()
    assert found.inner_text() == outcome(figures)  # of the TLB, though memory has changed
    assert "A walk would find a fault" in page.locator("#why").inner_text()
    page.get_by_role("button", name="INVLPG").click()
    assert page.locator("#tlb tbody tr").count() == 0
    page.get_by_role("button", name="Translate").click()
    after = changed["after"]
    assert found.inner_text() == "#PF"
    assert f"Error code {after['error_code']:#x}" in page.locator("#why").inner_text()
    page.get_by_label("PTE P", exact=True).click()
    assert found.inner_text() == outcome(figures)
    assert page.locator("#tlb tbody tr").count() == 1


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize(("label", "value", "words"), [
    ("Linear address", "0x400000", "expected a number of at most 22 bits"),
    ("Linear address", "many", "expected a number of at most 22 bits"),
    ("CR3", "", "expected a number of at most 64 bits"),
], ids=["too wide", "no number", "nothing"])
def test_what_cannot_be_typed_is_said(label, value, words, walked, opened):
    page = opened(walked(*TOY)[1])
    page.get_by_label(label).fill(value)
    page.get_by_role("button", name="Translate").click()
    assert page.locator("#outcome").inner_text() == "No translation"
    assert words in page.locator("#why").inner_text()


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("name", ["toy", "amd64"])
@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_keeps_people_out(name, width, walked, opened):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = opened(walked(*GUESTS[name])[1], width)
    found = axe.run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
@pytest.mark.browser
def test_without_script_the_page_says_what_to_do(walked, opened):
    page = opened(walked(*TOY)[1], java_script_enabled=False)
    assert "--html writes needs none" in page.locator("noscript").inner_text()

"""The pages of ``--html``: their numbers are those of ``--json``, none is larger than 300 kB."""

import json
from pathlib import Path

import pytest

from pagewalk.sim.cli.main import main
from pagewalk.sim.html.dump_page import dump_page
from pagewalk.sim.html.tour_page import tour_page
from pagewalk.sim.tour.topics import TOURS

from .page_reader import read_page

ROOT = Path(__file__).parents[3]
TABLES = ROOT / "examples" / "tables"
DUMPS = ROOT / "tests" / "data" / "dumps"
MOST_BYTES = 300_000


@pytest.fixture
def made(tmp_path, capsys):
    """Run a verb with ``--html`` and ``--json``; return the page, read back, and the figures."""
    def call(*words):
        page, figures = tmp_path / "page.html", tmp_path / "figures.json"
        assert main([*map(str, words), "--html", str(page), "--json", str(figures)]) == 0
        capsys.readouterr()
        text = page.read_text(encoding="utf-8")
        assert len(text.encode()) < MOST_BYTES
        return read_page(text), json.loads(figures.read_text(encoding="utf-8"))

    return call


def test_a_walk(made):
    page, figures = made("walk", "0x21004", "--toy", TABLES / "toy_5_5.toml", "--user")
    assert page.all("h1") == [f"Walk of linear address {figures['vaddr']:#x}"]
    assert page.all("p")[1] == f"Physical address {figures['paddr']:#x}, in a page of 4K"
    levels, = page.tables["Entries that were read, the root's first"]
    assert [(one["level"], int(one["index"]), int(one["at"], 16), int(one["entry"], 16),
             one["flags"].split()) for one in levels] == [
        (one["name"], one["index"], one["paddr"], one["entry"], one["flags"])
        for one in figures["levels"]]
    fields, = page.tables["The fields of the address"]
    value = 0
    for one in fields:
        high, low = map(int, one["bits"].split(":"))
        assert int(one["value"], 16) < 1 << high - low + 1
        value |= int(one["value"], 16) << low
    assert value == figures["vaddr"]
    kept, = page.tables["TLB"]
    assert int(kept[0]["at"], 16) == figures["tlb"]["paddr"]
    assert {one["register"].lower(): int(one["value"], 16)
            for one in page.tables["Registers"][0]} == figures["registers"]
    assert figures["inputs"][0]["sha256"] in page.all("p")[-1]


def test_a_walk_before_and_after_a_change(made):
    page, figures = made("walk", "0x21004", "--toy", TABLES / "toy_5_5.toml", "--set", "PTE=-P")
    assert page.all("h2") == ["Before", "After PTE=-P"]
    after = figures["after"]
    assert f"#PF, error code {after['error_code']:#x}, CR2 {after['cr2']:#x}" in page.all("p")
    bits, = page.tables["The error code bit by bit"]
    assert [(one["bit"], int(one["value"]), one["meaning"]) for one in bits] == [
        (one["name"], one["value"], one["words"]) for one in after["error_bits"]]
    assert page.tables["Entries that were read, the root's first"][1][-1]["flags"] == "not present"


@pytest.mark.parametrize("name", ["i686.kdump.xz", "amd64.elf.xz"])
def test_a_dump(name, made):
    page, figures = made("dump", DUMPS / name, "--tables")
    assert page.all("h2") == [*(cpu["name"] for cpu in figures["cpus"]), "Page tables"]
    for cpu, ranges in zip(figures["cpus"], page.tables["Ranges"], strict=True):
        assert [(int(one["from"], 16), int(one["to"], 16), int(one["pages"].replace(",", "")),
                 one["rights"], int(one["first frame at"], 16), one["region"])
                for one in ranges] == [
            (one["start"], one["end"], one["pages"], one["rights"], one["paddr"], one["region"])
            for one in cpu["mappings"]][:len(ranges)]
    tables, = page.tables["Page tables"]
    assert [int(one["frame"], 16) for one in tables] == [
        one["pfn"] for one in figures["tables"]][:len(tables)]


def test_a_search_and_a_frame(made):
    page, figures = made("dump", DUMPS / "i686.raw.xz", "--search")
    assert [int(one["CR3"], 16) for one in page.tables["Plausible values of CR3"][0]] == [
        one["cr3"] for one in figures["candidates"]]
    pfn = figures["candidates"][0]["cr3"] >> 12
    page, figures = made("dump", DUMPS / "i686.kdump.xz", "--frame", hex(pfn))
    assert [int(one["at"], 16) for one in page.tables["What maps the frame"][0]] == [
        one["vaddr"] for one in figures["cpus"][0]["frame"]]


def test_of_very_many_ranges_a_page_has_the_first_and_says_so():
    mapping = {"start": 0xFFFF_8880_0000_0000, "end": 0xFFFF_8880_0000_1000, "page_bytes": 4096,
               "pages": 1, "rights": "-rwx", "paddr": (1 << 46) - 4096, "region": "direct mapping"}
    cpu = {"name": "CPU 0", "mode": "x86_64", "cr0": 1, "cr3": 1, "cr4": 1, "efer": 1,
           "pages": 5000, "findings": [], "mappings": [mapping] * 5000}
    table = {"table": "page-directory-pointer table", "pfn": 1 << 34, "first": 1 << 60,
             "entries": 512, "uses": 1, "cpus": ["CPU 0", "CPU 1"]}
    text = dump_page({"file": "f", "format": "ELF core", "ranges": [{"start": 0, "end": 1 << 40}]
                      * 5000, "cpus": [cpu, cpu], "tables": [table] * 5000}).text()
    assert MOST_BYTES / 2 < len(text) < MOST_BYTES
    page = read_page(text)
    assert [len(rows) for rows in page.tables["Ranges"]] == [500, 500]
    assert page.all("p").count("And 4,500 more, which --json has.") == 3


@pytest.mark.slow
@pytest.mark.parametrize("topic", TOURS)
def test_a_tour(topic, made):
    page, figures = made("tour", topic)
    steps = figures["steps"]
    assert page.all("h2") == [f"{number}. {one['title']}" for number, one in enumerate(steps, 1)]
    assert {one["sentence"] for one in steps} <= {*page.all("p")}
    shown = page.all("pre") + page.all("mark")
    text = "\n".join(shown)
    for step in steps:
        for line in "\n".join(block["text"] for block in step["after"]).splitlines():
            assert line in text


def test_of_a_tour_the_lines_that_changed_are_marked():
    step = {"title": "t", "sentence": "s", "events": ["e"], "before": [
        {"name": "x", "text": "same\nold\n"}, {"name": "y", "text": "1\n"},
        {"name": "z", "text": ""}],
        "after": [{"name": "x", "text": "same\nnew\n"}, {"name": "y", "text": "1\n"},
                  {"name": "w", "text": "2\n"}]}
    page = read_page(tour_page({"about": "a tour", "steps": [step]}).text())
    assert page.all("mark") == ["old", "new"]
    assert page.all("summary") == ["y: unchanged"]
    assert page.all("h3") == ["x, before", "x, after", "w, after"]
    assert page.all("p")[-1] == "z: gone."


@pytest.mark.parametrize("answers", [[], ["--answers"]])
def test_a_sheet_of_exercises(answers, made):
    page, figures = made("quiz", "--seed", 7, *answers)
    asked = [one for exercise in figures["exercises"] for one in exercise["questions"]]
    assert {f"{one['name']}) {one['prompt']}" for one in asked} <= {*page.all("p")}
    assert page.all("pre") == [exercise["given"] for exercise in figures["exercises"]]
    assert page.all("summary") == [f"Answer to {one['name']}" for one in asked if answers]
    if answers:
        assert {one["answer"] for one in asked} <= {*page.all("p")}


def test_a_page_on_standard_output_is_alone_there(capsys):
    words = ["walk", "0x21004", "--toy", str(TABLES / "toy_5_5.toml"), "--html", "-"]
    assert main(words) == 0
    streams = capsys.readouterr()
    read_page(streams.out)
    assert "supervisor read at linear address" in streams.err


@pytest.mark.parametrize(("words", "message"), [
    (["quiz", "--seed", "1", "--html", "no/page.html"], "no/page.html: cannot be written"),
    (["quiz", "--seed", "1", "--html", "-", "--json", "-"],
     "argument --json: - is the file of --html"),
    (["tour", "--list", "--html", "x.html"], "argument --html: is for a tour; expected a TOPIC"),
], ids=["no folder", "both on standard output", "no tour"])
def test_a_page_that_cannot_be(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    line, = capsys.readouterr().err.splitlines()
    assert message in line
    assert not [*tmp_path.iterdir()]

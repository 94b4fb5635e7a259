"""What is shown whole on a console of any width, and in the middle of other things."""

import io

import pytest
import rich
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pagewalk.sim.run import sample_walks
from pagewalk.sim.uncut import Uncut

LINES = ["one two three 1234567890", "4", "", "0123456789 " * 9 + "end"]


def table():
    rows = Table(box=None, pad_edge=False, show_header=False)
    for number in range(3):
        rows.add_row(f"a name with words {number}", f"{10 ** (12 + number):,}")
    return rows


def shown(renderable, width, **options):
    file = io.StringIO()
    Console(file=file, width=width, **options).print(renderable)
    return file.getvalue()


@pytest.mark.parametrize("width", [1, 20, 40, 80, 200])
@pytest.mark.parametrize("content", [
    Text("\n".join(LINES)), table(), Group(Text(LINES[3]), table())],
    ids=["text", "table", "group"])
def test_no_width_changes_what_is_shown(content, width):
    whole = Uncut(content)
    expected = shown(content, 1000)
    assert shown(whole, width) == shown(whole, width, soft_wrap=True) == expected
    assert len(expected.splitlines()) >= 3


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_pictures_are_shown_whole(width):
    for picture in sample_walks():
        assert shown(picture, width) == picture.plain
        assert "physical address 0x" in picture.plain


def test_text_and_str_are_the_same():
    whole = Uncut(Text("\n".join(LINES), end=""))
    assert str(whole) == whole.plain == "\n".join(LINES)


@pytest.mark.parametrize("width", [20, 200])
def test_order_stays_in_the_middle_of_others(width):
    whole = Uncut(Text("\n".join(LINES)))
    assert shown(Group(Text("first"), whole, Text("last")), width).splitlines() == [
        "first", *LINES, "last"]


def test_print_of_rich_shows_it_whole(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(rich, "_console", None)
    whole = Uncut(Text("\n".join(LINES)))
    rich.print(whole)
    rich.print("first", whole)
    print(whole, end="")
    assert capsys.readouterr().out.splitlines() == [*LINES, "first", *LINES, *LINES]


@pytest.mark.parametrize("width", [20, 200])
def test_colours_are_those_of_the_text(width):
    text = Text("bold " * 9, style="bold")
    options = {"force_terminal": True, "color_system": "standard", "legacy_windows": False}
    assert shown(Uncut(text), width, **options) == "\x1b[1m" + "bold " * 9 + "\x1b[0m\n"
    plain = Uncut(Text("plain " * 9))
    assert shown(plain, width, **options) == "plain " * 9 + "\n"


def test_a_frame_is_as_wide_as_what_is_in_it():
    lines = shown(Panel.fit(Uncut(Text(LINES[0]))), 60).splitlines()
    assert [len(line) for line in lines] == [len(LINES[0]) + 4] * 3
    assert lines[1] == f"│ {LINES[0]} │"

"""What the README says in code is true."""

import re
from pathlib import Path

import pytest
from amaranth.back import rtlil

from pagewalk.sim.cli.main import main
from pagewalk.sim.run import sample_walks

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
DESIGN, TRANSLATION, ALLOCATION = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_design_example_elaborates():
    names = {}
    exec(DESIGN, names)
    assert "module" in rtlil.convert(names["m"], ports=[])


def test_the_translation_example_prints_the_address_in_its_comment(capsys):
    exec(TRANSLATION, {})
    expected = re.search(r"print\(.*# (0x[0-9a-f]+)", TRANSLATION)[1]
    assert capsys.readouterr().out == expected + "\n"


def test_the_allocation_example_prints_what_follows_it(capsys):
    exec(ALLOCATION, {})
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert f"{ALLOCATION}```\n```\n" + "\n".join(lines) + "\n```" in README


@pytest.mark.parametrize("verb", sorted(set(re.findall(r"`pagewalk ([a-z]+)", README))))
def test_a_verb_named_in_the_readme_exists(verb, capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        main([verb, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: pagewalk {verb}")


def test_the_picture_is_the_one_that_run_shows():
    *_, picture = sample_walks()
    assert picture.plain.strip() in README


def test_the_readme_is_no_book():
    assert len(README.splitlines()) < 250

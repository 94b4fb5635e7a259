"""What the FPGA tools made is kept, and what cannot be trusted is made anew."""

import pytest

from pagewalk.sim.fpga.kept import kept, recall


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Count how often the text is made; ``folder`` is where it stays."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    class Made:
        count = 0
        folder = tmp_path / "pagewalk" / "fpga"

        def __call__(self, *causes):
            def make():
                self.count += 1
                return f"made of {causes}"

            return kept("kind", causes, make)

    return Made()


def test_the_same_causes_are_one_text(made):
    assert made("a", "b") == made("a", "b") == "made of ('a', 'b')"
    assert made.count == 1
    assert [path.name[:5] for path in made.folder.iterdir()] == ["kind-"]


def test_other_causes_are_another(made):
    assert made("a", "b") != made("ab", "")
    assert made("a", "b", "c") != made("a", "b")
    assert made.count == 4 - 1


def test_what_was_made_is_recalled_and_nothing_else_is_made(made):
    assert recall("kind", ["a"]) is None
    assert not made.folder.exists()
    made("a")
    assert recall("kind", ["a"]) == "made of ('a',)"
    assert recall("kind", ["b"]) is recall("other", ["a"]) is None
    assert made.count == 1


def test_nothing_is_recalled_without_a_folder(made, caplog):
    made.folder.parent.mkdir()
    made.folder.touch()
    assert recall("kind", ["a"]) is None
    assert not caplog.messages


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda _: b"",
                                    lambda content: b"y" + content[1:]])
def test_what_is_damaged_is_made_anew(damage, made):
    made("a")
    path, = made.folder.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    assert made("a") == "made of ('a',)"
    assert made.count == 2
    made("a")
    assert made.count == 2


def test_what_others_can_write_is_made_anew(made):
    made("a")
    path, = made.folder.iterdir()
    path.chmod(0o666)
    made("a")
    assert made.count == 2


def test_without_a_folder_all_is_made_and_that_is_said(made, caplog):
    made.folder.parent.mkdir()
    made.folder.touch()
    assert made("a") == made("a") == "made of ('a',)"
    assert made.count == 2
    assert caplog.messages[0].startswith(f"{made.folder} is not a folder; ")
    assert caplog.messages[0].endswith("; until then nothing is kept of what the FPGA tools make")

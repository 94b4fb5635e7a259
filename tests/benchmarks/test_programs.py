from types import SimpleNamespace

from .programs import differences, is_wanted, parse


def test_what_differs_is_told():
    native = SimpleNamespace(status=0, stdout=b"a", stderr=b"")
    assert differences(native, native) == []
    other = SimpleNamespace(status=0, stdout=b"b", stderr=b"")
    assert differences(native, other) == ["    stdout: native b'a'", "    stdout: on MMU b'b'"]


def test_rows_are_chosen():
    row = SimpleNamespace(name="64: sort words", bits=64, section="coreutils", quick=False)
    assert is_wanted(row, parse([]))
    assert is_wanted(row, parse(["--only", "sort", "--bits", "64", "--section", "coreutils"]))
    for words in (["--bits", "32"], ["--only", "tac"], ["--section", "dash"], ["--quick"]):
        assert not is_wanted(row, parse(words))

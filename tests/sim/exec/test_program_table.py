"""Programs of this machine do on the MMU what they do natively: the marked lines of the table.

``tests/benchmarks/programs.py`` runs all of it, with both engines.
"""

import shutil

import pytest

from .program_table import I386, fresh, natively, read_rows, runs_here, server, snapshot

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("g++") is None, reason="g++")]
ROWS = [row for row in read_rows() if row.quick]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with server(["model", "cxxrtl"], tmp_path_factory.mktemp("server")) as made:
        yield made


def test_the_table_is_large_and_no_line_is_there_twice():
    rows = read_rows()
    assert len({row.name for row in rows}) == len(rows)
    assert {row.bits for row in rows} == {32, 64}
    assert len({(row.bits, row.words[:2]) for row in rows}) > 300


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name[:60])
def test_a_program_does_what_it_does_natively(row, served, tmp_path):
    if not runs_here(row):
        pytest.skip(f"no {row.words[0]} of {row.bits} bits here"
                    + (f" in {I386}/bin" if row.bits == 32 else ""))
    folder = tmp_path / "inputs"
    fresh(folder)
    expected = natively(row, folder)
    before = fresh(folder)
    engine = "cxxrtl" if ROWS.index(row) % 3 == 0 else "model"
    assert served.run(row, folder, "--engine", engine) == expected
    assert snapshot(folder) == before, "it wrote to the host"

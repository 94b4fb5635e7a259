import gzip
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pagewalk.sim.buddy.free_lists import read_free_lists
from pagewalk.sim.buddy.ftrace import read_trace
from pagewalk.sim.buddy.same_machine import check_same_machine
from pagewalk.sim.cli.main import main

DATA = Path(__file__).parents[2] / "data"
BOOTS = ("amd64-D", "i686-A")


def files(boot):
    return DATA / f"{boot}.trace-buddy.txt.gz", DATA / f"{boot}.freelists.npz"


@pytest.mark.slow
@pytest.mark.parametrize(("boot", "total"), [("amd64-D", 25298), ("i686-A", 3720)])
def test_real_events_agree(pagewalk, tmp_path, boot, total):
    file = tmp_path / "figures.json"
    code, out, err = pagewalk("buddy", *files(boot), "--json", file)
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()[:5]][3:] == [
        ["mismatches", "0"], ["lists", "at", "the", "end", "compared"]]
    figures = json.loads(file.read_text())
    assert figures["total"] == figures["allocations"] + figures["frees"] == total
    assert (figures["mismatches"], figures["mismatches_by_field"]) == (0, {})
    assert figures["seconds"] > 0
    assert figures["events_per_second"] > 1000


@pytest.mark.slow
@pytest.mark.parametrize(("boot", "options", "total"), [
    ("amd64-D", ["--high-fraction", 2000], 36724), ("i686-A", [], 17117)])
def test_real_requests_agree(pagewalk, tmp_path, boot, options, total):
    file = tmp_path / "figures.json"
    code, out, _ = pagewalk("buddy", *files(boot), "--level", "pcp", *options, "--json", file)
    assert code == 0
    assert out.split()[:2] == ["requests", f"{total:,}"]
    figures = json.loads(file.read_text())
    assert (figures["level"], figures["total"], figures["mismatches"]) == ("pcp", total, 0)


def test_a_limit_spares_the_end(pagewalk):
    code, out, _ = pagewalk("buddy", *files("i686-A"), "--limit", 100)
    assert code == 0
    assert out.split()[:2] == ["events", "100"]
    assert "lists at the end   not compared" in out


@pytest.mark.slow
def test_a_mismatch_is_exit_1_and_says_where(pagewalk, tmp_path):
    trace, lists = files("i686-A")
    text = gzip.decompress(trace.read_bytes()).decode().splitlines()
    place = next(place for place, line in enumerate(text) if "alloc_zone_locked" in line)
    text[place] = re.sub(r"pfn=\S+", "pfn=0x2000", text[place])
    (tmp_path / "t.gz").write_bytes(gzip.compress("\n".join(text).encode()))
    file = tmp_path / "figures.json"
    code, out, err = pagewalk("buddy", tmp_path / "t.gz", lists, "--json", file)
    assert (code, err) == (1, "")
    assert out.startswith(f"Mismatch at line {place + 1}, order 0, field pfn: expected 0x2000, ")
    figures = json.loads(file.read_text())
    assert figures["mismatches_by_field"]["pfn"] >= 1
    assert figures["mismatches"] == sum(figures["mismatches_by_field"].values())


@pytest.mark.slow
def test_requests_that_part_are_exit_1(pagewalk):
    code, out, _ = pagewalk("buddy", *files("amd64-D"), "--level", "pcp")
    assert code == 1
    assert "field drain" in out
    assert "lists at the end" in out


@pytest.mark.parametrize("arguments", [
    ["--limit", "0"], ["--level", "slab"], ["--high-fraction", "2000"],
    ["--high-fraction", "-1", "--level", "pcp"], ["--json", "/nonexistent/x.json"], ["more"],
])
def test_bad_usage_is_refused(refused, arguments):
    assert refused("buddy", *files("i686-A"), *arguments)


@pytest.mark.slow
def test_files_that_are_missing_or_changed_over_are_refused(refused, tmp_path):
    trace, lists = files("i686-A")
    assert refused("buddy", tmp_path / "t.gz", lists).startswith(f"{tmp_path / 't.gz'}: ")
    assert refused("buddy", trace, tmp_path / "x.npz").startswith(f"{tmp_path / 'x.npz'}: ")
    assert refused("buddy", lists, trace).startswith(f"{lists}: cannot be read: ")
    other = files("amd64-D")[1]
    assert refused("buddy", trace, other).startswith(f"{other}: zone: none has page 0x")


@pytest.mark.slow
@pytest.mark.parametrize("level", ["buddy", "pcp"])
def test_free_lists_of_another_machine_are_bad_input(level, refused):
    lists = files("i686-A")[1]
    message = refused("buddy", files("amd64-D")[0], lists, "--level", level, "--limit", 1)
    assert message.startswith(f"{lists}: before_free: page 0x61be is in use, but is allocated by ")
    assert message.endswith("expected the free lists of the machine that the trace is of")


def test_a_trace_that_is_not_packed_is_taken(pagewalk, tmp_path):
    trace, lists = files("i686-A")
    (tmp_path / "trace.txt").write_bytes(gzip.decompress(trace.read_bytes()))
    code, out, _ = pagewalk("buddy", tmp_path / "trace.txt", lists, "--limit", 100)
    assert code == 0
    assert out.split()[:2] == ["events", "100"]


# Nothing that a file may hold ends in a traceback


@pytest.fixture(scope="session")
def short(tmp_path_factory):
    """The beginning of a trace, what becomes of its pages, and where to write changed files."""
    text = gzip.decompress(files("i686-A")[0].read_bytes()).decode().splitlines()
    pages = {*re.findall(r"pfn=\S+", "\n".join(text[:500]))}
    kept = [*text[:500], *(line for line in text[500:] if pages & {*line.split()}
                           and re.search("zone_locked|pcpu_drain", line))]
    folder = tmp_path_factory.mktemp("fuzz")
    write_text(folder / "t.gz", [*kept, text[-1]])
    shutil.copy(files("i686-A")[1], folder / "x.npz")
    assert len(kept) < 900
    assert "pcpu_drain" in "".join(kept)
    check_same_machine(read_trace(folder / "t.gz"), read_free_lists(folder / "x.npz"))
    return [*kept, text[-1]], folder


def write_text(path, lines):
    path.write_bytes(gzip.compress("\n".join(lines).encode(), 1))


def ends_in_order(folder):
    """Return whether both levels end with an exit code, which is not that of a traceback."""
    return all(main(["buddy", str(folder / "t.gz"), str(folder / "x.npz"), "--level", level])
               in (0, 1, 2) for level in ("buddy", "pcp"))


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_number_in_the_free_lists_is_taken_or_refused(data, short):
    lines, folder = short
    write_text(folder / "t.gz", lines)
    with np.load(files("i686-A")[1]) as archive:
        arrays = dict(archive)
    for _ in range(data.draw(st.integers(1, 3))):
        rows = arrays[data.draw(st.sampled_from([name for name in arrays if "zone" not in name]))]
        row = data.draw(st.integers(0, len(rows) - 1))
        column = data.draw(st.integers(0, rows.shape[1] - 1))
        near = int(rows[row, column]) + data.draw(st.integers(-2, 2))
        rows[row, column] = data.draw(st.just(near) | st.integers(-1, 400_000))
    np.savez(folder / "x.npz", **arrays)
    assert ends_in_order(folder)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_number_in_the_trace_is_taken_or_refused(data, short):
    lines, folder = short
    changed = list(lines)
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(13, len(lines) - 2))
        event, _, fields = changed[place].partition("pfn=")
        old = fields.split()[0]
        pfn = int(old, 16) + data.draw(st.integers(-2, 2) | st.integers(0, 400_000))
        order = data.draw(st.sampled_from([0, 0, 1, 3, 5, 10, 11]))
        changed[place] = event + "pfn=" + fields.replace(old, f"{pfn:#x}").replace(
            "order=0", f"order={order}")
    write_text(folder / "t.gz", changed)
    shutil.copy(files("i686-A")[1], folder / "x.npz")
    assert ends_in_order(folder)

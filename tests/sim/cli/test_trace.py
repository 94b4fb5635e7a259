import csv
import json
import re

import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.sim.cli import trace as verb
from pagewalk.sim.functional.compiled_function import FAST

from ..functional.played import played, random_text
from ..trace.trace_samples import RUNS, SAMPLES

QUIET = [] if FAST else [verb.NO_NUMBA]


@pytest.fixture
def text(tmp_path):
    return random_text(tmp_path / "trace.csv", 300, seed=1)


@pytest.mark.slow
def test_all_outputs_tell_the_same(pagewalk, text, tmp_path):
    files = [tmp_path / name for name in ("o.json", "o.csv", "stats.txt")]
    code, out, err = pagewalk("trace", text, "--entries", "4", "--walk-cache", "2", "--json",
                              files[0], "--csv", files[1], "--stats", files[2])
    assert (code, [line for line in err.splitlines() if "compiled" not in line]) == (0, QUIET)
    counts = played(text, Config(entries=4, walk_cache=2)).counts
    found = json.loads(files[0].read_text())
    assert found["ports"]["data"]["misses"] == counts["data_miss"]
    assert found["reads"]["pte"] == counts["walk_read_pte"]
    assert (found["config"]["entries"], found["options"]["timing"]) == (4, "none")
    assert re.fullmatch("[0-9a-f]{64}", found["inputs"][0]["sha256"])
    assert found["version"]
    with files[1].open() as file:
        row, = csv.DictReader(file)
    assert int(row["walks"]) == found["walks"] == counts["walk_start"]
    assert re.search(rf"^walks +{found['walks']} # ", files[2].read_text(), re.M)
    assert f"{counts['data_miss']:,}" in out
    assert "misses per 1,000 instructions" in out


@pytest.mark.parametrize("name", SAMPLES)
def test_every_format_has_the_same_figures(pagewalk, tmp_path, name):
    path, file = tmp_path / "trace", tmp_path / "o.json"
    path.write_bytes(SAMPLES[name])
    assert pagewalk("trace", path, "--json", file)[0] == 0
    found = json.loads(file.read_text())
    assert found["trace"]["format"] == name
    assert (found["accesses"], found["trace"]["instructions"], found["walks"]) == (6, 3, 9)


def test_a_converted_trace_has_the_same_figures(pagewalk, text, tmp_path):
    runs, files = tmp_path / "runs.npz", [tmp_path / "a.json", tmp_path / "b.json"]
    assert pagewalk("trace", text, "--convert", runs)[:2] == (0, "")
    for path, file in zip((text, runs), files, strict=True):
        assert pagewalk("trace", path, "--json", file, "--l2-entries", "64", "--pcid")[0] == 0
    one, other = (json.loads(file.read_text()) for file in files)
    names = ("accesses", "ports", "l2", "walks", "reads", "walk_cache_hits", "updates", "faults",
             "mapped")
    assert [one[name] for name in names] == [other[name] for name in names]
    assert other["trace"]["instructions"] == one["trace"]["instructions"]


def test_a_converted_trace_is_an_archive_of_runs(pagewalk, tmp_path):
    (tmp_path / "t").write_bytes(SAMPLES["lackey"])
    assert pagewalk("trace", tmp_path / "t", "--convert", tmp_path / "runs")[0] == 0
    with np.load(tmp_path / "runs") as archive:
        assert sorted(archive.files) == ["count", "instructions", "kind", "va"]
        assert list(zip((archive["va"] >> np.uint64(12)).tolist(), archive["kind"].tolist(),
                        archive["count"].tolist(), strict=True)) == RUNS
        assert [archive[name].dtype for name in ("va", "kind", "count")] == ["u8", "u1", "u4"]


def test_nothing_is_left_of_a_conversion_that_fails(pagewalk, tmp_path):
    (tmp_path / "t").write_bytes(SAMPLES["lackey"] + b"rubbish\n")
    code, _, err = pagewalk("trace", tmp_path / "t", "--convert", tmp_path / "runs")
    assert code == 2
    assert "line 8 is 'rubbish'" in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_options_of_translation_reach_the_pages(pagewalk, text, tmp_path):
    file = tmp_path / "o.json"

    def mapped(*options):
        assert pagewalk("trace", text, "--json", file, *options)[0] == 0
        return json.loads(file.read_text())

    small, huge = mapped(), mapped("--thp", "always")
    assert small["mapped"]["pages"]["2m"] == 0 < huge["mapped"]["pages"]["2m"]
    assert mapped("--page-size", "1g")["mapped"]["pages"]["1g"] > 0
    assert mapped("--thp", "always", "--fragmentation", "1", "--memory", "256")["mapped"][
        "pages"]["2m"] == 0
    assert mapped("--premap")["faults"] == 0 < small["faults"]
    assert mapped("--pcid")["flushes"] == 0 < small["flushes"]
    assert mapped("--relocate")["mapped"]["page_tables"] >= small["mapped"]["page_tables"]
    assert mapped("--limit", "10")["accesses"] >= 10


def test_a_rule_that_does_not_hold_is_a_mismatch(pagewalk, text, monkeypatch):
    from pagewalk.sim.functional import trace_figures

    monkeypatch.setattr(trace_figures, "broken_identities", lambda _: ["1 = 2: 1 and 2"])
    code, out, _ = pagewalk("trace", text)
    assert (code, out.splitlines()[-1]) == (1, "does not hold: 1 = 2: 1 and 2")


@pytest.mark.parametrize(("options", "message"), [
    (["--page-size", "4m"], "argument --page-size: x86_64 has no pages of 4m; expected one of 4k"),
    (["--page-size", "2m", "--thp", "always"], "argument --thp: is about pages of 4k; expected"),
    (["--mode", "ia32", "--pcid"], "argument --pcid: ia32 paging has no PCIDs; expected another"),
    (["--mode", "ia32"], "expected an address of --mode ia32: below 2**32"),
    (["--fragmentation", "2"], "argument --fragmentation: expected a number from 0 to 1, not '2'"),
    (["--fragmentation", "nan"], "argument --fragmentation: expected a number from 0 to 1, not"),
    (["--memory", "9999999"], "argument --memory: 9999999 Mbytes are too many; expected at most"),
    (["--memory", "1"], "argument --memory: Memory map leaves no memory to the kernel"),
    (["--frames", "none"], "none: cannot be read: No such file or directory; expected a list"),
    (["--limit", "0"], "argument --limit: expected a whole number from 1, not '0'"),
    (["--l2-entries", "64", "--prefetch", "next"], "argument --prefetch: what is walked ahead"),
    (["--policy", "best"], "argument --policy: invalid choice: 'best'"),
    (["--ways", "3"], "Set count, entries by ways, must be a power of two of at least 2, not 32"),
    (["--format", "drmemtrace"], "record 0 is of type"),
    (["--timing", "exact"], "argument --timing: invalid choice: 'exact'"),
])
def test_bad_options_are_one_line(pagewalk, text, options, message):
    code, out, err = pagewalk("trace", text, *options)
    lines = [line for line in err.splitlines() if not line.startswith("pagewalk: numba is")
             and "compiled" not in line]
    assert (code, out, len(lines)) == (2, "", 1)
    assert lines[0].startswith("pagewalk: error: ")
    assert message in lines[0]


def test_an_output_is_never_written_over_the_trace(pagewalk, text):
    for option in ("--convert", "--csv", "--stats", "--curve", "--json"):
        code, _, err = pagewalk("trace", text, option, text)
        assert code == 2
        assert f"argument {option}: {text} is an input; expected another file" in err


def test_without_numba_one_line_says_so(pagewalk, text, monkeypatch):
    monkeypatch.setattr(verb, "FAST", False)
    assert "numba is not installed" in pagewalk("trace", text)[2]

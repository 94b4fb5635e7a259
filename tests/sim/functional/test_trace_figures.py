import json
import re

import pytest

from pagewalk.hdl.config import Config
from pagewalk.sim.functional.figure_text import figures_csv, figures_stats
from pagewalk.sim.functional.trace_figures import (
    broken_identities,
    figures,
    flattened,
    identities,
)

from .played import played, random_text


@pytest.fixture
def run(tmp_path):
    return played(random_text(tmp_path / "t", 400, seed=9), Config(entries=4, l2_entries=16))


def test_all_identities_hold_and_each_can_break(run):
    assert broken_identities(run) == []
    assert len(identities(run)) == 9
    broken = set()
    for name in run.counts:
        run.counts[name] += 1
        broken |= {one.partition(":")[0] for one in broken_identities(run)}
        run.counts[name] -= 1
    assert broken == set(identities(run))


def test_figures_can_be_written_as_json_and_read_in_lines(run):
    found = figures(run)
    assert json.loads(json.dumps(found)) == found
    assert found["ports"]["data"]["misses"] == run.counts["data_miss"]
    assert found["reads"]["pte"] == run.counts["walk_read_pte"]
    assert found["trace"]["pages"] == sum(found["mapped"]["pages"].values())
    names, values = figures_csv(found).splitlines()
    table = dict(zip(names.split(","), values.split(","), strict=True))
    assert table["ports.data.misses"] == str(run.counts["data_miss"])
    assert table["l2.lookups"] == str(run.counts["l2_lookup"])
    assert set(table) == set(flattened(found))


def test_stats_have_the_form_of_gem5(run):
    lines = figures_stats(figures(run)).splitlines()
    assert lines[1] == "---------- Begin Simulation Statistics ----------"
    stats = [line for line in lines if line and not line.startswith("---")]
    assert all(re.fullmatch(r"[a-z0-9_.]+ +-?[0-9.]+ # .+ ?\(\w+\)|[a-z0-9_.]+ +\d+ # \(Count\)",
                            line) for line in stats)
    walks, = (line.split() for line in stats if line.startswith("walks "))
    assert walks[:3] == ["walks", str(run.counts["walk_start"]), "#"]


def test_there_is_no_mpki_without_instructions(tmp_path):
    (tmp_path / "t").write_text("0x1000,r\n")
    found = figures(played(tmp_path / "t", Config()))
    assert (found["ports"]["data"]["mpki"], found["ports"]["fetch"]["miss_rate"]) == (None, None)
    assert found["l2"] is None
    assert "l2" not in figures_csv(found)

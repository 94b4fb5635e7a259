import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.sim.functional import stack_distance
from pagewalk.sim.functional.miss_curves import MissCurves
from pagewalk.sim.functional.stack_distance import StackDistances

from .played import played, random_text
from .test_trace_run import lru_misses


@pytest.mark.parametrize("seed", range(6))
def test_every_size_misses_as_an_lru_of_its_own(seed, monkeypatch):
    monkeypatch.setattr(stack_distance, "FIRST_ROOM", 64)  # so that times are made anew
    rng = np.random.default_rng(seed)
    pages, lengths = np.minimum(rng.zipf(1.3, 900), 40), rng.integers(1, 4, 900)
    distances = StackDistances()
    for start in range(0, 900, 250):
        distances.take(pages[start:start + 250], lengths[start:start + 250])
    accesses = np.repeat(pages, lengths).tolist()
    found = distances.misses().tolist()
    assert found[0] == len(accesses) == distances.accesses
    assert found[1:] == [lru_misses(accesses, entries) for entries in range(1, len(found))]
    assert found[-1] == len(set(accesses)) < found[-2]


def test_curves_are_the_misses_of_tlbs_of_these_sizes(tmp_path):
    path = random_text(tmp_path / "t", 1500, seed=1, spaces=1)
    curves = MissCurves(Config())
    played(path, Config(), premapped=True, curves=curves)
    names, *rows = (line.split(",") for line in curves.text().splitlines())
    assert names == ["entries", "fetch_4k", "data_4k"]
    for entries in (1, 2, 5, 16, 40):
        counts = played(path, Config(entries=entries, policy="lru"), premapped=True).counts
        assert rows[entries] == [str(entries), str(counts["fetch_miss"]),
                                 str(counts["data_miss"])]


def test_pages_of_each_size_have_a_curve(tmp_path):
    curves = MissCurves(Config())
    played(random_text(tmp_path / "t", 300, seed=2), Config(), thp=True, curves=curves)
    assert curves.text().splitlines()[0] == "entries,fetch_2m,data_2m"

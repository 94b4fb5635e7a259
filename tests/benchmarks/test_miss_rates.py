import numpy as np
import pytest

from pagewalk.hdl.config import Config
from pagewalk.sim.engine import create

from .miss_rates import LruSets, hardware_counts, lru_counts


def trace(*rows):
    """Return a trace of rows of a page number and a kind."""
    return {"va": np.array([vpn << 12 | 8 for vpn, _ in rows], np.uint64),
            "kind": np.array([kind for _, kind in rows], np.uint8)}


def test_a_set_gives_up_the_page_that_was_not_used_for_longest():
    plain, folded = LruSets(2, 2, folded=False), LruSets(2, 2, folded=True)
    assert [plain.access(vpn) for vpn in (0, 2, 0, 4, 0, 2)] == [0, 0, 1, 0, 1, 0]
    assert [folded.access(vpn) for vpn in (0, 3, 0, 12, 0, 3)] == [0, 0, 1, 0, 1, 0]


def test_ports_have_tlbs_of_their_own_and_share_the_second_level():
    assert lru_counts(trace((5, 0), (5, 1), (5, 2), (5, 0), (6, 2))) == (1, 2, 2)


@pytest.mark.slow
def test_the_hardware_counts_what_the_trace_has():
    rows = [(5, 0), (5, 1), (5, 2), (5, 0), (6, 2), (0x1234, 1), (6, 1)]
    engine = create("amaranth", Config(entries=4, ways=2, policy="lru"))
    assert hardware_counts(engine, trace(*rows)) == [1, 3, 4]

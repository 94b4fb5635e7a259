import numpy as np

from pagewalk.model.x86 import X86_64

from ..hdl.l2_reference import RefL2
from .l2_misses import FirstLevel, first_level_misses, walks


def trace(*rows):
    """Return a trace of rows of a page number and a kind."""
    return {"va": np.array([vpn << 12 for vpn, _ in rows], np.uint64),
            "kind": np.array([kind for _, kind in rows], np.uint8)}


def test_a_set_gives_up_the_page_that_was_not_used_for_longest():
    tlb = FirstLevel(2, 2)
    same_set = 0, 3, 12  # 0 ^ 0, 1 ^ 1, 0 ^ 0 in the lowest bit
    assert [tlb.access(vpn, False) for vpn in same_set[:2]] == [False, False]
    assert tlb.access(0, False)
    assert not tlb.access(12, False)
    assert [tlb.access(vpn, False) for vpn in (0, 12, 3)] == [True, True, False]


def test_a_store_to_a_clean_page_misses_once():
    rows = (5, 1), (5, 2), (5, 2), (5, 1), (5, 0), (5, 0)
    assert first_level_misses(trace(*rows), 4, 2) == [(5, 1), (5, 2), (5, 0)]


def test_only_what_the_second_level_does_not_hold_is_walked():
    misses = [(5, 1), (5, 2), (5, 0), (6, 2), (5, 1), (6, 1)]
    assert walks(RefL2(X86_64, 4, 2, "lru"), misses) == 3  # 5 clean, 5 dirty, 6

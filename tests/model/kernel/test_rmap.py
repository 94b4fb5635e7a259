"""The reverse map beside a dictionary of sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pagewalk.model.kernel.rmap import Rmap
from pagewalk.model.physical.errors import BrokenInvariant

PLACES = st.tuples(st.integers(0, 7), st.integers(1, 1 << 20),
                   st.sampled_from([0, 4096, (1 << 47) - 8192, 1 << 30]))


@given(st.lists(PLACES))
def test_pages_know_where_they_are_mapped(steps):
    rmap, naive = Rmap(100, 108), {pfn: set() for pfn in range(100, 108)}
    for page, space, vaddr in steps:
        pfn, place = 100 + page, (space, vaddr)
        if place in naive[pfn]:
            with pytest.raises(BrokenInvariant, match="is mapped at"):
                rmap.add(pfn, *place)
            rmap.remove(pfn, *place)
            naive[pfn].remove(place)
        else:
            with pytest.raises(BrokenInvariant, match="is not mapped at"):
                rmap.remove(pfn, *place)
            rmap.add(pfn, *place)
            naive[pfn].add(place)
        rmap.check()
        assert sorted(rmap.places(pfn)) == sorted(naive[pfn])
        assert rmap.mapcount(pfn) == len(naive[pfn])
    assert list(rmap.mapped()) == [pfn for pfn, places in naive.items() if places]
    assert rmap.total == sum(map(len, naive.values()))

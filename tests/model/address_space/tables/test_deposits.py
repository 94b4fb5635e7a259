"""Tables that are kept for splits, and in which order they are given out."""

import pytest

from pagewalk.model.address_space.tables.deposits import Deposits


def test_the_latest_goes_first_and_then_the_oldest():
    """As list_add behind the head and list_first_entry have it in Linux."""
    kept = Deposits()
    assert (len(kept), bool(kept), kept.frames) == (0, False, [])
    for frame in (1, 2, 3, 4):
        kept.deposit(7, frame)
    assert (len(kept), sorted(kept.frames)) == (4, [1, 2, 3, 4])
    assert [kept.withdraw(7) for _ in range(2)] == [4, 1]
    kept.deposit(7, 5)
    assert [kept.withdraw(7) for _ in range(3)] == [5, 3, 2]
    assert not kept
    with pytest.raises(KeyError):
        kept.withdraw(7)


def test_each_upper_table_has_its_own():
    kept = Deposits()
    kept.deposit(7, 1)
    kept.deposit(8, 2)
    kept.deposit(7, 3)
    assert kept.counts == {7: 2, 8: 1}
    assert [kept.withdraw(8), kept.withdraw(7), kept.withdraw(7)] == [2, 3, 1]

"""Tests of those who wait at a word."""

from pagewalk.model.kernel.tasks.futex_table import FutexTable


def test_the_first_is_woken_first_and_only_where_it_waits():
    table = FutexTable()
    one, two, other = table.wait("a"), table.wait("a"), table.wait("b")
    assert table.wake("a", 1) == 1
    assert (one.woken, two.woken, other.woken) == (True, False, False)
    assert table.wake("a", 5) == 1
    assert table.wake("a", 5) == 0
    assert not other.woken


def test_bits_and_leaving():
    table = FutexTable()
    one, two = table.wait("a", 1), table.wait("a", 2)
    assert table.wake("a", 5, 2) == 1
    assert (one.woken, two.woken) == (False, True)
    table.leave(one)
    table.leave(one)
    assert table.wake("a", 5) == 0


def test_those_who_wait_elsewhere_from_now_on():
    table = FutexTable()
    waiters = [table.wait("a") for _ in range(3)]
    assert table.requeue("a", "b", 2) == 2
    assert table.wake("a", 9) == 1
    assert table.wake("b", 1) == 1
    assert [one.woken for one in waiters] == [True, False, True]


def test_those_that_have_ended_take_no_wake():
    table = FutexTable()
    alive = {"one": True, "two": True}
    one = table.wait("a", lives=lambda: alive["one"])
    two = table.wait("a", lives=lambda: alive["two"])
    alive["one"] = False
    assert table.wake("a", 1) == 1
    assert (one.woken, two.woken) == (False, True)
    three = table.wait("a", lives=lambda: alive["one"])
    assert table.requeue("a", "b", 1) == 0
    assert not three.woken

"""Timers: when they are due, and what they send."""

import signal

import pytest

from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.tasks.posix_timer import PosixTimer
from pagewalk.model.kernel.tasks.signal_rules import bit
from pagewalk.model.kernel.tasks.task_table import TaskTable
from pagewalk.model.x86 import X86_64

from ..machines import MIB


@pytest.fixture
def tasks():
    return TaskTable(Kernel.boot(X86_64, 16 * MIB).spawn("program"))


def test_a_timer_is_due_once_or_again_and_again():
    once, often = PosixTimer(0, 1, 14, at=100), PosixTimer(1, 1, 14, at=100, every=10)
    assert (once.ring(99), once.ring(100), once.ring(1000)) == (0, 1, 0)
    assert (often.ring(99), often.ring(100), often.ring(135), often.at) == (0, 1, 3, 140)
    assert PosixTimer(2, 1, 14).ring(1 << 60) == 0


def test_while_its_signal_waits_no_second_one_is_sent(tasks):
    task = tasks.first
    task.blocked = bit(signal.SIGUSR1)
    timer = PosixTimer(3, 1, signal.SIGUSR1, value=77, at=10, every=10)
    tasks.ring(task.group, timer, 30)
    tasks.ring(task.group, timer, 45)
    found, = task.group.pending
    assert (found.number, found.code, found.pid, found.value) == (signal.SIGUSR1, -2, 3, 77)
    assert timer.overrun == 3
    assert found.pack(8)[16:32] == b"".join(n.to_bytes(4, "little") for n in (3, 2, 77, 0))


def test_a_timer_of_one_task_and_one_that_sends_nothing(tasks):
    other = tasks.thread(tasks.first, 99)
    tasks.ring(other.group, PosixTimer(0, 1, signal.SIGUSR2, tid=99, at=5), 5)
    tasks.ring(other.group, PosixTimer(1, 1, 0, at=5), 5)
    assert [info.number for info in other.pending] == [signal.SIGUSR2]
    assert not other.group.pending

"""Tests of whose turn it is."""

import signal

import pytest

from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.tasks.signal_info import SignalInfo
from pagewalk.model.kernel.tasks.signal_rules import SigAction, bit
from pagewalk.model.kernel.tasks.task_table import TaskTable
from pagewalk.model.kernel.vfs.stream import WouldBlock
from pagewalk.model.x86 import X86_64
from pagewalk.sim.exec.program_clock import ProgramClock
from pagewalk.sim.exec.scheduler import Scheduler, WaitsForEver
from pagewalk.sim.exec.task_wait import TaskWait


class Turns:
    """Three tasks of one process."""

    def __init__(self):
        kernel = Kernel.boot(X86_64, 16 << 20)
        self.tasks = TaskTable(kernel.spawn("first"))
        self.one = self.tasks.first
        self.two, self.three = (self.tasks.thread(self.one, kernel.new_pid()) for _ in range(2))
        self.clock = ProgramClock()
        self.scheduler = Scheduler(self.tasks, self.clock)

    def choices(self, count):
        return [self.scheduler.choose() for _ in range(count)]


@pytest.fixture
def turns():
    return Turns()


def wait(name="read", ready=False, deadline=None):
    return TaskWait(name, (), WouldBlock(lambda: ready), deadline)


def test_each_has_its_turn(turns):
    one, two, three = turns.one, turns.two, turns.three
    assert turns.choices(4) == [one, two, three, one]
    two.waiting = wait()
    assert turns.choices(3) == [three, one, three]
    two.waiting = wait(ready=True)
    turns.tasks.end_task(one)
    assert turns.choices(2) == [two, three]


def test_time_passes_when_all_wait(turns):
    for task, deadline in ((turns.one, 500), (turns.two, 300), (turns.three, None)):
        task.waiting = wait(deadline=deadline)
    assert turns.scheduler.time_left(1000) == 300
    assert turns.scheduler.choose() is turns.two
    assert turns.clock.uptime == 300
    turns.two.waiting = wait()
    assert turns.scheduler.choose() is turns.one
    assert turns.clock.uptime == 500


def test_nobody_can_go_on(turns):
    for task in turns.tasks.tasks:
        task.waiting = wait("futex")
    with pytest.raises(WaitsForEver, match="task 2 in futex, task 3 in futex, task 4 in futex"):
        turns.scheduler.choose()


@pytest.mark.parametrize(("name", "number", "ends"), [
    ("read", signal.SIGUSR1, True), ("vfork", signal.SIGUSR1, False),
    ("vfork", signal.SIGKILL, True)])
def test_signals_end_waits(name, number, ends, turns):
    for task in turns.tasks.tasks:
        task.waiting = wait(name if task is turns.two else "futex")
        task.blocked = 0 if task is turns.two else bit(signal.SIGUSR1) | bit(signal.SIGKILL)
    turns.one.group.actions[signal.SIGUSR1] = SigAction(0x1000)
    turns.tasks.send_task(turns.two, SignalInfo(number))
    if ends:
        assert turns.scheduler.choose() is turns.two
    else:
        with pytest.raises(WaitsForEver):
            turns.scheduler.choose()


def test_alarms_come_again(turns):
    group = turns.one.group
    group.actions[signal.SIGALRM] = SigAction(0x1000)
    group.alarm_at, group.alarm_every = 100, 50
    for task in turns.tasks.tasks:
        task.waiting = wait()
    assert turns.scheduler.choose() is turns.one
    assert (turns.clock.uptime, group.alarm_at) == (100, 150)
    assert group.pending[0].number == signal.SIGALRM


def test_a_process_that_is_stopped_has_no_turn(turns):
    turns.one.group.stopped = signal.SIGSTOP
    with pytest.raises(WaitsForEver, match="task 2 is stopped"):
        turns.scheduler.choose()


def test_an_alarm_that_was_late_keeps_its_times(turns):
    group = turns.one.group
    group.actions[signal.SIGALRM] = SigAction(0x1000)
    group.alarm_at, group.alarm_every, turns.clock.slept = 100, 50, 130
    turns.scheduler.ring()
    assert group.alarm_at == 150
    turns.clock.slept = 400
    assert turns.scheduler.time_left(1000) == 1


def test_time_does_not_pass_for_those_that_are_stopped(turns):
    turns.one.waiting = wait(deadline=500)
    turns.one.group.stopped = signal.SIGSTOP
    assert turns.scheduler.time_left(1000) == 1000

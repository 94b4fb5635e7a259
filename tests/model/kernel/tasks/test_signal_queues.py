"""Tests of what tasks inherit, what an end clears, and to whom signals go."""

import signal

import pytest

from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.tasks.signal_info import SignalInfo
from pagewalk.model.kernel.tasks.signal_rules import SigAction, bit
from pagewalk.model.kernel.tasks.task_table import TaskTable
from pagewalk.model.x86 import X86_64

HANDLED = SigAction(handler=0x1000)


@pytest.fixture
def kernel():
    return Kernel.boot(X86_64, 16 << 20)


@pytest.fixture
def tasks(kernel):
    return TaskTable(kernel.spawn("first"))


def child_of(kernel, tasks):
    parent = tasks.first
    return tasks.fork(parent, kernel.fork(parent.process), signal.SIGCHLD)


def test_new_tasks_block_what_their_parent_blocks(kernel, tasks):
    tasks.first.blocked, tasks.first.tls = bit(12), {12: (1, 2, 3)}
    for made in (child_of(kernel, tasks), tasks.thread(tasks.first, kernel.new_pid())):
        assert (made.blocked, made.tls) == (bit(12), {12: (1, 2, 3)})
        assert made.tls is not tasks.first.tls


def test_an_end_lets_a_parent_go_on_and_takes_the_alarm(kernel, tasks):
    child = child_of(kernel, tasks)
    child.group.alarm_at = 100
    tasks.end_group(child.group, 0)
    assert child.released
    assert child.group.alarm_at is None


def test_kill_of_all_leaves_out_the_sender_and_those_that_have_ended(kernel, tasks):
    one, ended = child_of(kernel, tasks), child_of(kernel, tasks)
    for task in (tasks.first, one, ended):
        task.group.actions[signal.SIGUSR1] = HANDLED
    tasks.end_group(ended.group, 0)
    tasks.kill(tasks.first.group, -1, lambda: SignalInfo(signal.SIGUSR1))
    assert not tasks.first.group.pending
    assert [info.number for info in one.group.pending] == [signal.SIGUSR1]
    assert not ended.group.pending


def test_what_stops_takes_back_what_continues(tasks):
    task = tasks.first
    task.group.actions[signal.SIGCONT] = HANDLED
    tasks.send_task(task, SignalInfo(signal.SIGCONT))
    tasks.send_group(task.group, SignalInfo(signal.SIGTSTP))
    assert not task.pending
    assert [info.number for info in task.group.pending] == [signal.SIGTSTP]

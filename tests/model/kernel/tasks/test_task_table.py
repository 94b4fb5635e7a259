"""Tests of tasks: who is told of an end, who waits for whom, which signals stay in a queue."""

import errno
import signal

import pytest

from pagewalk.model.address_space.errors import SysError
from pagewalk.model.kernel.kernel import Kernel
from pagewalk.model.kernel.tasks.signal_info import CldCode, SignalInfo
from pagewalk.model.kernel.tasks.signal_rules import IGNORE, SigAction, SigFlag, bit, lowest
from pagewalk.model.kernel.tasks.task_table import TaskTable
from pagewalk.model.x86 import X86_64

HANDLED = SigAction(handler=0x1000)


@pytest.fixture
def kernel():
    return Kernel.boot(X86_64, 16 << 20)


@pytest.fixture
def tasks(kernel):
    return TaskTable(kernel.spawn("first"))


def child_of(kernel, tasks, parent):
    return tasks.fork(parent, kernel.fork(parent.process), signal.SIGCHLD)


def test_an_end_is_told_to_the_parent_which_reaps(kernel, tasks):
    parent = tasks.first
    parent.group.actions[signal.SIGCHLD] = HANDLED
    child = child_of(kernel, tasks, parent)
    tasks.end_group(child.group, 5 << 8)
    info = parent.take(signal.SIGCHLD)
    assert (info.code, info.pid, info.status) == (CldCode.EXITED, child.tid, 5)
    assert tasks.waited_for(parent.group, -1) == [child.group]
    child.group.run_time, child.group.children_time = 30, 4
    tasks.reap(child.group)
    assert parent.group.children_time == 34
    with pytest.raises(SysError) as raised:
        tasks.waited_for(parent.group, -1)
    assert raised.value.errno == errno.ECHILD


@pytest.mark.parametrize("action", [SigAction(IGNORE), SigAction(0x1000, SigFlag.NOCLDWAIT)])
def test_a_parent_that_wants_to_know_of_none_has_no_children_left(action, kernel, tasks):
    tasks.first.group.actions[signal.SIGCHLD] = action
    child = child_of(kernel, tasks, tasks.first)
    tasks.end_group(child.group, 0)
    assert child.tid not in tasks.groups
    assert bool(tasks.first.deliverable) is (action.handler != IGNORE)


def test_children_of_one_that_ended_are_nobody_s(kernel, tasks):
    child = child_of(kernel, tasks, tasks.first)
    lives, ended = (child_of(kernel, tasks, child) for _ in range(2))
    tasks.end_group(ended.group, 0)
    tasks.end_group(child.group, 0)
    assert lives.group.parent is None
    assert set(tasks.groups) == {tasks.first.tid, child.tid, lives.tid}
    tasks.end_group(lives.group, 0)
    assert lives.tid not in tasks.groups


@pytest.mark.parametrize("pid", [-1, 0, "child", "group"])
def test_which_children_are_meant(pid, kernel, tasks):
    one, other = (child_of(kernel, tasks, tasks.first) for _ in range(2))
    other.group.pgid = other.tid
    expected = {-1: [one, other], 0: [one], "child": [one], "group": [other]}[pid]
    number = {"child": one.tid, "group": -other.tid}.get(pid, pid)
    assert tasks.waited_for(tasks.first.group, number) == [task.group for task in expected]


def test_what_stays_in_a_queue(tasks):
    task = tasks.first
    for number in (signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR1, 40, 40):
        tasks.send_task(task, SignalInfo(number))
    assert [info.number for info in task.pending] == [signal.SIGUSR1, 40, 40]
    task.blocked = bit(signal.SIGCHLD) | bit(40)
    tasks.send_group(task.group, SignalInfo(signal.SIGCHLD))
    assert task.deliverable == bit(signal.SIGUSR1)
    task.blocked = 0
    assert task.deliverable == bit(signal.SIGUSR1) | bit(signal.SIGCHLD) | bit(40)


def test_stopping_and_going_on(kernel, tasks):
    parent = tasks.first
    parent.group.actions[signal.SIGCHLD] = HANDLED
    child = child_of(kernel, tasks, parent)
    tasks.stop(child.group, signal.SIGTSTP)
    assert parent.take(signal.SIGCHLD).code == CldCode.STOPPED
    tasks.send_task(child, SignalInfo(signal.SIGTTIN))
    tasks.send_group(child.group, SignalInfo(signal.SIGCONT))
    assert not child.group.stopped
    assert child.group.continued
    assert not child.pending
    tasks.tell_continued(child.group)
    tasks.tell_continued(child.group)
    assert parent.take(signal.SIGCHLD).code == CldCode.CONTINUED
    assert not parent.pending
    assert not parent.group.pending
    tasks.stop(child.group, signal.SIGSTOP)
    parent.group.pending.clear()
    tasks.send_group(child.group, SignalInfo(signal.SIGKILL))
    assert not child.group.stopped
    parent.group.actions[signal.SIGCHLD] = SigAction(0x1000, SigFlag.NOCLDSTOP)
    tasks.stop(child.group, signal.SIGSTOP)
    assert not parent.deliverable


def test_faults_come_first():
    assert lowest(bit(1) | bit(signal.SIGSEGV) | bit(signal.SIGFPE)) == signal.SIGSEGV
    assert lowest(bit(40) | bit(12)) == 12
    assert lowest(0) == 0


def test_processes_that_share_memory(kernel, tasks):
    parent = tasks.first.process
    child = kernel.fork(parent, shares_memory=True)
    kernel.check()
    assert child.space is parent.space
    kernel.exit(child)
    kernel.check()
    parent.mm.brk(0)
    kernel.exit(parent)
    kernel.check()


@pytest.mark.parametrize(("word", "offset"), [(8, 16), (4, 12)])
def test_what_a_handler_is_told(word, offset):
    info = SignalInfo(11, 2, address=0x1234).pack(word)
    assert len(info) == 128
    assert info[:12] == bytes((11, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0))
    assert info[offset : offset + word] == (0x1234).to_bytes(word, "little")
    child = SignalInfo(17, 1, pid=5, uid=6, status=7).pack(word)
    assert child[offset : offset + 12] == bytes((5, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0))
    action = SigAction(1, 2, 3, bit(12))
    assert SigAction.unpack(action.pack(word), word) == action


def test_a_child_that_shares_handlers_or_is_a_sibling(kernel, tasks):
    parent = tasks.first
    child = child_of(kernel, tasks, parent)
    sibling = tasks.fork(child, kernel.fork(child.process), 0, shares_actions=True,
                         of_parent=True)
    assert sibling.group.parent is parent.group
    assert sibling.group in parent.group.children
    assert sibling.group.exit_signal == signal.SIGCHLD
    sibling.group.actions[signal.SIGUSR1] = HANDLED
    assert child.group.action(signal.SIGUSR1) == HANDLED
    assert parent.group.action(signal.SIGUSR1) != HANDLED

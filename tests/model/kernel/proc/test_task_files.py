"""What /proc says of tasks."""

import signal
from pathlib import Path

import pytest

from pagewalk.model.address_space.exec_arguments import Credentials
from pagewalk.model.kernel.proc.status import status
from pagewalk.model.kernel.proc.task_files import stat_line
from pagewalk.model.kernel.tasks.signal_info import SignalInfo
from pagewalk.model.kernel.tasks.signal_rules import IGNORE, SigAction, bit
from pagewalk.model.kernel.tasks.task_table import TaskTable
from pagewalk.model.x86 import X86_64

from ..machines import machine

REAL = Path("/proc/self")
real = pytest.mark.skipif(not (REAL / "stat").exists(), reason="this machine has no /proc")


class World:
    def __init__(self):
        self.kernel, _, _ = machine(X86_64)
        self.process = self.kernel.spawn("a name", credentials=Credentials(
            1, 2, 3, 4, suid=5, groups=(7, 8)))
        self.tasks = TaskTable(self.process)
        self.task = self.tasks.first
        self.group = self.task.group

    def lines(self):
        return dict(line.split(":\t") for line in status(self.process, self.group).splitlines())

    def fields(self):
        return stat_line(self.process, self.group).split(") ")[1].split()


@pytest.fixture
def world():
    return World()


@real
def test_all_lines_and_fields_are_there_in_their_order(world):
    names = [line.split(":")[0] for line in (REAL / "status").read_text().splitlines()]
    places = [names.index(name) for name in world.lines()]
    assert places == sorted(places)
    assert len(places) > 35
    assert len(world.fields()) == len((REAL / "stat").read_text().split(") ")[1].split())


def test_users_signals_and_kin(world):
    group = world.group
    group.actions = {signal.SIGINT: SigAction(IGNORE), signal.SIGTERM: SigAction(0x1234)}
    world.task.blocked = bit(signal.SIGUSR1)
    world.tasks.send_task(world.task, SignalInfo(signal.SIGUSR1))
    world.tasks.thread(world.task, 99)
    found = world.lines()
    assert found["Uid"] == "1\t2\t5\t2"
    assert found["Gid"] == "3\t4\t4\t4"
    assert found["Groups"] == "7 8 "
    assert found["Threads"] == "2"
    assert found["SigPnd"] == found["SigBlk"] == "0000000000000200"
    assert (found["SigIgn"], found["SigCgt"]) == ("0000000000000002", "0000000000004000")
    child = world.tasks.fork(world.task, world.kernel.fork(world.process), signal.SIGCHLD)
    held = stat_line(child.process, child.group).split(") ")[1].split()
    assert held[1] == str(group.pid)
    assert held[35] == "17"


def test_a_task_runs_waits_or_is_stopped(world):
    assert world.fields()[0] == "R"
    world.task.waiting = object()
    assert world.fields()[0] == "S"
    world.tasks.stop(world.group, signal.SIGSTOP)
    assert world.fields()[0] == "T"
    assert world.lines()["State"] == "T (stopped)"


def test_time_is_in_hundredths_of_a_second(world):
    world.group.run_time, world.group.nice = 3 * 10 ** 9, 5
    fields = world.fields()
    assert fields[11] == "300"
    assert fields[15:18] == ["25", "5", "1"]
